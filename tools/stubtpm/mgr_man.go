package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// roff makes text safe in a manual page.
func roff(s string) string {
	s = strings.ReplaceAll(s, `\`, `\e`)
	s = strings.ReplaceAll(s, "-", `\-`)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

// manPage is the manual page of `stubtpm mgr`, from the tables.
func manPage() []byte {
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p(`.TH STUBTPM\-MGR 8 "" "stubtpm %s" "System administration"`, version)
	p(".SH NAME\nstubtpm\\-mgr \\- give the vTPM manager an order")
	p(".SH SYNOPSIS\n.B stubtpm mgr\n[\\fB\\-domain\\fR \\fINAME|ID\\fR] [\\fB\\-key\\fR \\fIFILE\\fR] [\\fB\\-json\\fR]\n.I ORDER\n[\\fIflags\\fR] [\\fIarguments\\fR]")
	p(".SH DESCRIPTION\nRuns in domain 0 and connects to the manager's domain over a ring of its own. Orders are signed; the private key is read from a file.")
	p(".SH ORDERS")
	for _, o := range orders() {
		p(".TP\n\\fB%s\\fR %s", roff(o.name), roff(strings.TrimPrefix(synopsis(&o), o.name)))
		p("%s%s.", roff(strings.ToUpper(o.help[:1])), roff(o.help[1:]))
		if o.more != "" {
			p("%s", roff(o.more))
		}
		if o.offline {
			p("Needs no manager.")
		}
	}
	p(".SH FLAGS")
	for _, name := range sortedFlags() {
		p(".TP\n\\fB%s\\fR\n%s.", roff(flagSynopsis(name)), roff(flagTable()[name].help))
	}
	p(".SH EXIT STATUS")
	for _, e := range exitCodes() {
		p(".TP\n.B %d\n%s", e.code, roff(e.meaning))
	}
	p(".SH FILES\n.TP\n.I %s\nprivate key of the administrator: PEM, PKCS #8, Ed25519", roff(defaultKey))
	return b.Bytes()
}

func exitCodes() []struct {
	code    int
	meaning string
} {
	return []struct {
		code    int
		meaning string
	}{
		{exitOK, "done"}, {exitFail, "failed"}, {exitUsage, "wrong usage"}, {exitRefused, "the manager refused; its reason is printed"},
		{exitNoReach, "there is no manager, or it does not answer"}, {exitForged, "an audit log is not what its manager signed"},
	}
}

func writeMan(m *mgrRun) error {
	return os.WriteFile(filepath.Join(m.args[0], "stubtpm-mgr.8"), manPage(), 0o644)
}
