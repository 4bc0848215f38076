// Stubtpm-host keeps the domains of vTPMs and their manager running on a Xen host.
//
// Synopsis:
//
//	stubtpm-host run [-restart] [-measure MANIFEST [-tell KEY]] FILE ...
//	        start the domains of xl configurations and keep them connected
//	stubtpm-host reattach [-tell KEY] NAME
//	        connect the frontends of an earlier domain NAME to the current one
//	stubtpm-host create -tell KEY [-manager NAME] FILE
//	        create a guest's domain, and report that to the manager before it runs
//	stubtpm-host guest -tell KEY [-manager NAME] FILE
//	        create, again each time that the domain has ended, as after a reboot
//	stubtpm-host save GUEST FILE
//	        save a guest's domain, as xl save does, so that it finds its TPM again
//	stubtpm-host restore -tell KEY [-manager NAME] GUEST FILE
//	        restore it, and report that to the manager before it runs
//	stubtpm-host migrate [-finish] [-alone] -approve KEY [-site FILE] [-manager NAME] GUEST HOST
//	        move a guest with its vTPM to another host, as a pair (docs/moves.md);
//	        with -finish, end a move that was interrupted, one way or the other
//	stubtpm-host migrate-receive [-manager NAME] [-vtpms DIRECTORY] [-start COMMAND]
//	        take a guest; migrate runs it at the other host, by ssh
//	stubtpm-host doorbell [-tell KEY] [-manager NAME]
//	        serve guests whose vtpm line has backend=Domain-0: see package doorbell
//	stubtpm-host measure DOMAIN IMAGE
//	        print the hash of the image in the memory of a domain made by
//	        xl create -p; fail if it is not IMAGE
//	stubtpm-host measure --predict [-kernel FILE] [-ramdisk FILE] [-cmdline LINE]
//	        [-memory MIB] [-vcpus N] [-uuid UUID] [-boot FILE] [-banks LIST]
//	        [-pcrs LIST] [-program] [-values FILE] [-log FILE] [CONFIGURATION]
//	        print the PCRs that a guest will have when it starts, computed from its
//	        files (docs/measured-boot.md); this runs anywhere
//	stubtpm-host tpm-info
//	        print the configuration lines with which the manager's domain can use
//	        this machine's TPM, from ACPI's TPM2 table and the TPM's control area
//
// Run starts each domain, waits until it serves, connects the frontends that an earlier
// domain of that name served, and ends when the domain has ended; with -restart, it starts
// the domain again. With -measure it starts only images that a manifest lists, and with
// -tell it reports to the manager which one it was, signed with a key of `stubtpm mgr
// keygen`. SIGTERM shuts the domains down. Under systemd (Type=notify) it notifies when
// all domains serve.
//
// It must run in dom0 as root. Exit codes: 0 success, 1 error, 2 wrong usage.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/devxen"
	"stubtpm/image"
	"stubtpm/tools/movehost"
	"stubtpm/tools/xenlife"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "stubtpm-host:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage: stubtpm-host run [-restart] [-measure MANIFEST [-tell KEY]] FILE ... | reattach [-tell KEY] NAME | measure DOMAIN IMAGE | measure --predict [OPTION ...] [FILE] | create|guest -tell KEY [-manager NAME] FILE | save GUEST FILE | restore -tell KEY [-manager NAME] GUEST FILE | migrate [-finish] [-alone] -approve KEY [-site FILE] [-manager NAME] [-link COMMAND] GUEST HOST | migrate-receive [-manager NAME] [-vtpms DIRECTORY] [-start COMMAND] | doorbell [-tell KEY] [-manager NAME] | tpm-info")

