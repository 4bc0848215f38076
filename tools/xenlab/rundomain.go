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

// runDomain boots the lab, creates the given domains one after the other,
// streams their consoles, and ends when the first domain ends or the time is
// over.
func runDomain(ctx context.Context, args []string, _ io.Reader, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("run-domain", flag.ContinueOnError)
	f.SetOutput(stderr)
	kernel := f.String("kernel", "", "PVH ELF `file` of the domain")
	memory := f.Int("memory", 24, "`MiB` of the domain")
	extra := f.String("extra", "", "the domain's command line")
	iomem := f.Bool("iomem", false, "give the domain the hardware TPM's registers")
	disk := f.Int("disk", 0, "give the domain a disk of so many `MiB` (xvda)")
	diskFile := f.String("disk-file", "", "host `file` with the disk's first bytes")
	second := f.String("second", "", "PVH ELF `file` of a second domain, named second")
	secondExtra := f.String("second-extra", "", "its command line")
	secondMemory := f.Int("second-memory", 24, "its memory in `MiB`")
	var cfg, secondCfg, dom0, before listFlag
	f.Var(&cfg, "cfg", "a further `line` of the domain's xl configuration (may be repeated)")
	f.Var(&secondCfg, "second-cfg", "a further `line` of the second domain's xl configuration")
	f.Var(&dom0, "dom0", "shell `command` to run in dom0 after the domains are created (may be repeated)")
	f.Var(&before, "before", "shell `command` to run in dom0 before the domains are created (may be repeated)")
	var files listFlag
	f.Var(&files, "file", "host file to put into dom0, as `NAME=FILE` (may be repeated)")
	linux := f.Bool("linux", false, "put a Linux guest's kernel and initramfs into dom0 ("+lab.GuestKernel+", "+lab.GuestInitrd+")")
	guest := f.String("guest", "", "also start a Linux guest with this `line` of xl configuration, such as vtpm=[\"backend=domain\"]; implies -linux")
	var guestCmds listFlag
	f.Var(&guestCmds, "guest-run", "shell `command` to run in the Linux guest (may be repeated)")
	tpm := f.String("tpm", "tis", "hardware TPM: tis, crb or none")
	accel := f.String("accel", "tcg", "QEMU's accelerator")
	dir := f.String("dir", "build/xenlab", "`directory` for logs and images")
	limit := f.Duration("timeout", 60*time.Second, "how long the domain may run")
	if err := f.Parse(args); err != nil {
		if err == flag.ErrHelp {
			return err
		}
		return errUsage
	}
	if *kernel == "" && *guest == "" {
		fmt.Fprintln(stderr, "run-domain: -kernel is needed")
		return errUsage
	}
	opt := lab.Options{Dir: *dir, TPM: *tpm, Accel: *accel, LinuxGuest: *linux || *guest != "", Files: map[string]string{}}
	start := time.Now()
	opt.Log = func(format string, a ...any) {
		fmt.Fprintf(stdout, "[%5.1f s] %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, a...))
	}
	for _, k := range []string{*kernel, *second, *diskFile} {
		if k == "" {
			continue
		}
		if _, err := os.Stat(k); err != nil {
			return err
		}
	}
	if *kernel != "" {
		opt.Files["/images/domain.elf"] = *kernel
	}
	if *second != "" {
		opt.Files["/images/second.elf"] = *second
	}
	for _, x := range files {
		name, src, ok := strings.Cut(x, "=")
		if !ok {
			fmt.Fprintf(stderr, "run-domain: -file %s: want NAME=FILE\n", x)
			return errUsage
		}
		opt.Files[name] = src
	}
	if *diskFile != "" {
		opt.Files["/images/disk.src"] = *diskFile
	}
	m, err := lab.Start(ctx, opt)
	if err != nil {
		return err
	}
	defer m.Close()
	dom0Run := func(cmd string) {
		out, err := m.Dom0.Run(ctx, cmd)
		fmt.Fprintf(stdout, "dom0# %s\n%s", cmd, out)
		if err != nil {
			opt.Log("%v", err)
		}
	}
	for _, c := range before {
		dom0Run(c)
	}

	lines := append([]string{}, cfg...)
	if *iomem {
		lines = append(lines, fmt.Sprintf("iomem = [%q]", m.IOMem()))
	}
	if *disk > 0 || *diskFile != "" {
		src := ""
		if *diskFile != "" {
			src = "/images/disk.src"
		}
		dev, err := m.Disk(ctx, "disk", max(*disk, 1), src)
		if err != nil {
			return err
		}
		lines = append(lines, fmt.Sprintf("disk = [\"%s,raw,xvda,rw\"]", dev))
	}
	watched := "domain"
	var failed error
	create := func(name, file string, memory int, extra string, lines []string) error {
		c, err := m.Follow(name, linePrinter(stdout, name+"| "))
		if err != nil {
			return err
		}
		_ = c
		opt.Log("xl create %s (%d MiB)", name, memory)
		if err := m.Create(ctx, name, unikernelConfig(name, file, memory, extra, lines)); err != nil {
			return err
		}
		opt.Log("%s created", name)
		return nil
	}
	if *kernel != "" {
		failed = create("domain", "/images/domain.elf", *memory, *extra, lines)
	} else {
		watched = ""
	}
	if failed == nil && *second != "" {
		failed = create("second", "/images/second.elf", *secondMemory, *secondExtra, secondCfg)
	}
	if failed == nil && *guest != "" {
		failed = m.Create(ctx, "guest1", lab.GuestConfig("guest1", 160, *guest))
		if failed == nil {
			opt.Log("guest1 created")
			var g *lab.Guest
			g, failed = m.ConnectGuest(ctx, "guest1", 90*time.Second)
			if failed == nil {
				opt.Log("guest1 is up")
				for _, c := range guestCmds {
					out, err := g.Run(ctx, c)
					fmt.Fprintf(stdout, "guest1# %s\n%s", c, out)
					if err != nil {
						opt.Log("%v", err)
					}
				}
			}
		}
	}
	for _, c := range dom0 {
		dom0Run(c)
	}
	dom0Run("xl list")
	if failed == nil && watched != "" {
		wctx, cancel := context.WithTimeout(ctx, *limit)
		err := m.Gone(wctx, watched)
		cancel()
		if err == nil {
			opt.Log("%s has ended", watched)
		} else if ctx.Err() == nil {
			opt.Log("%v are over, %s still runs", *limit, watched)
		}
		time.Sleep(time.Second) // the console's last lines
		dom0Run("xl list")
	}
	fmt.Fprintln(stdout, "---- xl dmesg, what follows dom0's start ----")
	out, _ := m.Dom0.Run(ctx, "xl dmesg")
	fmt.Fprint(stdout, afterBoot(out))
	return failed
}

// unikernelConfig is the xl configuration of a unikernel under test.
func unikernelConfig(name, kernel string, memory int, extra string, more []string) string {
	return fmt.Sprintf("name = %q\ntype = \"pvh\"\nmemory = %d\nvcpus = 1\nkernel = %q\nextra = %q\n"+
		"on_poweroff = \"destroy\"\non_reboot = \"destroy\"\non_crash = \"destroy\"\n%s\n",
		name, memory, kernel, extra, strings.Join(more, "\n"))
}

// afterBoot cuts Xen's own start off its log.
func afterBoot(log string) string {
	const mark = "Freed"
	if i := strings.LastIndex(log, mark); i >= 0 {
		return log[i:]
	}
	return log
}

// linePrinter prefixes each line of a stream that comes in pieces.
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
