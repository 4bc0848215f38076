package hosted

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

// RunSocket is `swtpm socket` with another TPM behind it. It returns when the
// process should end: nil after SIGTERM, SIGINT, CMD_SHUTDOWN or, with
// --terminate, when the client left. The state is saved by then.
func RunSocket(args []string, open Factory, version string, stdout, stderr io.Writer) error {
	o, err := ParseOptions(args)
	if err != nil {
		return err
	}
	return run(o, open, version, stdout, stderr)
}

func run(o *Options, open Factory, version string, stdout, stderr io.Writer) error {
	switch {
	case o.Help:
		_, err := io.WriteString(stdout, socketHelp)
		return err
	case o.Version:
		_, err := fmt.Fprintf(stdout, "TPM emulator version %s, stubtpm %s\n", swtpmVersion, version)
		return err
	case o.PrintCapabilities:
		return printCapabilities(stdout, version)
	case o.PrintStates:
		return printStates(o, stdout)
	case o.PrintProfiles:
		return printProfiles(stdout)
	case o.PrintInfo:
		return printInfo(o, open, stdout)
	}
	if err := o.check(); err != nil {
		return o.logged(stderr, err)
	}
	if o.Daemon && os.Getenv(readyFD) == "" {
		return daemonize(o)
	}
	if err := o.become(); err != nil {
		return o.logged(stderr, err)
	}
	log, err := o.Log.open(stderr)
	if err != nil {
		return err
	}
	err = runSocket(o, open, log)
	if err != nil && o.Log.elsewhere() {
		log("%v", err)
	}
	return err
}

// logged writes an error to the log as well, where that is not standard error:
// libvirt, for one, shows nothing but the last line of the log. It returns err.
func (o *Options) logged(stderr io.Writer, err error) error {
	if o.Log.elsewhere() {
		if log, e := o.Log.open(stderr); e == nil {
			log("%v", err)
		}
	}
	return err
}

func runSocket(o *Options, open Factory, log Logger) error {
	device, err := open(log, o.Profile)
	if err != nil {
		return fmt.Errorf("--profile: %w", err)
	}
	return serveSocket(o, device, log)
}

