package hosted

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// Options are those of `swtpm socket` (swtpm(8)).
type Options struct {
	TPM2      bool
	StateDir  string
	StateFile string // --tpmstate backend-uri=file://, in place of StateDir
	Strict    bool   // --strict, which swtpm has not
	StateMode os.FileMode
	NoSync    bool // --no-sync, which swtpm has not: it never flushes

	Data       *Endpoint // --server, --port, --fd
	Disconnect bool
	Control    *Endpoint // --ctrl
	Terminate  bool

	ControlTerminate bool // --ctrl terminate: end when a client of it left

	Chardev   bool   // this is `swtpm chardev`, whose Data is the descriptor of a device
	Device    string // --chardev: path of a device
	VTPMProxy bool   // --vtpm-proxy: a device that the kernel makes

	NotNeedInit bool
	Startup     Startup

	Incoming    bool   // --migration incoming
	ReleaseLock bool   // --migration release-lock-outgoing
	Profile     string // name, file, or JSON text
	StartupNone bool   // --flags startup-none was given
	NoShutdown  bool   // --flags disable-auto-shutdown

	RejectLocality4  bool
	AllowSetLocality bool

	Key, MigrationKey *KeyOption

	Log     LogOption
	PIDFile string
	PIDFD   int // -1 if none
	RunAs   string
	Chroot  string
	Daemon  bool
	Seccomp string

	PrintCapabilities, PrintStates, PrintProfiles, PrintInfo, Help, Version bool

	InfoFlags uint64 // of --print-info
}

// A KeyOption says where a key is read from (--key, --migration-key).
type KeyOption struct {
	File   string
	FD     int // -1 if none
	Pass   bool
	Format string // hex or binary
	Bits   int
	KDF    KDF
	Remove bool
}

// A LogOption says where lines go (--log).
type LogOption struct {
	File     string // "-" drops them, "" is standard error
	FD       int    // -1 if none
	Level    int
	Prefix   string
	Truncate bool
}

// A spec is the value of an option: words and key=value pairs with commas
// between them.
type spec struct {
	option string
	vals   map[string]string
	err    error
}

// parseSpec splits a value. A word without "=" has the value "true".
func parseSpec(option, s string) *spec {
	p := &spec{option: option, vals: map[string]string{}}
	for _, f := range strings.Split(s, ",") {
		if f == "" {
			continue
		}
		k, v, ok := strings.Cut(f, "=")
		if !ok {
			v = "true"
		}
		if _, twice := p.vals[k]; twice {
			p.fail("%q is given twice", k)
		}
		p.vals[k] = v
	}
	return p
}

func (p *spec) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("%s: %s", p.option, fmt.Sprintf(format, args...))
	}
}

// take removes and returns a value.
func (p *spec) take(key string) (string, bool) {
	v, ok := p.vals[key]
	delete(p.vals, key)
	return v, ok
}

func (p *spec) str(key string) string {
	v, _ := p.take(key)
	return v
}

func (p *spec) flag(key string) bool {
	v, ok := p.take(key)
	if ok && v != "true" && v != "false" {
		p.fail("%s=%s: true or false is meant", key, v)
	}
	return v == "true"
}

func (p *spec) num(key string, base, missing int) int {
	v, ok := p.take(key)
	if !ok {
		return missing
	}
	n, err := strconv.ParseUint(v, base, 31)
	if err != nil {
		p.fail("%s=%s is no number", key, v)
		return missing
	}
	return int(n)
}

// mode is an octal number that starts with 0.
func (p *spec) mode() os.FileMode {
	if v, ok := p.vals["mode"]; ok && !strings.HasPrefix(v, "0") {
		p.fail("mode=%s: an octal number that starts with 0 is meant", v)
	}
	m := p.num("mode", 8, 0)
	if m > 0o777 {
		p.fail("mode 0%o has more than permission bits", m)
	}
	return os.FileMode(m)
}

// end reports what nobody took.
func (p *spec) end() error {
	for k := range p.vals {
		p.fail("unknown word %q", k)
	}
	return p.err
}

// endpoint reads the value of --server or --ctrl.
func (p *spec) endpoint() *Endpoint {
	e := &Endpoint{FD: p.num("fd", 10, -1), ClientFD: p.num("clientfd", 10, -1), UID: -1, GID: -1}
	open := e.FD >= 0 || e.ClientFD >= 0
	if e.FD >= 0 && e.ClientFD >= 0 {
		p.fail("fd and clientfd exclude each other")
	}
	typ, given := p.take("type")
	switch {
	case typ == "unixio":
		e.Unix = true
		e.Path, e.Mode = p.str("path"), p.mode()
		e.UID, e.GID = p.num("uid", 10, -1), p.num("gid", 10, -1)
		if e.Path == "" && !open {
			p.fail("type=unixio needs path= or fd=")
		}
	case typ == "tcp" || !given:
		port := p.num("port", 10, -1)
		host, zone := p.str("bindaddr"), p.str("ifname")
		if host == "" {
			host = "127.0.0.1"
		}
		if zone != "" {
			host += "%" + zone
		}
		if port > 65535 {
			p.fail("port %d is above 65535", port)
		}
		if port < 0 && !open {
			p.fail("type=tcp needs port= or fd=")
		}
		if port >= 0 {
			e.Addr = net.JoinHostPort(host, strconv.Itoa(port))
		}
	default:
		p.fail("unknown type %q: tcp or unixio is meant", typ)
	}
	return e
}

