// Baremetal builds unikernels with the stock Go toolchain.
//
// Synopsis:
//
//	baremetal build [-o file] [-tags list] [-ldaddr addr] [-s] package
//	baremetal vet [package...]
//	baremetal report
//	baremetal repro [package...]
//	baremetal stdtest [-full] [-m MiB] [-timeout time] [-v] [package...]
//
// Description:
//
// The compiler, the assembler, the linker and the standard library are those of
// the installed Go. A build overlay swaps the lowest layer of the linux/amd64
// runtime for the port in port/_src, which calls the hooks of runtime/goos; a
// board package defines them. The overlay is made from the installed GOROOT by
// edits that each must match a known number of times.
//
// Build links an image at 0x201000, adds Xen's PVH note and refuses an image with an
// instruction that calls a kernel. Vet runs go vet with the tags of an image.
// Report prints what the port adds to the stock tree, replaces, edits and leaves out.
// Repro builds twice, from two directories, and compares. Stdtest runs the standard
// library's own tests on bare metal in QEMU and counts them; what is left out is
// named with its reason.
//
// With TAMAGO=/path/to/go in the environment, build uses that upstream TamaGo
// toolchain and GOOS=tamago instead of the overlay.
//
// Exit codes: 0 done; 1 the command failed; 2 wrong usage.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// errUsage asks for the synopsis and exit code 2.
var errUsage = errors.New("usage: baremetal build|vet|report|repro|stdtest [flags] [package]")

var commands = map[string]func(args []string, stdout, stderr io.Writer) error{
	"build":   runBuild,
	"vet":     runVet,
	"report":  runReport,
	"repro":   runRepro,
	"stdtest": runStdtest,
}

func main() {
	err := run(os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case err == nil:
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "baremetal:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	cmd, ok := commands[args[0]]
	if !ok {
		return fmt.Errorf("%w: unknown command %q", errUsage, args[0])
	}
	return cmd(args[1:], stdout, stderr)
}
