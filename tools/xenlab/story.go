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
	"stubtpm/tools/xenlab/scenario"
)

// imageFlags are the options that name the unikernels.
func imageFlags(f *flag.FlagSet) *scenario.Images {
	i := &scenario.Images{}
	f.StringVar(&i.Manager, "manager", "build/images/vtpmmgr.elf", "manager's unikernel `file`")
	f.StringVar(&i.VTPM, "vtpm", "build/images/vtpm.elf", "vTPM's unikernel `file`")
	f.StringVar(&i.Host, "host", "build/stubtpm-host", "static build of tools/stubtpm-host, `file`")
	f.StringVar(&i.Stubtpm, "stubtpm", "build/stubtpm", "static build of tools/stubtpm, `file`")
	return i
}

// runStory tells the story on a real Xen and, at a terminal, leaves a shell in
// the guest.
func runStory(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("run", flag.ContinueOnError)
	f.SetOutput(stderr)
	images := imageFlags(f)
	tpm := f.String("tpm", "tis", "hardware TPM: tis or crb")
	accel := f.String("accel", "tcg", "QEMU's accelerator, tcg or kvm")
	release := f.String("release", "bookworm", "Debian release of Xen, dom0 and guest: bookworm or trixie")
	dir := f.String("dir", "build/xenlab", "`directory` for logs and images")
	direct := f.Bool("direct", false, "give the hardware TPM to the guest itself, without manager and vTPM (a check of the lab)")
	shell := f.String("shell", "auto", "leave a shell in the guest: yes, no, or auto (if standard input is a terminal)")
	limit := f.Duration("timeout", 15*time.Minute, "time for the whole story")
	if err := f.Parse(args); err != nil {
		if err == flag.ErrHelp {
			return err
		}
		return errUsage
	}
	if *tpm == "none" {
		fmt.Fprintln(stderr, "run: the story needs a hardware TPM")
		return errUsage
	}
	distribution, err := lab.Release(*release)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return errUsage
	}
	r := &screen{w: stdout, start: time.Now()}
	opt := lab.Options{Distribution: distribution, Dir: *dir, TPM: *tpm, Accel: *accel, LinuxGuest: true, Encryption: !*direct, Log: r.Step}
	if !*direct {
		for _, file := range []string{images.Manager, images.VTPM, images.Stubtpm, images.Host} {
			if _, err := os.Stat(file); err != nil {
				return fmt.Errorf("%w (make images builds it)", err)
			}
		}
		opt.Files = images.Files()
	}
	// A new hardware TPM for each story.
	if err := os.RemoveAll(*dir + "/tpm"); err != nil {
		return err
	}
	storyCtx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	m, err := lab.Start(storyCtx, opt)
	if err != nil {
		return err
	}
	defer m.Close()
	s := scenario.NewStack(m)
	s.Direct = *direct
	g, err := s.Story(storyCtx, r)
	if err == nil && !*direct {
		g, err = s.MeasuredGuest(storyCtx, r)
	}
	if err != nil {
		r.print()
		return fmt.Errorf("%w\nlogs are in %s", err, *dir)
	}
	title := fmt.Sprintf("stubtpm on Xen of %v, QEMU %s, hardware TPM: swtpm behind %s", distribution, *accel, strings.ToUpper(*tpm))
	if *direct {
		title += ", given to the guest itself"
	}
	r.title = title
	r.print()
	if r.failed > 0 {
		return fmt.Errorf("%d claims do not hold", r.failed)
	}
	if in, ok := stdin.(*os.File); ok && (*shell == "yes" || *shell == "auto" && isTerminal(in)) {
		return guestShell(ctx, g, in, stdout)
	}
	return nil
}

// A screen prints progress as it goes and keeps the story for the end.
type screen struct {
	w      io.Writer
	title  string
	start  time.Time
	story  strings.Builder
	checks []string
	failed int
}

func (s *screen) Step(format string, args ...any) {
	fmt.Fprintf(s.w, "[%5.1f s] %s\n", time.Since(s.start).Seconds(), fmt.Sprintf(format, args...))
}

func (s *screen) Show(where, command, output string) {
	fmt.Fprintf(&s.story, "%s# %s\n", where, command)
	for _, l := range strings.Split(output, "\n") {
		if l != "" {
			fmt.Fprintf(&s.story, "    %s\n", strings.TrimSpace(l))
		}
	}
}

func (s *screen) Check(claim string, holds bool, detail string) {
	mark := "ok    "
	if !holds {
		mark = "FAILED"
		s.failed++
		fmt.Fprintf(s.w, "FAILED: %s: %s\n", claim, detail)
	}
	s.checks = append(s.checks, mark+" "+claim)
}

// print shows the story and the claims.
func (s *screen) print() {
	line := strings.Repeat("-", 78)
	fmt.Fprintf(s.w, "\n%s\n%s\n%s\n%s%s\n", line, s.title, line, s.story.String(), line)
	for _, c := range s.checks {
		fmt.Fprintf(s.w, "%s\n", c)
	}
	fmt.Fprintf(s.w, "%s\n%d claims hold, %d do not; %.0f s\n", line, len(s.checks)-s.failed, s.failed, time.Since(s.start).Seconds())
}