// key reads the value of --key or --migration-key.
func (p *spec) key() *KeyOption {
	k := &KeyOption{File: p.str("file"), FD: p.num("fd", 10, -1), Format: p.str("format"), Remove: p.flag("remove")}
	if f := p.str("pwdfile"); f != "" {
		k.File, k.Pass = f, true
	}
	if fd := p.num("pwdfd", 10, -1); fd >= 0 {
		k.FD, k.Pass = fd, true
	}
	if (k.File == "") == (k.FD < 0) {
		p.fail("exactly one of file, fd, pwdfile, pwdfd is needed")
	}
	// The names are swtpm's and give the key's size; the mode is AES-GCM.
	switch m := p.str("mode"); m {
	case "", "aes-cbc", "aes-128-cbc":
		k.Bits = 128
	case "aes-256-cbc", "aes-256-gcm":
		k.Bits = 256
	default:
		p.fail("unknown mode %q", m)
	}
	switch f := p.str("kdf"); f {
	case "", "pbkdf2":
		k.KDF = KDFPBKDF2
	case "sha512":
		k.KDF = KDFSHA512
	default:
		p.fail("unknown kdf %q", f)
	}
	return k
}

func (p *spec) flags(o *Options) {
	o.NotNeedInit = p.flag("not-need-init") || o.NotNeedInit
	none := p.flag("startup-none")
	o.StartupNone = none || o.StartupNone
	if p.flag("startup-clear") {
		o.Startup, o.NotNeedInit = StartupClear, true
	}
	if p.flag("startup-state") {
		if o.Startup != StartupNone {
			p.fail("one startup is meant")
		}
		o.Startup, o.NotNeedInit = StartupState, true
	}
	if none && o.Startup != StartupNone {
		p.fail("one startup is meant")
	}
	if p.flag("startup-deactivated") {
		p.fail("startup-deactivated is for TPM 1.2 only")
	}
	o.NoShutdown = p.flag("disable-auto-shutdown") || o.NoShutdown
}

func (p *spec) state(o *Options) {
	o.StateDir, o.StateMode = p.str("dir"), p.mode()
	p.flag("lock") // it always is
	if uri := p.str("backend-uri"); uri != "" {
		dir, isDir := strings.CutPrefix(uri, "dir://")
		file, isFile := strings.CutPrefix(uri, "file://")
		switch {
		case o.StateDir != "":
			p.fail("dir= and backend-uri= exclude each other")
		case isDir:
			o.StateDir = dir
		case isFile:
			o.StateFile = file
		default:
			p.fail("backend-uri=%s: dir://DIRECTORY or file://FILE is meant", uri)
		}
	}
	p.flag("fsync") // it is the rule here; --no-sync is the exception
	if p.flag("backup") {
		p.fail("backup is not supported: the state has two slots of its own")
	}
	if o.StateDir == "" && o.StateFile == "" {
		p.fail("dir= is needed")
	}
}

// ParseOptions reads the arguments that follow `swtpm socket`.
func ParseOptions(args []string) (*Options, error) {
	o := &Options{PIDFD: -1, Log: LogOption{FD: -1}, StateDir: os.Getenv("TPM_PATH")}
	a := argList{args: args}
	for a.next() {
		if err := o.set(&a); err != nil {
			return nil, err
		}
	}
	if a.err != nil {
		return nil, a.err
	}
	if port := os.Getenv("TPM_PORT"); port != "" && o.Data == nil {
		p := parseSpec("TPM_PORT", "port="+port)
		if o.Data = p.endpoint(); p.err != nil {
			return nil, p.err
		}
	}
	return o, nil
}

