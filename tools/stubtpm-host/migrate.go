package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/devxen"
	"stubtpm/tools/movehost"
	"stubtpm/tools/xenlife"
	"stubtpm/tools/xenmove"
)

// movesDir has the records of moves.
const movesDir = movehost.Dir(stateDir + "/moves")

// A mover has what both sides of a move need.
type mover struct {
	dom0     *devxen.Host
	guests   *movehost.Guests
	life     *xenlife.Host
	programs *movehost.Programs
	manager  *movehost.Manager
	log      func(format string, args ...any)
}

// newMover opens this host. What it says goes to stderr: the output of migrate-receive is the
// link.
func newMover(manager string, stderr io.Writer) (*mover, error) {
	dom0, err := devxen.Open()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		dom0.Close()
		return nil, err
	}
	return &mover{
		dom0: dom0,
		guests: &movehost.Guests{Store: dom0.Domain().Store, XL: xenlife.XL, Status: func(id xen.DomID) (devxen.Status, error) {
			m, err := devxen.OpenMemory(id)
			if err != nil {
				return devxen.Status{}, err
			}
			defer m.Close()
			return m.Status()
		}},
		life:     &xenlife.Host{State: stateDir},
		programs: &movehost.Programs{Self: self, Dir: movesDir},
		manager:  &movehost.Manager{Command: []string{stubtpmProgram(), "mgr", "-domain", manager}},
		log:      func(format string, args ...any) { fmt.Fprintf(stderr, "stubtpm-host: "+format+"\n", args...) },
	}, nil
}

// migrate moves a guest with its vTPM to another host, or ends a move that was interrupted.
func migrate(ctx context.Context, args []string, stderr io.Writer) error {
	f := flag.NewFlagSet("migrate", flag.ContinueOnError)
	f.SetOutput(stderr)
	manager := f.String("manager", "vtpmmgr", "`name` of the manager's domain")
	key := f.String("approve", "", "key `file` of the approver of the vTPM's group, or of the administrator, which signs the move")
	site := f.String("site", "", "`file` of the site's certificates, by which the other host's evidence is verified before that")
	via := f.String("link", "", "shell `command` that runs stubtpm-host migrate-receive at the other host, instead of ssh HOST")
	alone := f.Bool("alone", false, "move the guest only, since its vTPM is at the other host already")
	finish := f.Bool("finish", false, "end a move of the guest that was interrupted, one way or the other")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if f.NArg() != 2 || strings.HasPrefix(f.Arg(1), "-") {
		return errUsage
	}
	guest, command := f.Arg(0), *via
	if command == "" {
		command = "ssh -T -o BatchMode=yes -o ServerAliveInterval=10 -- " + movehost.Quote(f.Arg(1)) + " stubtpm-host migrate-receive"
	}
	m, err := newMover(*manager, stderr)
	if err != nil {
		return err
	}
	defer m.dom0.Close()
	s := &xenmove.Source{
		Guests: m.guests, Records: movesDir, Log: m.log,
		Dial: func(context.Context) (io.ReadWriteCloser, error) { return movehost.Dial(command) },
		Start: func(ctx context.Context, guest string, l xenmove.Lock) (xenmove.Process, error) {
			id, ok, err := m.guests.Find(ctx, guest)
			if err != nil {
				return nil, err
			}
			if !ok {
				return nil, fmt.Errorf("%s: no such domain", guest)
			}
			return m.programs.Migrate(id, xenmove.DepartureRecord(guest), l)
		},
	}
	var uuid string
	var id xen.DomID
	b, open, err := movesDir.Load(xenmove.DepartureRecord(guest))
	if err != nil || *finish && !open {
		return err // no move has begun
	}
	if *finish {
		// What the guest has as its vTPM is on record: its devices may be gone.
		if uuid, err = xenmove.DepartedVTPM(b); err != nil {
			return err
		}
	} else if open {
		return xenmove.ErrUnfinished
	} else {
		var ok bool
		if id, ok, err = m.guests.Find(ctx, guest); err == nil && !ok {
			err = fmt.Errorf("%s: no such domain", guest)
		}
		if err == nil && !*alone {
			uuid, err = movehost.VTPMOf(ctx, m.guests.Store, id)
		}
		if err != nil {
			return err
		}
	}
	if uuid != "" {
		if *key == "" && !*finish {
			return fmt.Errorf("%w\n%s has a vTPM: -approve is required", errUsage, guest)
		}
		s.VTPM = &movehost.Leaving{Store: m.guests.Store, Dir: movesDir, Manager: m.manager, Name: *manager, ID: uuid, Key: *key, Site: *site}
	}
	if *finish {
		err = s.Finish(ctx, guest)
	} else if err = m.life.Leave(guest, id); err == nil {
		err = s.Move(ctx, guest)
	}
	return errors.Join(err, m.stays(context.WithoutCancel(ctx), guest, err))
}