// serveSocket runs the channels until the end.
func serveSocket(o *Options, open Open, log Logger) error {
	// Signals are taken from the start, so that none ends the process between
	// the manufacture and the first command.
	sig := make(chan os.Signal, 1)
	signal.Notify(sig, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(sig)
	key, err := o.Key.Read()
	if err != nil {
		return fmt.Errorf("--key: %w", err)
	}
	migration, err := o.MigrationKey.Read()
	if err != nil {
		return fmt.Errorf("--migration-key: %w", err)
	}
	files, err := o.openState(key, log)
	if err != nil {
		return err
	}
	defer files.Close()

	m := NewMachine(open, files, log)
	m.procs = oneProcessor()
	m.rejectLocality4, m.releaseLock, m.noShutdown = o.RejectLocality4, o.ReleaseLock, o.NoShutdown
	srv := NewServer()
	defer srv.Wait()
	defer srv.Stop()
	data := &Data{Machine: m, AllowSetLocality: o.AllowSetLocality, Disconnect: o.Disconnect}
	var left func()
	if o.Terminate {
		left = srv.Stop
	}
	passed := *data
	passed.Plain = true
	ctrl := &Control{Machine: m, MigrationKey: migration, Shutdown: srv.Stop,
		DataFD: (&single{server: srv, serve: passed.Serve, left: left}).replace}
	// Listen first and power on after: a client that waits for the socket can
	// connect at once, and waits for the answer.
	start, err := o.listen(srv, data, ctrl, left, log)
	if err != nil {
		return err
	}
	if o.NotNeedInit {
		if err := m.Start(true, o.Startup); err != nil {
			return err
		}
	}
	defer m.PowerOff()
	if err := o.writePID(); err != nil {
		return err
	}
	if err := o.confine(files, log); err != nil {
		return err
	}
	start()
	tellReady()
	select {
	case s := <-sig:
		log("%v: ending", s)
	case <-srv.Done():
	}
	return nil
}

// confine gives up what the process does not need to serve.
func (o *Options) confine(files *StateDir, log Logger) error {
	c := confinement{action: o.Seccomp, state: files, strict: o.Strict}
	for _, e := range []*Endpoint{o.Data, o.Control} {
		if e != nil && e.Unix && e.Path != "" {
			c.sockets = append(c.sockets, e.Path)
		}
	}
	return c.apply(log)
}

// controlClients bounds the clients of the control channel.
const controlClients = 16

// listen opens both channels; the function it returns begins to serve them.
func (o *Options) listen(srv *Server, data *Data, ctrl *Control, left func(), log Logger) (start func(), err error) {
	var starts []func()
	if o.Chardev {
		conn, err := o.openDevice(log)
		if err != nil {
			return nil, err
		}
		starts = append(starts, func() { srv.Go(conn, data.Serve, srv.Stop) })
	} else if e := o.Data; e != nil {
		if e.FD >= 0 || e.ClientFD >= 0 {
			conn, err := connFD(max(e.FD, e.ClientFD))
			if err != nil {
				return nil, fmt.Errorf("--server: %w", err)
			}
			// There is no way to come back once this connection is gone.
			starts = append(starts, func() { srv.Go(conn, data.Serve, srv.Stop) })
		} else {
			l, err := e.Open()
			if err != nil {
				return nil, fmt.Errorf("--server: %w", err)
			}
			srv.Keep(l)
			starts = append(starts, func() { srv.Listen(l, 1, data.Serve, left) })
		}
	}
	if e := o.Control; e != nil {
		gone := func() {}
		if o.ControlTerminate {
			gone = srv.Stop
		}
		switch {
		case e.ClientFD >= 0:
			conn, err := connFD(e.ClientFD)
			if err != nil {
				return nil, fmt.Errorf("--ctrl: %w", err)
			}
			starts = append(starts, func() {
				srv.Go(conn, ctrl.Serve, func() {
					gone()
					if left != nil {
						left()
					}
				})
			})
		default:
			var l net.Listener
			if e.FD >= 0 {
				l, err = listenerFD(e.FD)
			} else {
				l, err = e.Open()
			}
			if err != nil {
				return nil, fmt.Errorf("--ctrl: %w", err)
			}
			srv.Keep(l)
			starts = append(starts, func() { srv.Listen(l, controlClients, ctrl.Serve, gone) })
		}
	}
	return func() {
		for _, f := range starts {
			f()
		}
	}, nil
}

func connFD(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "connection")
	if f == nil {
		return nil, fmt.Errorf("file descriptor %d is not open", fd)
	}
	defer f.Close()
	return net.FileConn(f)
}

func listenerFD(fd int) (net.Listener, error) {
	f := os.NewFile(uintptr(fd), "listener")
	if f == nil {
		return nil, fmt.Errorf("file descriptor %d is not open", fd)
	}
	defer f.Close()
	return net.FileListener(f)
}

// maxKeyFile bounds a key or passphrase file, in bytes.
const maxKeyFile = 4096

