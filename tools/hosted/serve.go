package hosted

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
)

// Names of the sockets in the state directory. The second is the first with
// ".ctrl", where the TCTI of tpm2-tss looks for it.
const (
	socketData = "swtpm.sock"
	socketCtrl = "swtpm.sock.ctrl"
)

// serveOptions are those of `stubtpm serve`.
type serveOptions struct {
	state    string
	tcp      bool
	addr     string
	port     int
	remote   bool
	startup  string
	noSync   bool
	strict   bool
	seccomp  string
	existing bool
	key, pwd string
	profile  string
	tcpSwtpm int
}

// RunServe is `stubtpm serve`: one TPM with unix sockets in its state
// directory, and on request TCP. It returns nil after SIGTERM or SIGINT.
func RunServe(args []string, open Factory, stdout, stderr io.Writer) error {
	var o serveOptions
	fs := flag.NewFlagSet("stubtpm serve", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.state, "state", "", "directory of the TPM's state and sockets; made if missing, but not its parents.\nWithout -key or -pwdfile the state is not encrypted: a user who can read it has all keys of the TPM.\nAn old copy that is put back is accepted, also with a key: counters, PIN attempts and\nremoved objects go back with it, and nothing reports it")
	fs.BoolVar(&o.tcp, "tcp", false, "also serve the Microsoft simulator's protocol on TCP")
	fs.StringVar(&o.addr, "addr", "127.0.0.1", "address for TCP")
	fs.IntVar(&o.port, "port", 2321, "port for commands with -tcp; the platform port is the next one")
	fs.IntVar(&o.tcpSwtpm, "swtpm-port", 0, "also serve swtpm's protocol on this TCP port, control on the next one: every user of this machine can then stop the TPM and read its state, all secrets in plain")
	fs.BoolVar(&o.remote, "allow-remote", false, "let -addr be an address that other machines can reach: neither protocol has any access control")
	fs.StringVar(&o.startup, "startup", "clear", "TPM2_Startup to send when power comes on: clear, state or none")
	fs.BoolVar(&o.noSync, "no-sync", false, "do not flush the state to the disk at each change: a loss of power may lose the TPM")
	fs.BoolVar(&o.strict, "strict", false, "refuse a state that is partly damaged, so that it may be an older one,\nand files or directories that other users can change")
	fs.BoolVar(&o.existing, "existing", false, "fail if the directory holds no TPM, instead of manufacturing one")
	fs.StringVar(&o.seccomp, "seccomp", seccompKill, "what happens at a forbidden system call: kill, log or none; kill also keeps\nthe process from all files but its state (Landlock)")
	fs.StringVar(&o.key, "key", "", "file with an AES key in hexadecimal digits that encrypts the state")
	fs.StringVar(&o.pwd, "pwdfile", "", "file with a passphrase that encrypts the state")
	fs.StringVar(&o.profile, "profile", "", "what a new TPM offers: the name of a profile, or a file (docs/profiles.md)")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("%w: unexpected %q", ErrUsage, fs.Arg(0))
	}
	return o.run(open, stdout, stderr)
}

// ErrUsage is wrapped by errors of wrong arguments.
var ErrUsage = errors.New("wrong use")

func (o *serveOptions) check() (Startup, error) {
	if o.state == "" {
		return 0, fmt.Errorf("%w: -state DIR is missing", ErrUsage)
	}
	if !(Endpoint{Addr: net.JoinHostPort(o.addr, "0")}).Loopback() && !o.remote {
		return 0, fmt.Errorf("%w: %s can be reached by other machines; -allow-remote is needed for that", ErrUsage, o.addr)
	}
	s, ok := map[string]Startup{"clear": StartupClear, "state": StartupState, "none": StartupNone}[o.startup]
	if !ok {
		return 0, fmt.Errorf("%w: -startup is clear, state or none", ErrUsage)
	}
	if o.seccomp != seccompKill && o.seccomp != seccompLog && o.seccomp != seccompNone {
		return 0, fmt.Errorf("%w: -seccomp is kill, log or none", ErrUsage)
	}
	return s, nil
}

func (o *serveOptions) readKey() (*stateKey, error) {
	var k *keyOption
	switch {
	case o.key != "" && o.pwd != "":
		return nil, fmt.Errorf("%w: -key and -pwdfile exclude each other", ErrUsage)
	case o.key != "":
		k = &keyOption{File: o.key, FD: -1}
	case o.pwd != "":
		k = &keyOption{File: o.pwd, FD: -1, Pass: true, KDF: kdfPBKDF2, Bits: 256}
	}
	return k.Read()
}