// lateStop is how long a guest that xl has asked to stop may take to do so, or to give up: Linux
// waits two minutes for its TPM. xl waits one for the guest.
const lateStop = 150 * time.Second

// stays has a guest that runs here after a move, which ended with an error, created again when
// it ends, and keeps it running.
func (m *mover) stays(ctx context.Context, guest string, why error) error {
	if errors.Is(why, xenmove.ErrBusy) {
		return nil // another program moves it
	}
	id, ok, err := m.guests.Find(ctx, guest)
	if err != nil || !ok {
		return err
	}
	if s, err := m.guests.State(ctx, id); err != nil || s != xenmove.Running {
		return err
	}
	if err := m.life.Stay(guest); err != nil || !errors.Is(why, xenmove.ErrGivenUp) {
		return err
	}
	lock, err := movesDir.Lock(guest)
	if err != nil {
		return err
	}
	defer lock.Close()
	m.log("xl has given up: looking for %v whether %s stops later", lateStop, guest)
	if late, err := m.guests.ResumeLate(ctx, id, guest, lateStop); err != nil || !late {
		return err
	}
	m.log("%s had stopped, and was resumed", guest)
	return nil
}

// migrateReceive takes a guest from the host at the other side of its input and output.
func migrateReceive(ctx context.Context, args []string, stderr io.Writer) error {
	f := flag.NewFlagSet("migrate-receive", flag.ContinueOnError)
	f.SetOutput(stderr)
	manager := f.String("manager", "vtpmmgr", "`name` of the manager's domain")
	configs := f.String("vtpms", "/etc/stubtpm/vtpm", "`directory` of the configurations of vTPMs' domains, GUEST.cfg")
	start := f.String("start", "systemctl start stubtpm-vtpm@", "shell `command` that starts the domain of a guest's vTPM: the guest's name is put behind it")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if f.NArg() != 0 {
		return errUsage
	}
	// A guest whose vTPM has come waits here for another link.
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)
	m, err := newMover(*manager, stderr)
	if err != nil {
		return err
	}
	defer m.dom0.Close()
	r := &xenmove.Receiver{
		Guests: m.guests, Records: movesDir, Log: m.log,
		Start: func(_ context.Context, l xenmove.Lock) (xenmove.Process, error) { return m.programs.Receive(l) },
		VTPM: func(guest, uuid string) (xenmove.Arriving, error) {
			c, err := xenlife.ReadVTPMConfig(filepath.Join(*configs, guest+".cfg"))
			if err != nil {
				return nil, err
			}
			if !strings.EqualFold(c.UUID, uuid) {
				return nil, fmt.Errorf("%s.cfg is of the vTPM %s, and the guest has %s", guest, c.UUID, uuid)
			}
			return &movehost.Arriving{Store: m.guests.Store, Dir: movesDir, Manager: m.manager, Name: *manager, ID: c.UUID, Disk: c.Disk, Start: *start + guest}, nil
		},
	}
	return r.Serve(ctx, stdio{os.Stdin, os.Stdout})
}

// stdio is input and output of this program.
type stdio struct {
	io.Reader
	out *os.File
}

func (s stdio) Write(b []byte) (int, error) { return s.out.Write(b) }
func (s stdio) Close() error                { return s.out.Close() }
