package site

import (
	"crypto"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxtpm"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"

	"stubtpm/tools/keyfile"
)

// Exit codes.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitRefused = 3 // the policy does not admit the host
)

// A job is a command line of `stubtpm site`.
type job struct {
	dir, name, passphraseFile, tpm       string
	request, answer, ekFile, out, revoke string
	years                                int
	json, replace                        bool
	stdout                               io.Writer
	now                                  time.Time
	openTPM                              func(path string) (transport.TPMCloser, error)
}

// A verb is one of the commands of `stubtpm site`.
type verb struct {
	name, syntax, help string
	run                func(*job) error
}

func verbs() []verb {
	return []verb{
		{"init", "--name NAME [--years N] [--tpm DEVICE]", "make a site: a key, and its certificate", (*job).init},
		{"certify-host", "--request FILE [--answer FILE] [--ek-certificate FILE] [--replace] [--out FILE]", "challenge a host; with its answer, certify it", (*job).certifyHost},
		{"crl", "[--revoke SERIAL|MANAGER] [--out FILE]", "revoke, and make the revocation list", (*job).crl},
		{"show", "[--json]", "list the certificates", (*job).show},
	}
}

// Command is the command `stubtpm site`. It returns the exit code: 0 success, 1
// failure, 2 wrong usage, 3 host refused.
func Command(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	return command(args, stdout, stderr, time.Now(), openTPM)
}

// openTPM opens a character device, or a Unix socket that speaks as one.
func openTPM(path string) (transport.TPMCloser, error) {
	if i, err := os.Stat(path); err == nil && i.Mode()&os.ModeSocket != 0 {
		return linuxudstpm.Open(path)
	}
	return linuxtpm.Open(path)
}

func command(args []string, stdout, stderr io.Writer, now time.Time, open func(string) (transport.TPMCloser, error)) int {
	for _, v := range verbs() {
		if len(args) > 0 && args[0] == v.name {
			j := &job{stdout: stdout, now: now, openTPM: open}
			fs := j.flags(v, stderr)
			err := fs.Parse(args[1:])
			if errors.Is(err, flag.ErrHelp) {
				return exitDone
			}
			if err != nil {
				return exitUsage
			}
			if fs.NArg() > 0 {
				return report(v, errUsage, stderr)
			}
			return report(v, v.run(j), stderr)
		}
	}
	w := stderr
	code := exitUsage
	if len(args) > 0 && (args[0] == "help" || args[0] == "--help" || args[0] == "-h") {
		w, code = stdout, exitDone
	}
	fmt.Fprintln(w, "usage: stubtpm site COMMAND [--dir DIR] [--passphrase-file FILE] [--tpm DEVICE] ...")
	for _, v := range verbs() {
		fmt.Fprintf(w, "  %-14s%s\n  %14s%s\n", v.name, v.syntax, "", v.help)
	}
	return code
}

func (j *job) flags(v verb, stderr io.Writer) *flag.FlagSet {
	fs := flag.NewFlagSet("stubtpm site "+v.name, flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&j.dir, "dir", ".", "the site's `FOLDER`")
	fs.StringVar(&j.passphraseFile, "passphrase-file", "", "`FILE` with the passphrase of the key")
	fs.StringVar(&j.tpm, "tpm", "", "the key is in the TPM at `DEVICE`: a character device or a Unix socket")
	takes := func(name string) bool { return strings.Contains(v.syntax, "--"+name) }
	text := func(to *string, name, help string) {
		if takes(name) {
			fs.StringVar(to, name, "", help)
		}
	}
	text(&j.name, "name", "`NAME` of the site")
	text(&j.request, "request", "`FILE` with the host's request")
	text(&j.answer, "answer", "`FILE` with the host's answer to the challenge")
	text(&j.ekFile, "ek-certificate", "`FILE` with the EK certificate of a chip that holds none")
	text(&j.out, "out", "write to `FILE` (standard output)")
	text(&j.revoke, "revoke", "a serial number, or a manager's id: `HEX`")
	if takes("years") {
		fs.IntVar(&j.years, "years", 10, "for how many years the site's certificate is valid")
	}
	if takes("replace") {
		fs.BoolVar(&j.replace, "replace", false, "admit another chip as a manager that was admitted before, and revoke the earlier certificate")
	}
	if takes("json") {
		fs.BoolVar(&j.json, "json", false, "print JSON")
	}
	return fs
}

