package main

import (
	"flag"
	"io"
)

// options are the values of all flags of all orders.
type options struct {
	domain, key           string
	json, yes, replace    bool
	starts, startImages   string
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
	measured, measurer    string
	check                 bool
	counter, first        uint64
	admin, log            string
	adminNumber           uint64
	site, managers        string
	images, places        string
	minVersion            uint64
	requireLabels         bool
	offer                 bool
}

const defaultKey = "/etc/stubtpm/admin.key"

// A flagRow describes one flag.
type flagRow struct {
	value   string               // placeholder of its value; empty for a flag without one
	initial string               // default; strings only
	help    string               // a phrase
	field   func(o *options) any // *string, *bool or *uint64
}

func flagTable() map[string]flagRow {
	return map[string]flagRow{
		"domain": {"NAME|ID", "vtpmmgr", "domain of the manager", func(o *options) any { return &o.domain }},
		"key":    {"FILE", defaultKey, "private key that signs orders", func(o *options) any { return &o.key }},
		"json":   {"", "", "print JSON", func(o *options) any { return &o.json }},
		"yes":    {"", "", "do not ask", func(o *options) any { return &o.yes }},
		"starts": {"measured|attested|plain", "attested", "attested: a guest gets the PCRs of a start only if the host reported its creation; " +
			"plain: whenever another domain connects; measured: a guest gets the TPM only if the host measured its start", func(o *options) any { return &o.starts }},
		"start-images": {"LIST", "", "with --starts measured, what a guest may start: SHA-256 values of kernels or loaders as loaded, or files that list them, separated by commas; any for any",
			func(o *options) any { return &o.startImages }},
		"replace": {"", "", "allow a new TPM to erase another one on the disk", func(o *options) any { return &o.replace }},
		"group":   {"NAME|ID", "default", "group of the vTPM", func(o *options) any { return &o.group }},
		"name":    {"TEXT", "", "name for people", func(o *options) any { return &o.name }},
		"image": {"HASH|FILE", "", "image that the domain must be measured with: its hash, an ELF file, or a manifest that lists vtpm.elf; any for any",
			func(o *options) any { return &o.image }},
		"profile":      {"NAME|FILE", "", "profile of the TPM: a name or a file (docs/profiles.md)", func(o *options) any { return &o.profile }},
		"admin":        {"KEY", "", "current public key of the administrator (see status)", func(o *options) any { return &o.admin }},
		"approver":     {"KEY", "", "public key, or file of a key, that signs orders about the group; none for the administrator's", func(o *options) any { return &o.approver }},
		"escrow":       {"KEY", "", "public escrow key that the group's key is sealed to", func(o *options) any { return &o.escrow }},
		"labels":       {"LIST", "", "security labels, separated by commas, that the domains of its vTPMs may have", func(o *options) any { return &o.labels }},
		"o":            {"FILE", "", "file to write", func(o *options) any { return &o.output }},
		"escrow-key":   {"FILE", "", "private escrow key", func(o *options) any { return &o.escrowKey }},
		"recovery":     {"KEY", "", "recovery key of the manager that is to get the group (see its status)", func(o *options) any { return &o.recovery }},
		"operator-key": {"FILE", "", "private key of the operator: PEM, P-256", func(o *options) any { return &o.operatorKey }},
		"manager":      {"ID", "", "ID of the manager, in hexadecimal", func(o *options) any { return &o.manager }},
		"manager-disk": {"DEVICE", "", "block device of the manager", func(o *options) any { return &o.managerDisk }},
		"vtpm-disk":    {"DEVICE", "", "block device of the vTPM", func(o *options) any { return &o.vtpmDisk }},
		"words":        {"TEXT", "", "command line of the manager's domain, such as init admin=...", func(o *options) any { return &o.words }},
		"vtpm-words":   {"TEXT", "", "command line of the vTPM's domain", func(o *options) any { return &o.vtpmWords }},
		"iomem":        {"PAGE,N", "", "registers of the hardware TPM, in hexadecimal, if they are not at fed40,5", func(o *options) any { return &o.iomem }},
		"pcrs":         {"LIST", "", "PCRs of the hardware TPM that the root key is sealed to, such as 0,2,4,7", func(o *options) any { return &o.pcrs }},
		"operator": {"KEY", "", "public key (65 bytes in hexadecimal), or file of a key, that may approve other PCR values",
			func(o *options) any { return &o.operator }},
		"host": {"KEY", "", "public key, or file of a key, that may report measurements of domains", func(o *options) any { return &o.host }},
		"guard": {"MODE", "", "rollback protection mode: budget, as many NV writes as the hardware TPM endures for years; strict, one NV write for each commit; " +
			"or a duration such as 5s, an NV write at most so much later", func(o *options) any { return &o.guard }},
		"for":            {"PURPOSE", "admin", "admin, host, approver (Ed25519) or operator (P-256)", func(o *options) any { return &o.purpose }},
		"hash":           {"HASH", "", "report this hash, and do not measure", func(o *options) any { return &o.hash }},
		"measured":       {"HASH", "", "SHA-256 of the kernel or loader in the domain's memory, which is measured into its TPM before it runs", func(o *options) any { return &o.measured }},
		"measurer":       {"NAME", "stubtpm mgr", "name and version of what measured it; with --measured", func(o *options) any { return &o.measurer }},
		"check":          {"", "", "exit with code 6 if the hardware TPM, the disk or a record has a fault", func(o *options) any { return &o.check }},
		"challenge":      {"HEX", "", "challenge that the manager's refusal names", func(o *options) any { return &o.challenge }},
		"counter":        {"N", "", "value of the hardware TPM's counter", func(o *options) any { return &o.counter }},
		"admin-number":   {"N", "", "how often the administrator's key was replaced before (see status)", func(o *options) any { return &o.adminNumber }},
		"log":            {"LOG", "manager", "manager (starts, and what the administrator ordered) or tenants (what groups' approvers ordered)", func(o *options) any { return &o.log }},
		"from":           {"N", "", "first entry", func(o *options) any { return &o.first }},
		"site":           {"FILE", "", "certificates of sites (PEM), one of which must have certified the target", func(o *options) any { return &o.site }},
		"managers":       {"LIST", "", "IDs of managers in hexadecimal, with commas between; any for any", func(o *options) any { return &o.managers }},
		"images":         {"LIST", "", "SHA-256 hashes of managers' images, with commas between; any for any", func(o *options) any { return &o.images }},
		"places":         {"LIST", "", "SHA-256 hashes of the public keys of sites, with commas between; any for any", func(o *options) any { return &o.places }},
		"min-version":    {"N", "", "least security version of the manager's image", func(o *options) any { return &o.minVersion }},
		"require-labels": {"", "", "Xen must enforce security labels there", func(o *options) any { return &o.requireLabels }},
		"offer":          {"", "", "what was sent last about an offer of this manager: the offer or its refusal, also of a vTPM that has left it before", func(o *options) any { return &o.offer }},
		"audit-key":      {"KEY", "", "key that signs the manager's audit log (see status)", func(o *options) any { return &o.auditKey }},
	}
}

// flagSet returns a flag set with the named flags. A string that is empty gets its
// default.
func (o *options) flagSet(name string, flags []string, stderr io.Writer) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(stderr)
	table := flagTable()
	for _, f := range flags {
		row := table[f]
		switch p := row.field(o).(type) {
		case *string:
			if *p == "" {
				*p = row.initial
			}
			fs.StringVar(p, f, *p, row.help)
		case *bool:
			fs.BoolVar(p, f, *p, row.help)
		case *uint64:
			fs.Uint64Var(p, f, *p, row.help)
		}
	}
	return fs
}

// flagSynopsis returns a flag with the placeholder of its value.
func flagSynopsis(name string) string {
	dashed := dash(name)
	if v := flagTable()[name].value; v != "" {
		return dashed + " " + v
	}
	return dashed
}

// dash returns a flag with its dashes. Package flag takes one dash or two.
func dash(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}