// stateDir is on a file system that is empty after a restart of the machine.
const stateDir = "/run/stubtpm"

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 1 && args[0] == "tpm-info" {
		return tpmInfo(tpm2Table, physicalMemory, stdout)
	}
	if len(args) > 0 {
		switch args[0] {
		case "migrate":
			return migrate(ctx, args[1:], stderr)
		case "migrate-receive":
			return migrateReceive(ctx, args[1:], stderr)
		case movehost.ProgramRelay:
			if len(args) != 2 {
				return errUsage
			}
			return movehost.Relay(args[1])
		case movehost.ProgramXL:
			if len(args) < 2 {
				return errUsage
			}
			return movehost.RunXL(args[1:])
		}
	}
	if len(args) < 2 && (len(args) == 0 || args[0] != "doorbell") {
		return errUsage
	}
	if args[0] == "measure" && (args[1] == "--predict" || args[1] == "-predict") {
		return predict(args[2:], stdout, stderr)
	}
	f := flag.NewFlagSet(args[0], flag.ContinueOnError)
	f.SetOutput(stderr)
	restart, manifest, key, manager := false, "", "", ""
	if args[0] == "run" {
		f.StringVar(&manifest, "measure", "", "image manifest `file`: start a domain only if its memory holds a listed image")
		f.BoolVar(&restart, "restart", false, "start a domain again when it has ended")
	}
	guest := args[0] == "create" || args[0] == "guest"
	if guest || args[0] == "doorbell" || args[0] == "restore" {
		f.StringVar(&manager, "manager", "vtpmmgr", "`name` of the manager's domain")
	}
	if args[0] != "measure" && args[0] != "save" {
		f.StringVar(&key, "tell", "", "key `file` that signs reports to the manager")
	}
	if err := f.Parse(args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	switch n := f.NArg(); {
	case key != "" && manifest == "" && args[0] == "run":
		return errUsage
	case args[0] == "run" && (n == 1 || n > 1 && restart), args[0] == "reattach" && n == 1, args[0] == "measure" && n == 2,
		guest && n == 1 && key != "", args[0] == "save" && n == 2, args[0] == "restore" && n == 2 && key != "", args[0] == "doorbell" && n == 0:
	default:
		return errUsage
	}
	dom0, err := devxen.Open()
	if err != nil {
		return err
	}
	defer dom0.Close()
	var mu sync.Mutex
	h := &xenlife.Host{
		Store: dom0.Domain().Store,
		XL:    xenlife.XL,
		State: stateDir, Manifest: manifest,
		Log: func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintf(stdout, format+"\n", args...)
		},
	}
	if key != "" {
		h.ReportMeasured = func(ctx context.Context, manager string, id xen.DomID, hash string) error {
			return reportTo(ctx, key, manager, "measured", strconv.Itoa(int(id)), "-hash", hash)
		}
		h.ReportCreated = func(ctx context.Context, id xen.DomID, uuid string) error {
			return reportTo(ctx, key, manager, "created", strconv.Itoa(int(id)), uuid)
		}
		h.ReportRestored = func(ctx context.Context, id xen.DomID, uuid, token string) error {
			return reportTo(ctx, key, manager, "restored", strconv.Itoa(int(id)), uuid, token)
		}
	}
	switch args[0] {
	case "doorbell":
		return serveDoorbell(ctx, h, dom0, key, manager)
	case "save":
		return h.SaveGuest(ctx, f.Arg(0), f.Arg(1))
	case "restore":
		return h.RestoreGuest(ctx, f.Arg(0), f.Arg(1))
	case "create":
		return h.CreateGuest(ctx, f.Arg(0))
	case "guest":
		var once sync.Once
		h.Restart(ctx, h.RunGuest, f.Arg(0), func() { once.Do(notify) })
		return nil
	case "reattach":
		return h.ReattachNow(ctx, f.Arg(0))
	case "measure":
		m, err := image.Measure(f.Arg(1))
		if err != nil {
			return err
		}
		if err := h.Expect(ctx, f.Arg(0), f.Arg(1), m.Loaded); err != nil {
			return err
		}
		fmt.Fprintln(stdout, m.Loaded)
		return nil
	}
	if !restart {
		return h.Run(ctx, f.Arg(0), notify)
	}
	// Notify once all domains have served for the first time.
	var wait sync.WaitGroup
	var starting atomic.Int64
	starting.Store(int64(f.NArg()))
	up := func() {
		if starting.Add(-1) == 0 {
			notify()
		}
	}
	for _, file := range f.Args() {
		wait.Go(func() {
			var once sync.Once
			h.Restart(ctx, h.Run, file, func() { once.Do(up) })
		})
	}
	wait.Wait()
	return nil
}

// stubtpmProgram returns the path of stubtpm: of that beside this program, or else the name.
func stubtpmProgram() string {
	if self, err := os.Executable(); err == nil {
		program := filepath.Join(filepath.Dir(self), "stubtpm")
		if _, err := os.Stat(program); err == nil {
			return program
		}
	}
	return "stubtpm"
}

// reportTo sends an order to the manager by stubtpm.
func reportTo(ctx context.Context, key, manager string, order ...string) error {
	words := append([]string{"mgr", "-domain", manager, "-key", key}, order...)
	out, err := exec.CommandContext(ctx, stubtpmProgram(), words...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// notify notifies systemd that the service is up (sd_notify(3)). Without systemd it does
// nothing.
func notify() {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return
	}
	defer c.Close()
	c.Write([]byte("READY=1"))
}
