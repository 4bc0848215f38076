package main

import (
	"flag"
	"io"
)

// options are the values of all flags of all orders.
type options struct {
	domain, key           string
	json, yes, replace    bool
	starts                string
	group, name, image    string
	profile               string
	approver, escrow      string
	labels                string
	output, escrowKey     string
	recovery, operatorKey string
	manager, auditKey     string
	managerDisk, vtpmDisk string
	words, vtpmWords      string
	pcrs, operator, host  string
	guard, iomem          string
	challenge             string
	purpose, hash         string
	check                 bool
	counter, first        uint64
	admin                 string
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
		"starts":       {"attested|plain", "attested, a guest's PCRs are those of a start only if the host told of its creation; plain, always when another domain connects", text(func(o *options) *string { return &o.starts }, "attested")},
		"replace":      {"", "a new TPM may be written over another's image", truth(func(o *options) *bool { return &o.replace })},
		"group":        {"NAME|ID", "group of the vTPM", text(func(o *options) *string { return &o.group }, "default")},
		"name":         {"TEXT", "name for people", text(func(o *options) *string { return &o.name }, "")},
		"image":        {"HASH|FILE", "image that the domain has to be measured with: its hash, an ELF file, or a manifest that lists vtpm.elf; any for any", text(func(o *options) *string { return &o.image }, "")},
		"profile":      {"NAME|FILE", "what the TPM offers: a name or a file of docs/profiles.md", text(func(o *options) *string { return &o.profile }, "")},
		"admin":        {"KEY", "present public key of the administrator (status tells it)", text(func(o *options) *string { return &o.admin }, "")},
		"approver":     {"KEY", "public key, or file of a key, that decides about the group's vTPMs; none for the administrator's", text(func(o *options) *string { return &o.approver }, "")},
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
		"vtpm-words":   {"TEXT", "command line of the vTPM's domain", text(func(o *options) *string { return &o.vtpmWords }, "")},
		"iomem":        {"PAGE,N", "registers of the hardware TPM, in hexadecimal, if they are not at fed40,5", text(func(o *options) *string { return &o.iomem }, "")},
		"pcrs":         {"LIST", "PCRs of the hardware TPM that the root key is sealed to, such as 0,2,4,7", text(func(o *options) *string { return &o.pcrs }, "")},
		"operator":     {"KEY", "public key (65 bytes in hexadecimal), or file of a key, that may approve other PCRs", text(func(o *options) *string { return &o.operator }, "")},
		"host":         {"KEY", "public key, or file of a key, that may tell which image a domain runs", text(func(o *options) *string { return &o.host }, "")},
		"guard":        {"MODE", "how commits are tied to the hardware TPM: budget, so that its memory lasts for years; strict, with a write of it for each; or with one at most so much later, such as 5s", text(func(o *options) *string { return &o.guard }, "")},
		"for":          {"PURPOSE", "admin, host, approver (Ed25519) or operator (P-256)", text(func(o *options) *string { return &o.purpose }, "admin")},
		"hash":         {"HASH", "tell this, and do not measure", text(func(o *options) *string { return &o.hash }, "")},
		"check":        {"", "end with code 6 if the hardware TPM or a record is not well", truth(func(o *options) *bool { return &o.check })},
		"challenge":    {"HEX", "what the manager's refusal names", text(func(o *options) *string { return &o.challenge }, "")},
		"counter":      {"N", "value of the hardware TPM's counter", number(func(o *options) *uint64 { return &o.counter })},
		"from":         {"N", "first entry", number(func(o *options) *uint64 { return &o.first })},
		"audit-key":    {"KEY", "key that signs the manager's audit log (status tells it)", text(func(o *options) *string { return &o.auditKey }, "")},
	}
}

// flagSet defines flags by their names.
func (o *options) flagSet(name string, flags []string, stderr io.Writer) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(stderr)
	table := flagTable()
	for _, f := range flags {
		table[f].define(fs, o, f, table[f].help)
	}
	return fs
}

func flagSynopsis(name string) string {
	dash := dashed(name)
	if v := flagTable()[name].value; v != "" {
		return dash + " " + v
	}
	return dash
}

// dashed is a flag as it is written; package flag takes one dash or two.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}
