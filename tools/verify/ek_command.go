package verify

import (
	"crypto"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

// An ekRequest is a command line of `stubtpm verify-ek`.
type ekRequest struct {
	certificate, policy, ek, at string
	chain                       []string
	keylime, json               bool
	getenv                      func(string) string
}

// EKCommand is the command `stubtpm verify-ek`. It appraises the certificate of an
// endorsement key, from a file, from stdin for "-", or from the variables of
// Keylime, and returns an exit code as Command does.
func EKCommand(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return ekCommand(args, os.Getenv, stdin, stdout, stderr)
}

func ekCommand(args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) int {
	r := ekRequest{getenv: getenv}
	fs := flag.NewFlagSet("stubtpm verify-ek", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&r.policy, "policy", "", "`FILE` with the policy, in JSON")
	fs.StringVar(&r.ek, "ek", "", "`FILE` with the endorsement key, in PEM: it must be that of the certificate")
	fs.StringVar(&r.at, "time", "", "appraise as of a `TIME` in RFC 3339 (now)")
	fs.BoolVar(&r.keylime, "keylime", false, "take certificate and key from the variables that Keylime sets for ek_check_script")
	fs.BoolVar(&r.json, "json", false, "print JSON")
	fs.Func("chain", "`FILE` or folder with certificates of hosts, and of makers' CAs; not trusted; may be repeated", func(s string) error {
		r.chain = append(r.chain, s)
		return nil
	})
	fs.Usage = func() {
		fmt.Fprintln(stderr, "usage: stubtpm verify-ek --policy FILE [--chain FILE]... [--ek FILE] [--time TIME] [--json] CERTIFICATE|-")
		fmt.Fprintln(stderr, "       stubtpm verify-ek --policy FILE [--chain FILE]... [--time TIME] [--json] --keylime")
		fs.PrintDefaults()
	}
	err := fs.Parse(args)
	r.certificate = fs.Arg(0)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitAccepted
	case err != nil:
		return exitUsage
	case r.policy == "" || r.keylime && (fs.NArg() != 0 || r.ek != "") || !r.keylime && fs.NArg() != 1:
		fs.Usage()
		return exitUsage
	}
	code, err := r.run(stdin, stdout)
	if err != nil {
		fmt.Fprintf(stderr, "stubtpm verify-ek: %v\n", err)
	}
	return code
}

// run appraises, prints the outcome, and returns the exit code.
func (r *ekRequest) run(stdin io.Reader, stdout io.Writer) (int, error) {
	p, err := LoadPolicy(r.policy)
	if err != nil {
		return exitFailed, err
	}
	result, err := r.verify(stdin, p)
	var refusal *Refusal
	if err != nil && !errors.As(err, &refusal) {
		return exitFailed, err
	}
	o := outcomeOf(nil, err)
	if err == nil {
		o.EK = result
	}
	if r.json {
		return o.Code, o.printJSON(stdout)
	}
	return o.Code, o.print(stdout)
}

func (r *ekRequest) verify(stdin io.Reader, p *Policy) (*EKResult, error) {
	e, err := r.endorsement(stdin)
	if err != nil {
		return nil, err
	}
	e.Now = time.Now()
	if r.at != "" {
		if e.Now, err = time.Parse(time.RFC3339, r.at); err != nil {
			return nil, fmt.Errorf("--time: %w", err)
		}
	}
	if store := r.getenv("TPM_CERT_STORE"); r.keylime && len(r.chain) == 0 && store != "" {
		r.chain = []string{store}
	}
	for _, name := range r.chain {
		certs, err := readCertificates(name)
		if err != nil {
			return nil, err
		}
		e.Chain = append(e.Chain, certs...)
	}
	return VerifyEK(e, p)
}

func (r *ekRequest) endorsement(stdin io.Reader) (*Endorsement, error) {
	if r.keylime {
		return keylimeEndorsement(r.getenv)
	}
	b, err := read(r.certificate, stdin)
	if err != nil {
		return nil, err
	}
	certs, err := ParseCertificates(b)
	if err == nil && len(certs) == 0 {
		err = errors.New("there is no certificate")
	}
	if err != nil {
		return nil, refuse(Malformed, "%v", err)
	}
	e := &Endorsement{Certificate: certs[0], Chain: append([]*x509.Certificate(nil), certs[1:]...)}
	if r.ek == "" {
		return e, nil
	}
	if b, err = os.ReadFile(r.ek); err != nil {
		return nil, err
	}
	key, err := publicKey(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.ek, err)
	}
	e.Keys = []crypto.PublicKey{key}
	return e, nil
}
