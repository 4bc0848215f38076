package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"stubtpm/vtpmmgr/proto"
)

// Exit codes of `stubtpm mgr`, besides exitOK, exitFail and exitUsage.
const (
	exitRefused = 3 // the manager's answer was a refusal; its text is printed
	exitNoReach = 4 // there is no manager, or it does not answer
	exitForged  = 5 // what was to be verified is not what it claims to be
)

// An order is one thing that an administrator does. Help, man pages, shell
// completion and the dispatcher come from the table of them.
type order struct {
	name    string
	args    string // as in a synopsis
	flags   string // names from flagTable, with blanks between
	help    string // one line
	more    string // paragraphs for the man page
	offline bool   // needs no manager
	run     func(m *mgrRun) error
}

// counts returns how many arguments an order takes; at most -1 is for any.
func (o *order) counts() (least, most int) {
	for _, f := range strings.Fields(o.args) {
		switch {
		case f == "...":
			return least, -1
		case strings.HasPrefix(f, "["):
			most++
		default:
			least, most = least+1, most+1
		}
	}
	return least, most
}

// An mgrRun is one order on its way.
type mgrRun struct {
	args        []string
	o           options
	c           *proto.Client
	stdin       *bufio.Reader
	out, stderr io.Writer
}

// errUsage says that an argument is wrong.
var errUsage = errors.New("wrong usage")

// reach connects to a manager and runs something with it.
type reach func(domain string, run func(c *proto.Client) error) error

// errReach says that a manager was not reached.
type errReach struct{ error }

func (e errReach) Unwrap() error { return e.error }

// mgr is the administrator's front end to the vTPM manager.
func mgr(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return mgrWith(withManager, args, stdin, stdout, stderr)
}

func mgrWith(r reach, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var o options
	common := o.flagSet("mgr", "domain key json", stderr)
	if err := common.Parse(args); err != nil || common.NArg() == 0 {
		mgrUsage(stderr)
		return helped(err)
	}
	name, rest := common.Arg(0), common.Args()[1:]
	if name == "help" {
		mgrUsage(stdout)
		return exitOK
	}
	for _, order := range orders() {
		if order.name != name {
			continue
		}
		fs := o.flagSet("mgr "+name, "domain key json "+order.flags, stderr)
		words, err := parseMixed(fs, rest)
		least, most := order.counts()
		if err == nil && (len(words) < least || most >= 0 && len(words) > most) {
			err = errUsage
		}
		if err != nil {
			fmt.Fprintf(stderr, "usage: stubtpm mgr %s\n", synopsis(&order))
			return helped(err)
		}
		m := &mgrRun{args: words, o: o, stdin: bufio.NewReader(stdin), out: stdout, stderr: stderr}
		return m.perform(r, &order)
	}
	fmt.Fprintf(stderr, "stubtpm mgr: unknown order %q\n", name)
	mgrUsage(stderr)
	return exitUsage
}

// helped is the exit code of a command line that was not carried out.
func helped(err error) int {
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	return exitUsage
}

// parseMixed takes flags before, between and after the arguments.
func parseMixed(fs *flag.FlagSet, args []string) (words []string, err error) {
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		if fs.NArg() == 0 {
			return words, nil
		}
		words, args = append(words, fs.Arg(0)), fs.Args()[1:]
	}
}

// perform runs an order and returns the exit code.
func (m *mgrRun) perform(r reach, o *order) int {
	var err error
	if o.offline {
		err = o.run(m)
	} else {
		err = r(m.o.domain, func(c *proto.Client) error {
			c.Key, err = m.adminKey()
			if err != nil {
				return err
			}
			m.c = c
			return o.run(m)
		})
	}
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(m.stderr, "stubtpm mgr %s: %v\n", o.name, err)
	var code proto.Code
	var reached errReach
	switch {
	case errors.Is(err, errUsage):
		return exitUsage
	case errors.As(err, &code):
		return exitRefused
	case errors.As(err, &reached):
		return exitNoReach
	case errors.Is(err, proto.ErrAudit):
		return exitForged
	}
	return exitFail
}

func synopsis(o *order) string {
	s := o.name
	for _, f := range strings.Fields(o.flags) {
		s += " [" + flagSynopsis(f) + "]"
	}
	if o.args != "" {
		s += " " + o.args
	}
	return s
}

func mgrUsage(w io.Writer) {
	fmt.Fprint(w, "usage: stubtpm mgr [-domain NAME|ID] [-key FILE] [-json] ORDER\n\nGives the vTPM manager an order, from domain 0.\n\n")
	for _, o := range orders() {
		fmt.Fprintf(w, "  %-30s %s\n", strings.TrimSpace(o.name+" "+o.args), o.help)
	}
	fmt.Fprint(w, "\n`stubtpm mgr ORDER -help` tells an order's flags.\n")
}
