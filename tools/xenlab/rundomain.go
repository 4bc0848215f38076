package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"stubtpm/tools/xenlab/lab"
)

// listFlag collects a repeated option.
type listFlag []string

func (l *listFlag) String() string     { return strings.Join(*l, ",") }
func (l *listFlag) Set(s string) error { *l = append(*l, s); return nil }

// domainOptions are the options of run-domain.
type domainOptions struct {
	kernel, extra, diskFile string
	memory, disk            int
	iomem, linux            bool
	second, secondExtra     string
	secondMemory            int
	cfg, secondCfg, files   listFlag
	before, dom0            listFlag
	guest                   string
	guestRun                listFlag
	tpm, accel, dir         string
	limit                   time.Duration
}

// parseDomainOptions parses the command line of run-domain.
func parseDomainOptions(args []string, stderr io.Writer) (*domainOptions, error) {
	o := &domainOptions{}
	f := flag.NewFlagSet("run-domain", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.kernel, "kernel", "", "PVH ELF `file` of the domain")
	f.IntVar(&o.memory, "memory", 24, "`MiB` of the domain")
	f.StringVar(&o.extra, "extra", "", "the domain's command line")
	f.BoolVar(&o.iomem, "iomem", false, "give the domain the hardware TPM's registers")
	f.IntVar(&o.disk, "disk", 0, "give the domain a disk of this size in `MiB` (xvda)")
	f.StringVar(&o.diskFile, "disk-file", "", "host `file` with the disk's first bytes")
	f.StringVar(&o.second, "second", "", "PVH ELF `file` of a second domain, named second")
	f.StringVar(&o.secondExtra, "second-extra", "", "its command line")
	f.IntVar(&o.secondMemory, "second-memory", 24, "its memory in `MiB`")
	f.Var(&o.cfg, "cfg", "a further `line` of the domain's xl configuration (may be repeated)")
	f.Var(&o.secondCfg, "second-cfg", "a further `line` of the second domain's xl configuration")
	f.Var(&o.dom0, "dom0", "shell `command` to run in dom0 after the domains are created (may be repeated)")
	f.Var(&o.before, "before", "shell `command` to run in dom0 before the domains are created (may be repeated)")
	f.Var(&o.files, "file", "host file to put into dom0, as `NAME=FILE` (may be repeated)")
	f.BoolVar(&o.linux, "linux", false, "put a Linux guest's kernel and initramfs into dom0 ("+lab.GuestKernel+", "+lab.GuestInitrd+")")
	f.StringVar(&o.guest, "guest", "", "also start a Linux guest with this `line` of xl configuration, such as vtpm=[\"backend=domain\"]; implies -linux")
	f.Var(&o.guestRun, "guest-run", "shell `command` to run in the Linux guest (may be repeated)")
	f.StringVar(&o.tpm, "tpm", "tis", "hardware TPM: tis, crb or none")
	f.StringVar(&o.accel, "accel", "tcg", "QEMU's accelerator")
	f.StringVar(&o.dir, "dir", "build/xenlab", "`directory` for logs and images")
	f.DurationVar(&o.limit, "timeout", 60*time.Second, "how long the domain may run")
	if err := f.Parse(args); err != nil {
		if err == flag.ErrHelp {
			return nil, err
		}
		return nil, errUsage
	}
	if o.kernel == "" && o.guest == "" {
		fmt.Fprintln(stderr, "run-domain: -kernel is needed")
		return nil, errUsage
	}
	for _, x := range o.files {
		if !strings.Contains(x, "=") {
			fmt.Fprintf(stderr, "run-domain: -file %s: want NAME=FILE\n", x)
			return nil, errUsage
		}
	}
	return o, nil
}

// labOptions returns the options of the lab, with the files to put into dom0.
func (o *domainOptions) labOptions() (lab.Options, error) {
	opt := lab.Options{Dir: o.dir, TPM: o.tpm, Accel: o.accel, LinuxGuest: o.linux || o.guest != "", Files: map[string]string{}}
	for _, f := range []struct{ name, file string }{
		{"/images/domain.elf", o.kernel}, {"/images/second.elf", o.second}, {"/images/disk.src", o.diskFile},
	} {
		if f.file == "" {
			continue
		}
		if _, err := os.Stat(f.file); err != nil {
			return opt, err
		}
		opt.Files[f.name] = f.file
	}
	for _, x := range o.files {
		name, file, _ := strings.Cut(x, "=")
		opt.Files[name] = file
	}
	return opt, nil
}

// A domainRun is a running lab for run-domain.
type domainRun struct {
	*domainOptions
	m   *lab.Machine
	out io.Writer
	log func(format string, args ...any)
}

