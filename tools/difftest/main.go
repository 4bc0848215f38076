// Difftest sends the same generated TPM 2.0 commands to this project's device
// and to another TPM, and reports where their responses differ.
//
// Synopsis:
//
//	difftest [-n COMMANDS] [-seed SEED] [-stop N] [-other 'PROGRAM ARGS'] [-list] [-v]
//
// The other TPM is Debian's swtpm unless -other names a program that takes its
// options. The same seed gives the same run; an episode (a new pair of TPMs) has the
// seed that is printed with its divergences. -list prints the differences that
// are known, each with the paragraph of the specification about it.
//
// The exit code is 0 if there are only known differences, 1 otherwise, 2 for wrong
// usage.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"stubtpm/tools/difftest/stream"
	"stubtpm/tools/hosted/tpmproc"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "difftest:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	fs := flag.NewFlagSet("difftest", flag.ExitOnError)
	n := fs.Int("n", 5000, "commands")
	seed := fs.Uint64("seed", 1, "seed of the first episode")
	stop := fs.Int("stop", 0, "end after this number of divergences; 0 for never")
	program := fs.String("other", "", "program of the other TPM; default: swtpm socket")
	list := fs.Bool("list", false, "print the known differences")
	verbose := fs.Bool("v", false, "print each command")
	fs.Parse(args)
	if *list {
		for _, d := range stream.Differences {
			fmt.Fprintf(out, "%s\n  %s\n  %s\n", d.Name, d.Paragraph, d.Reason)
		}
		return nil
	}
	other := strings.Fields(*program)
	if len(other) == 0 {
		var err error
		if other, err = tpmproc.Swtpm(); err != nil {
			return err
		}
	}
	o := stream.Options{Seed: *seed, Commands: *n, Stop: *stop, Open: open(other)}
	if *verbose {
		o.Log = func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
	}
	res, err := stream.Run(o)
	fmt.Fprint(out, res)
	if err != nil {
		return err
	}
	if len(res.Divergences) > 0 {
		return errors.New("the two TPMs differ")
	}
	return nil
}
