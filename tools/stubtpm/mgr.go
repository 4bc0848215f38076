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
