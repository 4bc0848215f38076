// Invariants drives the TPM device with generated commands, power cycles, a failing
// store and the passage of time, and checks its invariants after each step.
//
// Synopsis:
//
//	invariants [-for DURATION] [-seed SEED] [-without NAME]... [-only NAME] [-all] [-raw]
//	invariants -replay FILE [-seed SEED]
//
// A violation is printed as the shortest list of events that causes it, with the seed
// of its episode. -replay reads such a list from a file and repeats it. -all continues
// after a violation and prints the first one of each kind. -without ignores an
// invariant, -only ignores all others; ", by TPM2_Name" after its name restricts that to
// one command. -raw does not shorten the list.
//
// The exit code is 0 if nothing was violated, 1 otherwise, 2 for wrong usage.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"stubtpm/tools/invariants/drive"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "invariants:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	fs := flag.NewFlagSet("invariants", flag.ExitOnError)
	limit := fs.Duration("for", time.Minute, "how long")
	seed := fs.Uint64("seed", 1, "seed of the first episode")
	all := fs.Bool("all", false, "go on after a violation")
	only := fs.String("only", "", "look for violations whose kind has this in it, and pass over others")
	raw := fs.Bool("raw", false, "print all events that led to it")
	replay := fs.String("replay", "", "file of events to repeat")
	mk := drive.VTPM
	fs.Func("without", "invariant to leave out", func(s string) error {
		mk.Without = append(mk.Without, s)
		return nil
	})
	fs.Parse(args)
	if *replay != "" {
		return repeat(out, &mk, *seed, *replay)
	}
	if *only != "" {
		for _, s := range drive.Invariants {
			if !strings.Contains(*only, s) {
				mk.Without = append(mk.Without, s)
			}
		}
	}
	begin := time.Now()
	seen := map[string]int{}
	rep, err := drive.Search(drive.Options{Maker: mk, Seed: *seed, Commands: 1 << 60,
		Stop: func() bool { return time.Since(begin) > *limit },
		Each: func(f *drive.Found) bool {
			if !strings.Contains(f.Kind(), *only) {
				return true
			}
			if seen[f.Kind()]++; seen[f.Kind()] == 1 {
				s := f
				if !*raw {
					s = f.Shrink(&mk)
				}
				fmt.Fprintf(out, "# after %.1f s, %d events of %d\n%s\n", time.Since(begin).Seconds(), len(s.Events), len(f.Events), s)
			}
			return *all
		}})
	if rep != nil {
		fmt.Fprintln(out, rep.Stats)
	}
	for kind, n := range seen {
		fmt.Fprintf(out, "%6d times: %s\n", n, kind)
	}
	if err == nil && len(seen) > 0 {
		err = errors.New("invariants were violated")
	}
	return err
}

// repeat applies the events of a file.
func repeat(out io.Writer, mk *drive.Maker, seed uint64, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	events, err := drive.ReadEvents(f)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	answer, err := drive.Replay(mk, seed, events)
	fmt.Fprintf(out, "%d events, last answer %x\n", len(events), answer)
	return err
}