// Read reads the key; a nil option is no key.
func (k *KeyOption) Read() (*Key, error) {
	if k == nil {
		return nil, nil
	}
	f := os.NewFile(uintptr(k.FD), "key")
	if k.FD < 0 {
		var err error
		if f, err = os.Open(k.File); err != nil {
			return nil, err
		}
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxKeyFile {
		return nil, fmt.Errorf("key file has more than %d bytes", maxKeyFile)
	}
	if k.Remove && k.File != "" {
		if err := os.Remove(k.File); err != nil {
			return nil, err
		}
	}
	if k.Pass {
		return NewPassphraseKey(bytes.TrimRight(b, "\r\n"), k.KDF, k.Bits)
	}
	return ParseKey(b, k.Format)
}

// openState opens the state of --tpmstate.
func (o *Options) openState(key *Key, log Logger) (*StateDir, error) {
	opt := StateOptions{Mode: o.StateMode, NoSync: o.NoSync, Key: key, Log: log, Strict: o.Strict, Unlocked: o.Incoming}
	if o.StateFile != "" {
		return OpenStateFile(o.StateFile, opt)
	}
	return OpenStateDir(o.StateDir, opt)
}

// writePID writes the number of this process.
func (o *Options) writePID() error {
	pid := []byte(strconv.Itoa(os.Getpid()) + "\n")
	if o.PIDFile != "" {
		f, err := openOutput(o.PIDFile, os.O_TRUNC, 0o644)
		if err != nil {
			return fmt.Errorf("--pid: %w", err)
		}
		_, err = f.Write(pid)
		return errors.Join(err, f.Close())
	}
	if o.PIDFD >= 0 {
		f := os.NewFile(uintptr(o.PIDFD), "pid")
		if f == nil {
			return errors.New("--pid: file descriptor is not open")
		}
		_, err := f.Write(pid)
		return errors.Join(err, f.Close())
	}
	return nil
}

// swtpmVersion is the version of swtpm whose options and channels these are.
const swtpmVersion = "0.7.1"

// printCapabilities prints what libvirt and others ask for. They look at the
// type, which is therefore swtpm's, and some compare the text, white space
// included. rsa-keysize-4096 is left out because swtpm_setup 0.7.1 would ask
// for an endorsement key of that size, and has no template for it.
func printCapabilities(w io.Writer, version string) error {
	features := []string{"tpm-2.0", "tpm-send-command-header", "flags-opt-startup", "cmdarg-seccomp",
		"cmdarg-key-fd", "cmdarg-pwd-fd", "cmdarg-print-states", "cmdarg-migration", "nvram-backend-dir", "nvram-backend-file",
		"rsa-keysize-2048", "rsa-keysize-3072", "flags-opt-disable-auto-shutdown", "ctrl-opt-terminate", "cmdarg-chroot",
		"cmdarg-profile", "cmdarg-print-profiles", "cmdarg-print-info", "tpmstate-opt-lock", "tpmstate-dir-backend-opt-fsync"}
	_, err := fmt.Fprintf(w, `{ "type": "swtpm", "features": [ "%s" ], "version": %q, "implementation": "stubtpm", "implementation-version": %q }`+"\n",
		strings.Join(features, `", "`), swtpmVersion, version)
	return err
}

const socketHelp = `Usage: stubtpm socket [options]

The options are those of swtpm(8), "swtpm socket":
  --tpm2                    needed: this is a TPM 2.0
  --tpmstate dir=DIR[,mode=0...]|backend-uri=dir://DIR|backend-uri=file://FILE[,mode=0...]
                            FILE may be a block device. DIR is made if missing, but not its parents.
                            Without --key the state is in plain: who reads it has all keys of the TPM.
                            An old copy that is put back is taken for the state: counters, PIN tries and
                            removed objects go back with it, and nothing tells, with --key either.
  --server type=tcp,port=P[,bindaddr=A][,disconnect] | type=unixio,path=F[,mode=0...][,uid=][,gid=] | fd=N
  --ctrl type=tcp,port=P[,bindaddr=A] | type=unixio,path=F[,mode=0...][,uid=][,gid=] | fd=N | clientfd=N
                            with terminate the process ends when a client of the channel leaves
                            There is no access control beyond the socket's. The channel hands out
                            the state, all secrets in it, in plain unless --migration-key is given
                            (--key alone does not help); on TCP, to every user of this machine.
  -p, --port P; -f, --fd N; -t, --terminate; -d, --daemon
  stubtpm chardev takes a character device in place of --server:
  -c, --chardev PATH; -f, --fd N; --vtpm-proxy (a TPM device that Linux makes, by /dev/vtpmx)
  --flags not-need-init,startup-clear|startup-state|startup-none,disable-auto-shutdown
  --locality reject-locality-4,allow-set-locality
  --key, --migration-key file=F|fd=N[,format=hex|binary] | pwdfile=F|pwdfd=N[,kdf=pbkdf2|sha512] [,mode=aes-256-cbc][,remove]
                            the files are AES-GCM under a key of that size
  --log file=F|fd=N[,prefix=][,truncate]; --pid file=F|fd=N; -r, --runas USER; -R, --chroot DIR
  --seccomp action=kill|log|none
                            what happens at a forbidden system call; kill, the default, also keeps the
                            process from all files but its state (Landlock)
  --print-capabilities, --print-states, --print-profiles, --print-info FLAGS, --version, --help
  --migration incoming,release-lock-outgoing
                            shared storage: lock the state at CMD_INIT; release the lock after the last blob
  --profile NAME|FILE|JSON  what a new TPM offers, also as name=, file=, fd= or profile=. swtpm's names
                            default-v1, null and custom are the profile of no --profile
and two more:
  --no-sync                 do not flush the state to the disk at each change (swtpm never does):
                            a loss of power may lose the TPM
  --strict                  refuse a state of which a part is damaged, so that it may be an older one,
                            and files or directories that other users can change
`
