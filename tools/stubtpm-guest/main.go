// Stubtpm-guest makes evidence about the vTPM of the Xen guest that it runs in.
//
// Synopsis:
//
//	stubtpm-guest evidence --nonce HEX -o FILE [--tpm DEVICE] [--pcrs LIST] [--log FILE]
//	stubtpm-guest certificate --key HANDLE -o FILE [--tpm DEVICE]
//
// Description:
//
// The command evidence answers a verifier's nonce, 16 to 64 bytes. It makes an attestation
// key in the vTPM, asks the vTPM for its manager's statement and the hardware TPM's quote,
// quotes PCRs with the key, and writes all of it with the certificates of the vTPM and an
// event log to FILE, for stubtpm verify (docs/evidence-format.md). The key is gone
// afterwards; the next evidence has the same one, since it is derived from a seed.
//
// The command certificate has the manager certify an attestation key of the vTPM that is
// persistent, or loaded, at HANDLE (in hexadecimal), and writes the certificate and those
// of its issuers in PEM.
//
// The exit code is 0 if the file was written, 1 for an error, 2 for wrong usage.
package main

import (
	"encoding/hex"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxtpm"

	"stubtpm/tools/stubtpm-guest/gather"
)

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

const usage = "usage: stubtpm-guest evidence --nonce HEX -o FILE [--tpm DEVICE] [--pcrs LIST] [--log FILE]\n" +
	"       stubtpm-guest certificate --key HANDLE -o FILE [--tpm DEVICE]\n"

// kernelLog is where Linux shows the event log of the firmware.
const kernelLog = "/sys/kernel/security/tpm0/binary_bios_measurements"

func run(args []string, stderr io.Writer) int {
	commands := map[string]func([]string, io.Writer) error{"evidence": makeEvidence, "certificate": certificate}
	if len(args) == 0 || commands[args[0]] == nil {
		fmt.Fprint(stderr, usage)
		return 2
	}
	err := commands[args[0]](args[1:], stderr)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintf(stderr, "stubtpm-guest: %v\n%s", err, usage)
		return 2
	}
	fmt.Fprintf(stderr, "stubtpm-guest: %v\n", err)
	return 1
}

var errUsage = errors.New("wrong usage")

// flags returns a set with the flags that both commands have.
func flags(name string, stderr io.Writer) (f *flag.FlagSet, out, tpm *string) {
	f = flag.NewFlagSet("stubtpm-guest "+name, flag.ContinueOnError)
	f.SetOutput(stderr)
	out = f.String("o", "", "`FILE` to write")
	tpm = f.String("tpm", "", "the `DEVICE` of the vTPM; empty for /dev/tpmrm0 or, without it, /dev/tpm0")
	return f, out, tpm
}

func makeEvidence(args []string, stderr io.Writer) error {
	f, out, tpm := flags("evidence", stderr)
	nonce := f.String("nonce", "", "the verifier's nonce in `HEX`, 16 to 64 bytes")
	pcrs := f.String("pcrs", "0,1,2,3,4,5,7,8,9,11,12,14", "the PCRs to quote, a `LIST` with commas")
	log := f.String("log", "", "event log to add, in TCG's format; empty for the kernel's, if there is one")
	if err := f.Parse(args); err != nil {
		return usageOf(err)
	}
	q := question{logFile: *log}
	var err error
	if q.nonce, err = hex.DecodeString(*nonce); err != nil || *nonce == "" || *out == "" || f.NArg() != 0 {
		return errUsage
	}
	if q.pcrs, err = parsePCRs(*pcrs); err != nil {
		return fmt.Errorf("%w: --pcrs: %w", errUsage, err)
	}
	return answer(*tpm, *out, q)
}

// usageOf is the error for a command line that package flag refused.
func usageOf(err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return err
	}
	return errUsage
}

func certificate(args []string, stderr io.Writer) error {
	f, out, tpm := flags("certificate", stderr)
	key := f.String("key", "", "the key's `HANDLE` in hexadecimal, such as 81010002")
	if err := f.Parse(args); err != nil {
		return usageOf(err)
	}
	handle, err := strconv.ParseUint(strings.TrimPrefix(*key, "0x"), 16, 32)
	if err != nil || *out == "" || f.NArg() != 0 {
		return errUsage
	}
	bus, err := open(*tpm)
	if err != nil {
		return err
	}
	defer bus.Close()
	c, chain, err := gather.AKCertificate(bus, tpm2.TPMHandle(handle))
	if err != nil {
		return err
	}
	var b []byte
	for _, der := range append([][]byte{c}, chain...) {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return os.WriteFile(*out, b, 0o644)
}

// A question is what evidence is to be made for.
type question struct {
	nonce   []byte
	pcrs    []uint
	logFile string // empty for the kernel's
}

// parsePCRs returns the PCRs of a list, in ascending order.
func parsePCRs(list string) (pcrs []uint, err error) {
	for _, s := range strings.Split(list, ",") {
		n, err := strconv.ParseUint(s, 10, 8)
		if err != nil || n >= 24 {
			return nil, fmt.Errorf("%q is not a PCR", s)
		}
		pcrs = append(pcrs, uint(n))
	}
	slices.Sort(pcrs)
	return slices.Compact(pcrs), nil
}

// answer writes the evidence to a file.
func answer(device, out string, q question) error {
	bus, err := open(device)
	if err != nil {
		return err
	}
	defer bus.Close()
	e, err := gather.Evidence(bus, q.nonce, q.pcrs)
	if err != nil {
		return err
	}
	file := q.logFile
	if file == "" {
		file = kernelLog
	}
	e.GuestLog, err = os.ReadFile(file)
	if err != nil && (q.logFile != "" || !errors.Is(err, os.ErrNotExist)) {
		return err
	}
	if len(e.GuestLog) == 0 {
		e.GuestLog = nil // the kernel has a file, and no log
	}
	b, err := e.Marshal()
	if err != nil {
		return err
	}
	return os.WriteFile(out, b, 0o644)
}

// open opens the vTPM.
func open(device string) (transport.TPMCloser, error) {
	if device == "" {
		device = "/dev/tpmrm0"
		if _, err := os.Stat(device); err != nil {
			device = "/dev/tpm0"
		}
	}
	return linuxtpm.Open(device)
}