// set applies the option that a stands on.
func (o *Options) set(a *argList) error {
	with := func(f func(*spec)) error {
		v := a.value()
		if a.err != nil {
			return a.err
		}
		p := parseSpec(a.name, v)
		f(p)
		return p.end()
	}
	switch a.name {
	case "--tpm2":
		o.TPM2 = true
	case "-d", "--daemon":
		o.Daemon = true
	case "-t", "--terminate":
		o.Terminate = true
	case "--no-sync":
		o.NoSync = true
	case "--strict":
		o.Strict = true
	case "-h", "--help":
		o.Help = true
	case "-v", "--version":
		o.Version = true
	case "--print-capabilities":
		o.PrintCapabilities = true
	case "--print-states":
		o.PrintStates = true
	case "-p", "--port":
		p := parseSpec(a.name, "port="+a.value())
		o.Data, o.Disconnect = p.endpoint(), true
		return p.err
	case "-f", "--fd":
		p := parseSpec(a.name, "fd="+a.value())
		o.Data, o.Terminate = p.endpoint(), true
		return p.err
	case "-r", "--runas":
		o.RunAs = a.value()
	case "-R", "--chroot":
		o.Chroot = a.value()
	case "--print-profiles":
		o.PrintProfiles = true
	case "--print-info":
		v := a.value()
		flags, err := strconv.ParseUint(v, 0, 64)
		if err != nil && a.err == nil {
			return fmt.Errorf("--print-info: %q is no number", v)
		}
		o.PrintInfo, o.InfoFlags = true, flags
	case "-c", "--chardev":
		o.Device = a.value()
	case "--vtpm-proxy":
		o.VTPMProxy, o.AllowSetLocality = true, true
	case "--tpmstate":
		return with(func(p *spec) { p.state(o) })
	case "--server":
		return with(func(p *spec) {
			o.Disconnect = p.flag("disconnect")
			o.Data = p.endpoint()
		})
	case "--ctrl":
		return with(func(p *spec) {
			o.ControlTerminate = p.flag("terminate")
			o.Control = p.endpoint()
		})
	case "--flags":
		return with(func(p *spec) { p.flags(o) })
	case "--profile":
		v := a.value()
		if a.err != nil {
			return a.err
		}
		var err error
		o.Profile, err = profileOption(v)
		return err
	case "--locality":
		return with(func(p *spec) {
			o.RejectLocality4 = p.flag("reject-locality-4")
			o.AllowSetLocality = p.flag("allow-set-locality") || o.AllowSetLocality
		})
	case "--key":
		return with(func(p *spec) { o.Key = p.key() })
	case "--migration-key":
		return with(func(p *spec) { o.MigrationKey = p.key() })
	case "--migration":
		return with(func(p *spec) { o.Incoming, o.ReleaseLock = p.flag("incoming"), p.flag("release-lock-outgoing") })
	case "--log":
		return with(func(p *spec) {
			o.Log = LogOption{File: p.str("file"), FD: p.num("fd", 10, -1), Level: p.num("level", 10, 0),
				Prefix: p.str("prefix"), Truncate: p.flag("truncate")}
		})
	case "--pid":
		return with(func(p *spec) {
			o.PIDFile, o.PIDFD = p.str("file"), p.num("fd", 10, -1)
			if (o.PIDFile == "") == (o.PIDFD < 0) {
				p.fail("exactly one of file and fd is needed")
			}
		})
	case "--seccomp":
		return with(func(p *spec) {
			o.Seccomp = p.str("action")
			switch o.Seccomp {
			case seccompNone, seccompLog, seccompKill:
			default:
				p.fail("action is none, log or kill")
			}
		})
	default:
		return fmt.Errorf("unknown option %q", a.name)
	}
	return a.err
}

// An argList walks over arguments as getopt_long does: "--name value",
// "--name=value", "-n value", "-nvalue"; "-td" is "-t -d".
type argList struct {
	args  []string
	name  string
	held  string
	holds bool
	err   error
}

func (a *argList) next() bool {
	if a.err != nil {
		return false
	}
	if a.holds {
		a.err = fmt.Errorf("%s takes no value", a.name)
		return false
	}
	if len(a.args) == 0 {
		return false
	}
	a.name, a.args = a.args[0], a.args[1:]
	switch {
	case strings.HasPrefix(a.name, "--"):
		a.name, a.held, a.holds = strings.Cut(a.name, "=")
	case len(a.name) > 2 && a.name[0] == '-' && strings.IndexByte(shortWithValue, a.name[1]) >= 0:
		a.name, a.held, a.holds = a.name[:2], a.name[2:], true
	case len(a.name) > 2 && a.name[0] == '-':
		a.args = append([]string{"-" + a.name[2:]}, a.args...)
		a.name = a.name[:2]
	}
	return true
}

// shortWithValue are the options of one letter that have a value.
const shortWithValue = "pfrRc"

func (a *argList) value() string {
	if a.holds {
		a.holds = false
		return a.held
	}
	if len(a.args) == 0 {
		a.err = fmt.Errorf("%s needs a value", a.name)
		return ""
	}
	v := a.args[0]
	a.args = a.args[1:]
	return v
}

// check finds what is missing for serving.
func (o *Options) check() error {
	switch {
	case !o.TPM2:
		return errors.New("--tpm2 is missing: this is a TPM 2.0 only, and swtpm's default is a TPM 1.2")
	case o.StateDir == "" && o.StateFile == "":
		return errors.New("--tpmstate dir=DIR is missing")
	case o.Chardev:
		return o.checkDevice()
	case o.Device != "" || o.VTPMProxy:
		return errors.New("--chardev and --vtpm-proxy are options of `stubtpm chardev`")
	case o.Data == nil && o.Control == nil:
		return errors.New("neither --server (or --port) nor --ctrl is given")
	}
	return nil
}
