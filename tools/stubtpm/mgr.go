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

// An order is one action of an administrator. Help, manual pages, shell completion and
// dispatch are made from the table of orders.
type order struct {
	name    string // one word or two
	args    string // as in a synopsis
	flags   string // names from flagTable, separated by spaces
	help    string // one line
	more    string // a paragraph for the man page
	offline bool   // needs no manager
	run     func(m *mgrRun) error
}

// counts returns how many arguments an order takes; most is -1 if there is no limit.
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

// flagNames returns the names of the flags that an order takes.
func (o *order) flagNames() []string { return strings.Fields(commonFlags + " " + o.flags) }

const commonFlags = "domain key json"

// An mgrRun is one run of an order.
type mgrRun struct {
	args        []string
	o           options
	given       map[string]bool // flags on the command line
	host        host
	c           *proto.Client
	stdin       *bufio.Reader
	out, stderr io.Writer
}

// A host is the part of dom0 that orders need.
type host struct {
	// reach connects to the manager in a domain, given by name or ID, and
	// calls run with it, one call at a time for each deviceRange.
	reach func(domain string, l deviceRange, run func(c *proto.Client) error) error

	// measure returns the ID of a domain and the hash of the image in its
	// memory; file gives the addresses.
	measure func(domain, file string) (id uint16, hash [32]byte, err error)
}

// mgr runs `stubtpm mgr`.
func mgr(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return mgrWith(host{withManager, measureDomain}, args, stdin, stdout, stderr)
}

// mgrWith is mgr on a given host.
func mgrWith(h host, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	m := &mgrRun{host: h, given: map[string]bool{}, stdin: bufio.NewReader(stdin), out: stdout, stderr: stderr}
	common := m.o.flagSet("mgr", strings.Fields(commonFlags), stderr)
	common.Usage = func() {}
	err := common.Parse(args)
	if errors.Is(err, flag.ErrHelp) || err == nil && common.NArg() == 1 && common.Arg(0) == "help" {
		mgrUsage(stdout)
		return exitOK
	}
	if err != nil || common.NArg() == 0 {
		mgrUsage(stderr)
		return exitUsage
	}
	o := findOrder(common.Args())
	if o == nil {
		fmt.Fprintf(stderr, "stubtpm mgr: unknown order %q\n", common.Arg(0))
		mgrUsage(stderr)
		return exitUsage
	}
	fs := m.o.flagSet("mgr "+o.name, o.flagNames(), stderr)
	fs.Usage = func() {}
	words, err := parseMixed(fs, common.Args()[len(strings.Fields(o.name)):])
	if errors.Is(err, flag.ErrHelp) {
		orderUsage(stdout, o, fs)
		return exitOK
	}
	if least, most := o.counts(); err != nil || len(words) < least || most >= 0 && len(words) > most {
		fmt.Fprintf(stderr, "usage: stubtpm mgr %s\n", synopsis(o))
		return exitUsage
	}
	m.args = words
	fs.Visit(func(f *flag.Flag) { m.given[f.Name] = true })
	return m.report(o, m.perform(o))
}

// findOrder returns the order that words begin with, or nil.
func findOrder(words []string) *order {
	for _, o := range orders() {
		if name := strings.Fields(o.name); len(words) >= len(name) && strings.Join(words[:len(name)], " ") == o.name {
			return &o
		}
	}
	return nil
}

// parseMixed parses flags before, between and after the arguments.
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

// perform runs an order, connected to the manager if it needs one.
func (m *mgrRun) perform(o *order) error {
	if o.offline {
		return o.run(m)
	}
	key, err := m.adminKey()
	if err != nil {
		return err
	}
	return m.host.reach(m.o.domain, o.devices(), func(c *proto.Client) error {
		c.Key = key
		m.c = c
		return o.run(m)
	})
}

// synopsis returns an order's name, flags and arguments.
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
	fmt.Fprint(w, "usage: stubtpm mgr [--domain NAME|ID] [--key FILE] [--json] ORDER\n\nSends an order to the vTPM manager, from dom0.\n\n")
	for _, o := range orders() {
		fmt.Fprintf(w, "  %-32s %s\n", strings.TrimSpace(o.name+" "+o.args), o.help)
	}
	fmt.Fprint(w, "\n`stubtpm mgr ORDER --help` shows an order's flags; `stubtpm ORDER` is the same as `stubtpm mgr ORDER`.\n")
}

func orderUsage(w io.Writer, o *order, fs *flag.FlagSet) {
	fmt.Fprintf(w, "usage: stubtpm mgr %s\n\n%s%s.\n", synopsis(o), strings.ToUpper(o.help[:1]), o.help[1:])
	if o.more != "" {
		fmt.Fprintln(w, o.more)
	}
	fmt.Fprintln(w)
	for _, name := range o.flagNames() {
		initial := ""
		if f := fs.Lookup(name); f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" {
			initial = " (" + f.DefValue + ")"
		}
		fmt.Fprintf(w, "  %-26s %s%s\n", flagSynopsis(name), flagTable()[name].help, initial)
	}
}
