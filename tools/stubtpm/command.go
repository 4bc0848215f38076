package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"stubtpm/tools/property"
	authority "stubtpm/tools/site"
	"stubtpm/tools/verify"
)

// A command is one subcommand; args are the arguments after its name.
type command struct {
	name, syntax, help string
	run                func(args []string, stdin io.Reader, stdout, stderr io.Writer) int
}

func commands() []command {
	return []command{
		{"serve", "--state DIR [options]", "serve a TPM on sockets in its state directory", serve},
		{"socket", "[swtpm's options]", "the same, with the options of `swtpm socket`", socket},
		{"mgr", "ORDER [options]", "send an order to the vTPM manager, from dom0", mgr},
		{"verify", "--policy FILE --nonce HEX EVIDENCE", "appraise evidence of a vTPM", verify.Command},
		{"verify-ek", "--policy FILE CERTIFICATE", "appraise the certificate of an endorsement key", verify.EKCommand},
		{"site", "COMMAND [options]", "certify hosts as a site, on the operator's machine", authority.Command},
		{"property", "COMMAND [options]", "seal secrets to what a key approves", property.Command},
		{"chardev", "[swtpm's options]", "the same for a character device or Linux' vTPM proxy", chardev},
		{"cuse", "", "not supported", unsupported("cuse", "a CUSE device")},
	}
}

// run runs the program. A first argument that is an option, or the program name swtpm,
// means socket, as swtpm's callers expect.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) < 2 {
		usage(stderr)
		return exitUsage
	}
	name, rest := args[1], args[2:]
	switch name {
	case "help", "-h", "--help":
		usage(stdout)
		return exitOK
	case "version", "-v", "--version":
		fmt.Fprintf(stdout, "TPM emulator version %s (stubtpm)\n", version)
		return exitOK
	}
	for _, c := range commands() {
		if c.name == name {
			return c.run(rest, stdin, stdout, stderr)
		}
	}
	if findOrder(args[1:]) != nil {
		return mgr(args[1:], stdin, stdout, stderr)
	}
	fmt.Fprintf(stderr, "%s: unknown command %q\n", filepath.Base(args[0]), name)
	usage(stderr)
	return exitUsage
}

func usage(w io.Writer) {
	fmt.Fprintln(w, "Usage: stubtpm COMMAND [options]")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-36s %s\n", strings.TrimSpace(c.name+" "+c.syntax), c.help)
	}
	fmt.Fprintln(w, "`stubtpm COMMAND --help` shows a command's options, `stubtpm mgr help` lists the orders.")
}

func unsupported(name, what string) func([]string, io.Reader, io.Writer, io.Writer) int {
	return func(_ []string, _ io.Reader, _, stderr io.Writer) int {
		fmt.Fprintf(stderr, "stubtpm %s: %s is not supported; use `stubtpm socket`\n", name, what)
		return exitFail
	}
}
