// Command stubtpm-host keeps the domains of vTPMs and their manager running on
// a Xen host.
//
// Synopsis:
//
//	stubtpm-host run [-restart] [-measure MANIFEST [-tell KEY]] FILE ...
//	                                start the domains of xl configurations and keep them connected
//	stubtpm-host reattach [-tell KEY] NAME
//	                                give what an earlier NAME served a device of the present one
//	stubtpm-host create -tell KEY [-manager NAME] FILE
//	                                create the domain of a guest, and tell the manager of it before it runs
//	stubtpm-host measure DOMAIN IMAGE
//	                                hash of the image in the memory of a domain made by xl create -p;
//	                                an error if it is not IMAGE
//	stubtpm-host tpm-info           what the manager's domain needs to use this machine's TPM: lines for
//	                                its configuration, from ACPI's TPM2 table and the TPM's control area
//
// Run starts each domain, waits until it says that it serves, gives each domain
// that an earlier incarnation served a device of this one, and ends when the
// domain has ended; with -restart, it starts the domain again. With -measure it
// starts only images that a manifest lists, and with -tell tells the manager
// which one it was, signed with a key of `stubtpm mgr keygen`. SIGTERM shuts the
// domains down. Under systemd (Type=notify) it says when the domain serves.
//
// It runs in domain 0 as root. The exit code is 0 for success, 1 for an error,
// 2 for wrong usage.
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

var errUsage = errors.New("usage: stubtpm-host run [-restart] [-measure MANIFEST [-tell KEY]] FILE ... | reattach [-tell KEY] NAME | measure DOMAIN IMAGE | create -tell KEY [-manager NAME] FILE | tpm-info")

// stateDir is on a file system that is empty after a restart of the machine.
const stateDir = "/run/stubtpm"

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 1 && args[0] == "tpm-info" {
		return tpmInfo(tpm2Table, physicalMemory, stdout)
	}
	if len(args) < 2 {
		return errUsage
	}
	f := flag.NewFlagSet(args[0], flag.ContinueOnError)
	f.SetOutput(stderr)
	restart, manifest, key, manager := false, "", "", ""
	if args[0] == "run" {
		f.StringVar(&manifest, "measure", "", "`file` of image manifest: start only what it lists, as it lies in the domain's memory")
		f.BoolVar(&restart, "restart", false, "start a domain again when it has ended")
	}
	if args[0] == "create" {
		f.StringVar(&manager, "manager", "vtpmmgr", "`name` of the manager's domain")
	}
	if args[0] != "measure" {
		f.StringVar(&key, "tell", "", "`file` of the key that signs what the manager is told")
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
		args[0] == "create" && n == 1 && key != "":
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
		h.Tell = func(ctx context.Context, manager string, id xen.DomID, hash string) error {
			return tell(ctx, key, manager, "measured", strconv.Itoa(int(id)), "-hash", hash)
		}
		h.TellCreated = func(ctx context.Context, id xen.DomID, uuid string) error {
			return tell(ctx, key, manager, "created", strconv.Itoa(int(id)), uuid)
		}
	}
	switch args[0] {
	case "create":
		return h.CreateGuest(ctx, f.Arg(0))
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
	// Up once all domains serve for the first time.
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
			h.Restart(ctx, file, func() { once.Do(up) })
		})
	}
	wait.Wait()
	return nil
}

// tell has stubtpm tell the manager: that beside this program, or in the path.
func tell(ctx context.Context, key, manager string, order ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	program := filepath.Join(filepath.Dir(self), "stubtpm")
	if _, err := os.Stat(program); err != nil {
		program = "stubtpm"
	}
	words := append([]string{"mgr", "-domain", manager, "-key", key}, order...)
	out, err := exec.CommandContext(ctx, program, words...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// notify tells systemd that the service is up (sd_notify(3)); without systemd
// there is nobody to tell.
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
