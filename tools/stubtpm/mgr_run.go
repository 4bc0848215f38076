package main

import (
	"bufio"
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
