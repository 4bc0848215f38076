package hosted

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

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
func (p *spec) key() *keyOption {
	k := &keyOption{File: p.str("file"), FD: p.num("fd", 10, -1), Format: p.str("format"), Remove: p.flag("remove")}
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
		k.KDF = kdfPBKDF2
	case "sha512":
		k.KDF = kdfSHA512
	default:
		p.fail("unknown kdf %q", f)
	}
	return k
}

func (p *spec) flags(o *options) {
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

func (p *spec) state(o *options) {
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
