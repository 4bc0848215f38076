package verify

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"stubtpm/vtpmmgr/evidence"
)

// Exit codes of Command besides the reasons.
const (
	exitAccepted = 0
	exitFailed   = 1 // a file cannot be read or written
	exitUsage    = 2
)

// A request is a command line.
type request struct {
	evidence, policy, nonce, at, html string
	json                              bool
}

// Command is the command `stubtpm verify`. It appraises evidence from a file, or
// from stdin for "-", and returns the exit code: 0 if it is accepted, the Reason
// if it is refused.
func Command(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var r request
	fs := flag.NewFlagSet("stubtpm verify", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&r.policy, "policy", "", "`FILE` with the policy, in JSON")
	fs.StringVar(&r.nonce, "nonce", "", "the nonce that was sent, in `HEX`")
	fs.StringVar(&r.at, "time", "", "appraise as of a `TIME` in RFC 3339 (now)")
	fs.StringVar(&r.html, "html", "", "write a page with the chain to `FILE`")
	fs.BoolVar(&r.json, "json", false, "print JSON")
	fs.Usage = func() {
		fmt.Fprintln(stderr, "usage: stubtpm verify --policy FILE --nonce HEX [--time TIME] [--json] [--html FILE] EVIDENCE|-")
		fs.PrintDefaults()
	}
	// Flags may follow the evidence.
	err := fs.Parse(args)
	if err == nil && fs.NArg() > 0 {
		r.evidence = fs.Arg(0)
		err = fs.Parse(fs.Args()[1:])
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitAccepted
	case err != nil:
		return exitUsage
	case r.evidence == "" || fs.NArg() > 0 || r.policy == "" || r.nonce == "":
		fs.Usage()
		return exitUsage
	}
	code, err := r.run(stdin, stdout)
	if err != nil {
		fmt.Fprintf(stderr, "stubtpm verify: %v\n", err)
	}
	return code
}

// run appraises, prints the outcome, and returns the exit code.
func (r *request) run(stdin io.Reader, stdout io.Writer) (int, error) {
	q := Question{Now: time.Now()}
	var err error
	if q.Nonce, err = hex.DecodeString(r.nonce); err != nil {
		return exitUsage, fmt.Errorf("--nonce: %w", err)
	}
	if r.at != "" {
		if q.Now, err = time.Parse(time.RFC3339, r.at); err != nil {
			return exitUsage, fmt.Errorf("--time: %w", err)
		}
	}
	p, err := LoadPolicy(r.policy)
	if err != nil {
		return exitFailed, err
	}
	b, err := read(r.evidence, stdin)
	if err != nil {
		return exitFailed, err
	}
	result, err := Verify(b, q, p)
	o := outcomeOf(result, err)
	if r.html != "" {
		if err := o.writePage(r.html); err != nil {
			return exitFailed, err
		}
	}
	if r.json {
		return o.Code, o.printJSON(stdout)
	}
	return o.Code, o.print(stdout)
}

// read returns the contents of a file, and of what is larger than evidence can
// be as much as Parse needs to refuse it.
func read(name string, stdin io.Reader) ([]byte, error) {
	in := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	return io.ReadAll(io.LimitReader(in, evidence.MaxSize+1))
}

// An outcome is what is printed of an appraisal.
type outcome struct {
	Accepted bool      `json:"accepted"`
	Code     int       `json:"code"`
	Reason   string    `json:"reason,omitempty"`
	Detail   string    `json:"detail,omitempty"`
	Result   *Result   `json:"result,omitempty"` // of evidence
	EK       *EKResult `json:"ek,omitempty"`     // of a certificate alone
}

func outcomeOf(r *Result, err error) *outcome {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return &outcome{Code: int(refusal.Reason), Reason: refusal.Reason.String(), Detail: refusal.Detail}
	}
	return &outcome{Accepted: true, Result: r}
}

func (o *outcome) printJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(o)
}

func (o *outcome) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if !o.Accepted {
		fmt.Fprintf(t, "REFUSED\t%s (%d)\n\t%s\n", o.Reason, o.Code, quoteText(o.Detail))
		return t.Flush()
	}
	fmt.Fprintf(t, "ACCEPTED\t\n")
	if o.EK != nil {
		for _, l := range o.EK.lines() {
			fmt.Fprintf(t, "%s\t%s\n", l.Name, quoteText(l.Text))
		}
		return t.Flush()
	}
	for _, l := range o.Result.Lines() {
		fmt.Fprintf(t, "%s\t%s\n", l.Name, quoteText(l.Text))
	}
	for _, p := range o.Result.HardwarePCRs {
		fmt.Fprintf(t, "host PCR %s:%d\t%s\n", p.Bank, p.Index, p.Value)
	}
	for _, p := range o.Result.GuestPCRs {
		fmt.Fprintf(t, "guest PCR %s:%d\t%s\n", p.Bank, p.Index, p.Value)
	}
	for _, open := range o.Result.NotCovered {
		fmt.Fprintf(t, "not covered\t%s\n", open)
	}
	return t.Flush()
}

// A line is a field of a Result as people read it.
type line struct{ Name, Text string }

// Lines returns the fields of a Result that have a value, but for its lists.
func (r *Result) Lines() []line {
	var list []line
	add := func(name, format string, args ...any) {
		if s := strings.TrimSpace(fmt.Sprintf(format, args...)); s != "" {
			list = append(list, line{name, s})
		}
	}
	add("site", "%s", r.Site)
	add("manager", "%s", r.Manager)
	add("manager's image", "%s", r.ManagerImage)
	add("manager's version", "%d", r.ManagerSecurityVersion)
	add("vTPM", "%s", r.UUID)
	add("group", "%d", r.Group)
	add("epochs", "%d of the ledger, %d of the vTPM", r.LedgerEpoch, r.Epoch)
	add("image", "%s", r.Image)
	add("measured by", "%s", r.MeasuredBy)
	add("security version", "%d", r.SecurityVersion)
	add("profile", "%s", r.Profile)
	add("label", "%s", r.Label)
	add("migratable", "%t", r.Migratable)
	add("guard", "%s", r.Guard)
	add("XSM enforced", "%t", r.XSM)
	add("PCRs of a start", "%t", r.StartMeasured)
	add("guest started with", "%s", r.StartImage)
	add("start reported by", "%s", r.StartReportedBy)
	add("start measured by", "%s", r.StartMeasurer)
	add("events replayed", "%d of the host, %d of the guest", r.HardwareEvents, r.GuestEvents)
	add("statement made", "%s", r.Time)
	add("valid until", "%s", r.ValidUntil)
	return list
}

// quoteText replaces what a terminal could take for an order: names come from
// certificates that others made.
func quoteText(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7F || c >= 0x80 && c < 0xA0 {
			return '?'
		}
		return c
	}, strings.ToValidUTF8(s, "?"))
}
