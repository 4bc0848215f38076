package hosted

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// RunSocket is `swtpm socket` with another TPM behind it. It returns when the
// process should end: nil after SIGTERM, SIGINT, CMD_SHUTDOWN or, with
// --terminate, when the client left. The state is saved by then.
func RunSocket(args []string, open Factory, version string, stdout, stderr io.Writer) error {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	return run(o, open, version, stdout, stderr)
}

func run(o *options, open Factory, version string, stdout, stderr io.Writer) error {
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
func (o *options) logged(stderr io.Writer, err error) error {
	if o.Log.elsewhere() {
		if log, e := o.Log.open(stderr); e == nil {
			log("%v", err)
		}
	}
	return err
}

func runSocket(o *options, open Factory, log Logger) error {
	device, err := open(log, o.Profile)
	if err != nil {
		return fmt.Errorf("--profile: %w", err)
	}
	return serveSocket(o, device, log)
}

// serveSocket runs the channels until the end.
func serveSocket(o *options, open Open, log Logger) error {
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
	reportReady()
	select {
	case s := <-sig:
		log("%v: ending", s)
	case <-srv.Done():
	}
	return nil
}

// confine gives up what the process does not need to serve.
func (o *options) confine(files *StateDir, log Logger) error {
	c := confinement{action: o.Seccomp, state: files, strict: o.Strict}
	for _, e := range []*Endpoint{o.Data, o.Control} {
		if e != nil && e.Unix && e.Path != "" {
			c.sockets = append(c.sockets, e.Path)
		}
	}
	return c.apply(log)
}

// openState opens the state of --tpmstate.
func (o *options) openState(key *stateKey, log Logger) (*StateDir, error) {
	opt := StateOptions{Mode: o.StateMode, NoSync: o.NoSync, key: key, Log: log, Strict: o.Strict, unlocked: o.Incoming}
	if o.StateFile != "" {
		return OpenStateFile(o.StateFile, opt)
	}
	return OpenStateDir(o.StateDir, opt)
}