func (o *serveOptions) run(open Factory, stdout, stderr io.Writer) error {
	startup, err := o.check()
	if err != nil {
		return err
	}
	key, err := o.readKey()
	if err != nil {
		return err
	}
	sig := make(chan os.Signal, 1)
	signal.Notify(sig, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(sig)
	log, err := logOption{FD: -1}.open(stderr)
	if err != nil {
		return err
	}
	device, err := open(log, o.profile)
	if err != nil {
		return err
	}
	files, err := OpenStateDir(o.state, StateOptions{Mode: 0o600, NoSync: o.noSync, key: key, Log: log, Strict: o.strict})
	if err != nil {
		return err
	}
	defer files.Close()
	if o.existing {
		if _, ok := files.Size(BlobPermanent); !ok {
			return fmt.Errorf("%s holds no TPM that opens, and -existing was given", o.state)
		}
	}
	m := NewMachine(device, files, log)
	m.procs = oneProcessor()
	srv := NewServer()
	defer srv.Wait()
	defer srv.Stop()
	hints, start, err := o.listen(srv, m)
	if err != nil {
		return err
	}
	if err := m.Start(true, startup); err != nil {
		return err
	}
	defer m.PowerOff()
	if err := (confinement{action: o.seccomp, state: files, strict: o.strict}).apply(log); err != nil {
		return err
	}
	start()
	for _, h := range hints {
		fmt.Fprintln(stdout, h)
	}
	select {
	case s := <-sig:
		log("%v: ending", s)
	case <-srv.Done():
	}
	return nil
}

// listen opens the sockets. It returns lines on how to connect, and a function that
// begins to serve.
func (o *serveOptions) listen(srv *Server, m *Machine) (hints []string, start func(), err error) {
	data := &Data{Machine: m}
	ctrl := &Control{Machine: m, Shutdown: srv.Stop,
		DataFD: (&single{server: srv, serve: (&Data{Machine: m, Plain: true}).Serve}).replace}
	sim := &simulator{Machine: m, Stop: srv.Stop}
	var starts []func()
	open := func(e Endpoint, limit int, serve func(net.Conn)) error {
		e.UID, e.GID = -1, -1
		l, err := e.Open()
		if err == nil {
			srv.Keep(l)
			starts = append(starts, func() { srv.Listen(l, limit, serve, nil) })
		}
		return err
	}
	tcp := func(port int) Endpoint { return Endpoint{Addr: net.JoinHostPort(o.addr, strconv.Itoa(port))} }
	dir, err := filepath.Abs(o.state)
	if err != nil {
		return nil, nil, err
	}
	path := filepath.Join(dir, socketData)
	if err := errors.Join(open(Endpoint{Unix: true, Path: path, Mode: 0o700}, 1, data.Serve),
		open(Endpoint{Unix: true, Path: filepath.Join(dir, socketCtrl), Mode: 0o700}, controlClients, ctrl.Serve)); err != nil {
		return nil, nil, err
	}
	hints = append(hints, "TPM2TOOLS_TCTI=swtpm:path="+path)
	if o.tcpSwtpm != 0 {
		if err := errors.Join(open(tcp(o.tcpSwtpm), 1, data.Serve), open(tcp(o.tcpSwtpm+1), controlClients, ctrl.Serve)); err != nil {
			return nil, nil, err
		}
		hints = append(hints, fmt.Sprintf("TPM2TOOLS_TCTI=swtpm:host=%s,port=%d", o.addr, o.tcpSwtpm))
	}
	if o.tcp {
		if err := errors.Join(open(tcp(o.port), 1, sim.ServeCommand), open(tcp(o.port+1), controlClients, sim.ServePlatform)); err != nil {
			return nil, nil, err
		}
		hints = append(hints, fmt.Sprintf("TPM2TOOLS_TCTI=mssim:host=%s,port=%d", o.addr, o.port))
	}
	hints = append(hints, fmt.Sprintf("QEMU: -chardev socket,id=tpmctl,path=%s -tpmdev emulator,id=tpm0,chardev=tpmctl -device tpm-crb,tpmdev=tpm0",
		filepath.Join(dir, socketCtrl)))
	return hints, func() {
		for _, f := range starts {
			f()
		}
	}, nil
}