// runDomain boots the lab, creates the domains one after the other, prints their
// consoles, and ends when the first domain ends or after the time limit.
func runDomain(ctx context.Context, args []string, _ io.Reader, stdout, stderr io.Writer) error {
	o, err := parseDomainOptions(args, stderr)
	if err != nil {
		return err
	}
	opt, err := o.labOptions()
	if err != nil {
		return err
	}
	start := time.Now()
	opt.Log = func(format string, a ...any) {
		fmt.Fprintf(stdout, "[%5.1f s] %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, a...))
	}
	m, err := lab.Start(ctx, opt)
	if err != nil {
		return err
	}
	defer m.Close()
	r := &domainRun{o, m, stdout, opt.Log}
	for _, c := range o.before {
		r.inDom0(ctx, c)
	}
	lines, err := r.configLines(ctx)
	if err != nil {
		return err
	}
	err = r.createAll(ctx, lines)
	for _, c := range o.dom0 {
		r.inDom0(ctx, c)
	}
	r.inDom0(ctx, "xl list")
	if err == nil && o.kernel != "" {
		r.awaitEnd(ctx, "domain")
	}
	fmt.Fprintln(stdout, "---- xl dmesg, what follows dom0's start ----")
	out, _ := m.Dom0.Run(ctx, "xl dmesg")
	fmt.Fprint(stdout, afterBoot(out))
	return err
}

// inDom0 runs a command in dom0 and prints its output.
func (r *domainRun) inDom0(ctx context.Context, command string) {
	out, err := r.m.Dom0.Run(ctx, command)
	fmt.Fprintf(r.out, "dom0# %s\n%s", command, out)
	if err != nil {
		r.log("%v", err)
	}
}

// configLines returns the additional lines of the domain's configuration, and creates its
// disk.
func (r *domainRun) configLines(ctx context.Context) ([]string, error) {
	lines := append([]string{}, r.cfg...)
	if r.iomem {
		lines = append(lines, fmt.Sprintf("iomem = [%q]", r.m.IOMem()))
	}
	if r.disk > 0 || r.diskFile != "" {
		src := ""
		if r.diskFile != "" {
			src = "/images/disk.src"
		}
		dev, err := r.m.Disk(ctx, "disk", max(r.disk, 1), src)
		if err != nil {
			return nil, err
		}
		lines = append(lines, fmt.Sprintf("disk = [\"%s,raw,xvda,rw\"]", dev))
	}
	return lines, nil
}

// createAll creates the domains that the options name.
func (r *domainRun) createAll(ctx context.Context, lines []string) error {
	if r.kernel != "" {
		if err := r.create(ctx, "domain", r.memory, r.extra, lines); err != nil {
			return err
		}
	}
	if r.second != "" {
		if err := r.create(ctx, "second", r.secondMemory, r.secondExtra, r.secondCfg); err != nil {
			return err
		}
	}
	if r.guest != "" {
		return r.runGuest(ctx)
	}
	return nil
}

// create creates the domain of a unikernel, and prints its console from now on.
func (r *domainRun) create(ctx context.Context, name string, memory int, extra string, lines []string) error {
	if _, err := r.m.Follow(name, linePrinter(r.out, name+"| ")); err != nil {
		return err
	}
	r.log("xl create %s (%d MiB)", name, memory)
	if err := r.m.Create(ctx, name, unikernelConfig(name, "/images/"+name+".elf", memory, extra, lines)); err != nil {
		return err
	}
	r.log("%s created", name)
	return nil
}

// runGuest starts the Linux guest and runs the commands for it.
func (r *domainRun) runGuest(ctx context.Context) error {
	if err := r.m.Create(ctx, "guest1", lab.GuestConfig("guest1", 160, r.guest)); err != nil {
		return err
	}
	r.log("guest1 created")
	g, err := r.m.ConnectGuest(ctx, "guest1", 90*time.Second)
	if err != nil {
		return err
	}
	r.log("guest1 is up")
	for _, c := range r.guestRun {
		out, err := g.Run(ctx, c)
		fmt.Fprintf(r.out, "guest1# %s\n%s", c, out)
		if err != nil {
			r.log("%v", err)
		}
	}
	return nil
}

// awaitEnd waits until a domain ends or the time limit passes.
func (r *domainRun) awaitEnd(ctx context.Context, name string) {
	limited, cancel := context.WithTimeout(ctx, r.limit)
	defer cancel()
	if err := r.m.Gone(limited, name); err == nil {
		r.log("%s has ended", name)
	} else if ctx.Err() == nil {
		r.log("%s still runs after %v", name, r.limit)
	}
	time.Sleep(time.Second) // for the last lines of the console
	r.inDom0(ctx, "xl list")
}

// unikernelConfig returns the xl configuration of a unikernel under test.
func unikernelConfig(name, kernel string, memory int, extra string, more []string) string {
	return fmt.Sprintf("name = %q\ntype = \"pvh\"\nmemory = %d\nvcpus = 1\nkernel = %q\nextra = %q\n"+
		"on_poweroff = \"destroy\"\non_reboot = \"destroy\"\non_crash = \"destroy\"\n%s\n",
		name, memory, kernel, extra, strings.Join(more, "\n"))
}

// afterBoot removes Xen's own start from its log.
func afterBoot(log string) string {
	const mark = "Freed"
	if i := strings.LastIndex(log, mark); i >= 0 {
		return log[i:]
	}
	return log
}

// linePrinter returns a function that prints a stream, which comes in pieces, line by
// line with a prefix.
func linePrinter(w io.Writer, prefix string) func(string) {
	var line string
	return func(s string) {
		line += s
		for {
			l, rest, ok := strings.Cut(line, "\n")
			if !ok {
				return
			}
			fmt.Fprintf(w, "%s%s\n", prefix, strings.TrimRight(l, "\r"))
			line = rest
		}
	}
}
