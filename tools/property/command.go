package property

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"unicode"

	"stubtpm/tools/keyfile"
)

// Exit codes.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitRefused = 3 // the approval does not hold
)

var errUsage = errors.New("wrong usage")

// A job is a command line of `stubtpm property`.
type job struct {
	key, ref, passphraseFile, log, out string
	pcrs                               []string
	dir                                string // of an approval
	stdout                             io.Writer
}

// A verb is one of the commands of `stubtpm property`.
type verb struct {
	name, syntax, help string
	run                func(*job) error
}

func verbs() []verb {
	return []verb{
		{"key", "--out FILE [--passphrase-file FILE]", "make a key that approves; print the public key", (*job).newKey},
		{"policy", "--key FILE --ref NAME [--out FILE]", "write the policy digest to which secrets are sealed", (*job).policy},
		{"approve", "--key FILE --ref NAME --pcr PCRS... [--log FILE] [--passphrase-file FILE] --out DIR", "sign PCR values", (*job).approve},
		{"show", "[--key FILE] [--ref NAME] DIR", "verify an approval, and print it", (*job).show},
	}
}

// Command is the command `stubtpm property`. It returns the exit code: 0 success,
// 1 failure, 2 wrong usage, 3 an approval that does not hold.
func Command(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	for _, v := range verbs() {
		if len(args) > 0 && args[0] == v.name {
			return v.command(args[1:], stdout, stderr)
		}
	}
	w, code := stderr, exitUsage
	if len(args) > 0 && (args[0] == "help" || args[0] == "--help" || args[0] == "-h") {
		w, code = stdout, exitDone
	}
	fmt.Fprintln(w, "usage: stubtpm property COMMAND ...")
	for _, v := range verbs() {
		fmt.Fprintf(w, "  %-9s%s\n  %9s%s\n", v.name, v.syntax, "", v.help)
	}
	return code
}

func (v verb) command(args []string, stdout, stderr io.Writer) int {
	j := &job{stdout: stdout}
	fs := j.flags(v, stderr)
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitDone
	case err != nil:
		return exitUsage
	}
	if strings.HasSuffix(v.syntax, "] DIR") && fs.NArg() == 1 {
		j.dir = fs.Arg(0)
	} else if fs.NArg() > 0 {
		return v.report(errUsage, stderr)
	}
	return v.report(v.run(j), stderr)
}

func (j *job) flags(v verb, stderr io.Writer) *flag.FlagSet {
	fs := flag.NewFlagSet("stubtpm property "+v.name, flag.ContinueOnError)
	fs.SetOutput(stderr)
	text := func(to *string, name, help string) {
		if strings.Contains(v.syntax, "--"+name+" ") {
			fs.StringVar(to, name, "", help)
		}
	}
	text(&j.key, "key", "`FILE` with the key in PEM; to approve, the private one")
	text(&j.ref, "ref", "`NAME` of the property: 1 to 32 bytes")
	text(&j.passphraseFile, "passphrase-file", "`FILE` with the passphrase of the key")
	text(&j.log, "log", "`FILE` with an event log, from which values are taken")
	text(&j.out, "out", "write to `FILE` or folder")
	if strings.Contains(v.syntax, "--pcr ") {
		fs.Func("pcr", "`PCRS` to approve: BANK:N=VALUE, or with --log BANK:N,N,...; may be repeated", func(s string) error {
			j.pcrs = append(j.pcrs, s)
			return nil
		})
	}
	return fs
}

func (v verb) report(err error, stderr io.Writer) int {
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errUsage):
		fmt.Fprintf(stderr, "usage: stubtpm property %s %s\n", v.name, v.syntax)
		return exitUsage
	}
	fmt.Fprintf(stderr, "stubtpm property %s: %v\n", v.name, err)
	if errors.Is(err, ErrRefused) {
		return exitRefused
	}
	return exitFailed
}

func (j *job) newKey() error {
	if j.out == "" {
		return errUsage
	}
	pass, err := keyfile.Passphrase(j.passphraseFile)
	if err != nil {
		return err
	}
	key, file, err := keyfile.New(pass)
	if err != nil {
		return err
	}
	public, err := publicPEM(key.Public())
	if err != nil {
		return err
	}
	// A key that is lost cannot approve again: none is overwritten.
	f, err := os.OpenFile(j.out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(file)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	_, err = j.stdout.Write(public)
	return err
}

// publicKey reads the key of which only the public part is needed.
func (j *job) publicKey() (*Key, error) {
	b, err := os.ReadFile(j.key)
	if err != nil {
		return nil, err
	}
	k, err := parsePublic(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", j.key, err)
	}
	return k, nil
}

func (j *job) policy() error {
	if j.key == "" || j.ref == "" {
		return errUsage
	}
	k, err := j.publicKey()
	if err != nil {
		return err
	}
	digest, err := k.Policy([]byte(j.ref))
	if err != nil {
		return err
	}
	if j.out != "" {
		return os.WriteFile(j.out, digest, 0o644)
	}
	_, err = j.stdout.Write(digest)
	return err
}

func (j *job) approve() error {
	if j.key == "" || j.ref == "" || j.out == "" || len(j.pcrs) == 0 {
		return errUsage
	}
	pass, err := keyfile.Passphrase(j.passphraseFile)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(j.key)
	if err != nil {
		return err
	}
	key, err := keyfile.Parse(b, pass)
	if err != nil {
		return fmt.Errorf("%s: %w", j.key, err)
	}
	var log []byte
	if j.log != "" {
		if log, err = os.ReadFile(j.log); err != nil {
			return err
		}
	}
	var all []PCR
	for _, s := range j.pcrs {
		pcrs, err := parsePCRs(s, log)
		if err != nil {
			return err
		}
		all = append(all, pcrs...)
	}
	a, err := Approve(key, []byte(j.ref), all)
	if err != nil {
		return err
	}
	return a.Write(j.out)
}

func (j *job) show() error {
	if j.dir == "" {
		return errUsage
	}
	a, err := Read(j.dir)
	if err != nil {
		return err
	}
	if j.key != "" {
		k, err := j.publicKey()
		if err != nil {
			return err
		}
		if !bytes.Equal(k.name, a.key.name) {
			return fmt.Errorf("%w: it is by key %x, not by %x", ErrRefused, a.key.name, k.name)
		}
	}
	if j.ref != "" && j.ref != string(a.ref) {
		return fmt.Errorf("%w: it is for %s, not for %s", ErrRefused, printable(a.ref), j.ref)
	}
	return a.print(j.stdout)
}

func (a *Approval) print(w io.Writer) error {
	policy, err := a.key.Policy(a.ref)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "reference\t%s\nkey\t%x\npolicy\t%x\napproved\t%x\n", printable(a.ref), a.key.name, policy, a.approved)
	for _, p := range a.pcrs {
		fmt.Fprintf(t, "PCR %s\t%x\n", p.name(), p.value)
	}
	return t.Flush()
}

// printable returns a reference as text if it is one, since others may have made it.
func printable(ref []byte) string {
	for _, c := range string(ref) {
		if c == unicode.ReplacementChar || !unicode.IsPrint(c) {
			return "0x" + hex.EncodeToString(ref)
		}
	}
	return string(ref)
}
