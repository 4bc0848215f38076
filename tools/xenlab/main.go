// Command xenlab boots a real Xen with a software TPM inside QEMU and runs
// domains on it.
//
// Synopsis:
//
//	xenlab run [options]                       the whole stack, as a story and a shell
//	xenlab bench [options]                     times, memory and idle CPU
//	xenlab run-domain -kernel FILE [options]   one PVH unikernel, its console, its crash report
//
// Options are listed by -help of each command. The exit code is 0 if all that
// was asked for happened, 1 if not, 2 for wrong usage.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// errUsage is returned after a wrong command line has been explained.
var errUsage = errors.New("usage")

type command struct {
	name, help string
	run        func(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error
}

var commands = [...]command{
	{"run", "boot Xen, the whole stack and a guest, and tell the story", runStory},
	{"bench", "what manager and vTPM cost on Xen", runBench},
	{"run-domain", "boot Xen and one PVH unikernel, show its console", runDomain},
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(args) > 0 {
		for _, c := range commands {
			if c.name != args[0] {
				continue
			}
			err := c.run(ctx, args[1:], stdin, stdout, stderr)
			switch {
			case err == nil, errors.Is(err, flag.ErrHelp):
				return 0
			case errors.Is(err, errUsage):
				return 2
			}
			fmt.Fprintf(stderr, "xenlab %s: %v\n", c.name, err)
			return 1
		}
	}
	fmt.Fprintln(stderr, "usage: xenlab COMMAND [options]")
	for _, c := range commands {
		fmt.Fprintf(stderr, "  %-12s %s\n", c.name, c.help)
	}
	return 2
}
