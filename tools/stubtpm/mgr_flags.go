package main

import (
	"flag"
	"fmt"
	"io"
	"strings"
)

// options are the values of all flags of all orders.
type options struct {
	domain, key           string
	json, yes, replace    bool
	group, name, image    string
	approver, escrow      string
	labels                string
	output, escrowKey     string
	recovery, operatorKey string
	manager, auditKey     string
	managerDisk, vtpmDisk string
	words                 string
	counter, first        uint64
}

const defaultKey = "/etc/stubtpm/admin.key"

// A flagRow is one flag: what its value is called ("" for none) and what it is
// for.
type flagRow struct {
	value, help string
	define      func(fs *flag.FlagSet, o *options, name, help string)
}

func text(at func(o *options) *string, initial string) func(*flag.FlagSet, *options, string, string) {
	return func(fs *flag.FlagSet, o *options, name, help string) {
		p := at(o)
		if *p == "" {
			*p = initial
		}
		fs.StringVar(p, name, *p, help)
	}
}

func truth(at func(o *options) *bool) func(*flag.FlagSet, *options, string, string) {
	return func(fs *flag.FlagSet, o *options, name, help string) { fs.BoolVar(at(o), name, *at(o), help) }
}

func number(at func(o *options) *uint64) func(*flag.FlagSet, *options, string, string) {
	return func(fs *flag.FlagSet, o *options, name, help string) { fs.Uint64Var(at(o), name, *at(o), help) }
}

func flagTable() map[string]flagRow {
	return map[string]flagRow{
		"domain":       {"NAME|ID", "domain of the manager", text(func(o *options) *string { return &o.domain }, "vtpmmgr")},
		"key":          {"FILE", "key that signs orders", text(func(o *options) *string { return &o.key }, defaultKey)},
		"json":         {"", "print JSON", truth(func(o *options) *bool { return &o.json })},
		"yes":          {"", "do not ask", truth(func(o *options) *bool { return &o.yes })},
		"replace":      {"", "a new TPM may be written over another's image", truth(func(o *options) *bool { return &o.replace })},
		"group":        {"NAME|ID", "group of the vTPM", text(func(o *options) *string { return &o.group }, "default")},
		"name":         {"TEXT", "name for people", text(func(o *options) *string { return &o.name }, "")},
		"image":        {"HASH|FILE", "image that the domain has to be measured with: its SHA-256, or an ELF file", text(func(o *options) *string { return &o.image }, "")},
		"approver":     {"KEY", "public key, or file of a key, that decides about the group's vTPMs", text(func(o *options) *string { return &o.approver }, "")},
		"escrow":       {"KEY", "public escrow key that the group's key is sealed to", text(func(o *options) *string { return &o.escrow }, "")},
		"labels":       {"LIST", "security labels, with commas between, that the domains of its vTPMs may have", text(func(o *options) *string { return &o.labels }, "")},
		"o":            {"FILE", "file to write", text(func(o *options) *string { return &o.output }, "")},
		"escrow-key":   {"FILE", "private escrow key", text(func(o *options) *string { return &o.escrowKey }, "")},
		"recovery":     {"KEY", "recovery key of the manager that is to take the group (status tells it)", text(func(o *options) *string { return &o.recovery }, "")},
		"operator-key": {"FILE", "private key of the operator: PEM, P-256", text(func(o *options) *string { return &o.operatorKey }, "")},
		"manager":      {"ID", "id of the manager, in hexadecimal", text(func(o *options) *string { return &o.manager }, "")},
		"manager-disk": {"DEVICE", "block device of the manager", text(func(o *options) *string { return &o.managerDisk }, "")},
		"vtpm-disk":    {"DEVICE", "block device of the vTPM", text(func(o *options) *string { return &o.vtpmDisk }, "")},
		"words":        {"TEXT", "command line of the manager's domain, such as init admin=...", text(func(o *options) *string { return &o.words }, "")},
		"counter":      {"N", "value of the hardware TPM's counter", number(func(o *options) *uint64 { return &o.counter })},
		"from":         {"N", "first entry", number(func(o *options) *uint64 { return &o.first })},
		"audit-key":    {"KEY", "key that signs the manager's audit log (status tells it)", text(func(o *options) *string { return &o.auditKey }, "")},
	}
}

// flagSet defines flags by their names.
func (o *options) flagSet(name, flags string, stderr io.Writer) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(stderr)
	table := flagTable()
	for _, f := range strings.Fields(flags) {
		row := table[f]
		help := row.help
		if row.value != "" {
			help = "`" + row.value + "`: " + help
		}
		row.define(fs, o, f, help)
	}
	return fs
}

func flagSynopsis(name string) string {
	if v := flagTable()[name].value; v != "" {
		return fmt.Sprintf("-%s %s", name, v)
	}
	return "-" + name
}