func report(v verb, err error, stderr io.Writer) int {
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errUsage):
		fmt.Fprintf(stderr, "usage: stubtpm site %s %s\n", v.name, v.syntax)
		return exitUsage
	}
	fmt.Fprintf(stderr, "stubtpm site %s: %v\n", v.name, err)
	if errors.Is(err, ErrRefused) {
		return exitRefused
	}
	return exitFailed
}

var errUsage = errors.New("wrong usage")

// withKey calls f with a function that makes or loads the key, by one of two
// functions for a file and for a TPM.
func (j *job) withKey(file func(string, []byte) (crypto.Signer, error), inTPM func(string, transport.TPM, []byte) (crypto.Signer, error),
	f func(key func(dir string) (crypto.Signer, error)) error) error {
	pass, err := keyfile.Passphrase(j.passphraseFile)
	if err != nil {
		return err
	}
	if j.tpm == "" {
		return f(func(dir string) (crypto.Signer, error) { return file(dir, pass) })
	}
	bus, err := j.openTPM(j.tpm)
	if err != nil {
		return err
	}
	defer bus.Close()
	return f(func(dir string) (crypto.Signer, error) { return inTPM(dir, bus, pass) })
}

// withSite calls f with the site, opened to sign.
func (j *job) withSite(f func(s *Site) error) error {
	return j.withKey(loadFileKey, loadTPMKey, func(key func(string) (crypto.Signer, error)) error {
		s, err := Open(j.dir, key, j.now)
		if err != nil {
			return err
		}
		defer s.Close()
		return f(s)
	})
}

func (j *job) init() error {
	if j.name == "" {
		return errUsage
	}
	err := j.withKey(newFileKey, newTPMKey, func(key func(string) (crypto.Signer, error)) error {
		return Init(j.dir, j.name, j.years, key, j.now)
	})
	if err == nil {
		fmt.Fprintf(j.stdout, "made site %q in %s; say whom it admits in %s, and put certificates of makers of TPMs into %s\n", j.name, j.dir, policyFile, vendorsDir)
	}
	return err
}

func (j *job) certifyHost() error {
	if j.request == "" {
		return errUsage
	}
	request, err := os.ReadFile(j.request)
	if err != nil {
		return err
	}
	var answer, ek []byte
	if j.answer != "" {
		if answer, err = os.ReadFile(j.answer); err != nil {
			return err
		}
	}
	if j.ekFile != "" {
		b, err := os.ReadFile(j.ekFile)
		if err != nil {
			return err
		}
		c, err := parseOne(b)
		if err != nil {
			return fmt.Errorf("%s: %w", j.ekFile, err)
		}
		ek = c.Raw
	}
	return j.withSite(func(s *Site) error {
		if answer == nil {
			b, err := s.Challenge(request, ek)
			if err != nil {
				return err
			}
			return j.write(b)
		}
		s.Replace = j.replace
		der, err := s.Certify(request, answer, ek)
		if err != nil {
			return err
		}
		return j.write(pemOf(der))
	})
}

func (j *job) crl() error {
	return j.withSite(func(s *Site) error {
		if j.revoke != "" {
			if _, err := s.Revoke(j.revoke); err != nil {
				return err
			}
		}
		b, err := s.CRL()
		if err != nil {
			return err
		}
		return j.write(b)
	})
}

// write writes to the file that was asked for.
func (j *job) write(b []byte) error {
	if j.out != "" {
		return writeFile(j.out, b)
	}
	_, err := j.stdout.Write(b)
	return err
}

// show needs no key.
func (j *job) show() error {
	s, err := Open(j.dir, nil, j.now)
	if err != nil {
		return err
	}
	defer s.Close()
	if j.json {
		e := json.NewEncoder(j.stdout)
		e.SetIndent("", "  ")
		return e.Encode(s.Issued())
	}
	t := tabwriter.NewWriter(j.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "site\t%q\tuntil %s\n", s.root.Subject.CommonName, s.root.NotAfter.UTC().Format(time.DateOnly))
	for _, i := range s.Issued() {
		fmt.Fprintf(t, "host %s\tserial %s\tuntil %s\t%s\n", i.Manager, i.Serial, i.Until.UTC().Format(time.DateOnly), i.status(j.now))
	}
	return t.Flush()
}

func (i *Issued) status(now time.Time) string {
	switch {
	case i.Revoked != nil:
		return "revoked " + i.Revoked.UTC().Format(time.DateOnly)
	case now.After(i.Until):
		return "ended"
	}
	return "valid"
}
