package hosted

import (
	"errors"
	"fmt"
	"os"
	"strconv"
)

// options are those of `swtpm socket` (swtpm(8)).
type options struct {
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

	Key, MigrationKey *keyOption

	Log     logOption
	PIDFile string
	PIDFD   int // -1 if none
	RunAs   string
	Chroot  string
	Daemon  bool
	Seccomp string

	PrintCapabilities, PrintStates, PrintProfiles, PrintInfo, Help, Version bool

	InfoFlags uint64 // of --print-info
}

// A logOption is where log lines go (--log).
type logOption struct {
	File     string // "-" drops them, "" is standard error
	FD       int    // -1 if none
	Level    int
	Prefix   string
	Truncate bool
}

// parseOptions reads the arguments that follow `swtpm socket`.
func parseOptions(args []string) (*options, error) {
	o := &options{PIDFD: -1, Log: logOption{FD: -1}, StateDir: os.Getenv("TPM_PATH")}
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
func (o *options) set(a *argList) error {
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
			o.Log = logOption{File: p.str("file"), FD: p.num("fd", 10, -1), Level: p.num("level", 10, 0),
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

// check finds what is missing for serving.
func (o *options) check() error {
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

// checkDevice finds out whether there is one device.
func (o *options) checkDevice() error {
	n := 0
	for _, given := range []bool{o.Device != "", o.VTPMProxy, o.Data != nil} {
		if given {
			n++
		}
	}
	switch {
	case n != 1:
		return errors.New("exactly one of --chardev, --vtpm-proxy and --fd is needed")
	case o.Data != nil && o.Data.FD < 0:
		return errors.New("--server and --port are options of `stubtpm socket`")
	}
	return nil
}
