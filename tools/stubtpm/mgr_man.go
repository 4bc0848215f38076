package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func sortedFlags() []string { return slices.Sorted(maps.Keys(flagTable())) }

// lastChanged is the date of the pages.
const lastChanged = "2026-11-23"

// roff escapes text for a manual page.
func roff(s string) string {
	s = strings.ReplaceAll(s, `\`, `\e`)
	s = strings.ReplaceAll(s, "-", `\-`)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

// A page is a manual page being written.
type page struct{ bytes.Buffer }

func (p *page) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

// exitStatus writes the section of exit codes.
func (p *page) exitStatus(codes []exitCode) {
	p.line(".SH EXIT STATUS")
	for _, e := range codes {
		p.line(".TP\n.B %d\n%s", e.code, roff(e.meaning))
	}
}

// mgrPage returns the manual page of `stubtpm mgr`, made from the tables.
func mgrPage() []byte {
	p := &page{}
	p.line(`.TH STUBTPM\-MGR 8 "%s" "stubtpm %s" "System administration"`, lastChanged, version)
	p.line(".SH NAME\nstubtpm\\-mgr \\- send an order to the vTPM manager")
	p.line(".SH SYNOPSIS\n.B stubtpm mgr\n[\\fB\\-\\-domain\\fR \\fINAME|ID\\fR] [\\fB\\-\\-key\\fR \\fIFILE\\fR] [\\fB\\-\\-json\\fR]\n.I ORDER\n[\\fIflags\\fR] [\\fIarguments\\fR]")
	p.line(".SH DESCRIPTION\nRuns in dom0 as root, and connects to the manager's domain by a ring of its own. Orders are signed; the private key is read from a file.\n" +
		"Flags may precede, follow and separate arguments. The word\n.B mgr\nmay be omitted.")
	p.line(".SH ORDERS")
	for _, o := range orders() {
		p.line(".TP\n\\fB%s\\fR%s", roff(o.name), roff(strings.TrimPrefix(synopsis(&o), o.name)))
		p.line("%s%s.", roff(strings.ToUpper(o.help[:1])), roff(o.help[1:]))
		if o.more != "" {
			p.line("%s", roff(o.more))
		}
		if o.offline {
			p.line("Needs no manager.")
		}
	}
	p.line(".SH FLAGS")
	for _, name := range sortedFlags() {
		p.line(".TP\n\\fB%s\\fR\n%s.", roff(flagSynopsis(name)), roff(flagTable()[name].help))
	}
	p.exitStatus(exitCodes())
	p.line(".SH OUTPUT\nTables are for people, and may change. With \\fB\\-\\-json\\fR each order with a result prints one JSON value, whose fields docs/admin.md lists;\nan error is one line of JSON on standard error: order, error, hint, status (of the manager's response), exit.")
	p.line(".SH FILES\n.TP\n.I %s\nprivate key of the administrator: PEM, PKCS #8, Ed25519", roff(defaultKey))
	p.line(".TP\n.I %s\nlock held while an order runs: one at a time", roff(lockFile))
	p.line(".TP\n.I %s\nlock of status, which does not wait for orders", roff(statusLock))
	p.line(".SH EXAMPLES\n.nf")
	for _, e := range examples() {
		p.line("%s", roff(e))
	}
	p.line(".fi\n.SH SEE ALSO\n.BR stubtpm (1),\n.BR xl (1)")
	return p.Bytes()
}

// examples returns command lines, which TestExamples runs.
func examples() []string {
	return []string{
		"stubtpm mgr keygen /etc/stubtpm/admin.key",
		`xl create /etc/stubtpm/vtpmmgr.cfg "extra='$(stubtpm mgr init)'"`,
		"stubtpm mgr enroll --name mail 6f3b2a10-0000-4000-8000-000000000001",
		"stubtpm mgr --json list",
		"stubtpm mgr audit-log export -o audit.json",
	}
}

// mainPage returns the manual page of the program.
func mainPage() []byte {
	p := &page{}
	p.line(`.TH STUBTPM 1 "%s" "stubtpm %s" "User commands"`, lastChanged, version)
	p.line(".SH NAME\nstubtpm \\- virtual TPM 2.0 as a process, and orders to the manager of vTPMs in Xen domains")
	p.line(".SH SYNOPSIS\n.B stubtpm\n.I COMMAND\n[\\fIoptions\\fR]")
	p.line(".SH COMMANDS")
	for _, c := range commands() {
		p.line(".TP\n\\fB%s\\fR %s\n%s%s.", roff(c.name), roff(c.syntax), roff(strings.ToUpper(c.help[:1])), roff(c.help[1:]))
	}
	p.line(".TP\n.B help\nList the commands.\n.TP\n.B version\nPrint the version.")
	p.line(".PP\n.B stubtpm\n.I COMMAND\n.B \\-\\-help\nshows the options of a command. Orders of\n.B mgr\nare in\n.BR stubtpm\\-mgr (8).")
	p.exitStatus(exitCodes()[:3])
	p.line(".SH SEE ALSO\n.BR stubtpm\\-mgr (8),\n.BR swtpm (8)")
	return p.Bytes()
}

func writeMan(m *mgrRun) error {
	for _, f := range []struct {
		name string
		text []byte
	}{{"man1/stubtpm.1", mainPage()}, {"man8/stubtpm-mgr.8", mgrPage()}} {
		name := filepath.Join(m.args[0], f.name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, f.text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
