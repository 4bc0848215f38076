// Stubtpm-guest makes evidence about the vTPM of the Xen guest that it runs in.
//
// Synopsis:
//
//	stubtpm-guest evidence --nonce HEX -o FILE [--tpm DEVICE] [--pcrs LIST] [--log FILE]
//
// Description:
//
// The command evidence answers a verifier's nonce, 16 to 64 bytes. It makes an attestation
// key in the vTPM, asks the vTPM for its manager's statement and the hardware TPM's quote,
// quotes PCRs with the key, and writes all of it with the certificates of the vTPM and an
// event log to FILE, for stubtpm verify (docs/evidence-format.md). The key is gone
// afterwards; the next evidence has the same one, since it is derived from a seed.
//
// The exit code is 0 if the file was written, 1 for an error, 2 for wrong usage.
package main

import (
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-tpm/tpm2/transport/linuxtpm"

	"stubtpm/tools/stubtpm-guest/gather"
)

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

const usage = "usage: stubtpm-guest evidence --nonce HEX -o FILE [--tpm DEVICE] [--pcrs LIST] [--log FILE]\n"

// kernelLog is where Linux shows the event log of the firmware.
const kernelLog = "/sys/kernel/security/tpm0/binary_bios_measurements"

func run(args []string, stderr io.Writer) int {
	if len(args) == 0 || args[0] != "evidence" {
		fmt.Fprint(stderr, usage)
		return 2
	}
	f := flag.NewFlagSet("stubtpm-guest evidence", flag.ContinueOnError)
	f.SetOutput(stderr)
	nonce := f.String("nonce", "", "the verifier's nonce in `HEX`, 16 to 64 bytes")
	out := f.String("o", "", "`FILE` to write")
	tpm := f.String("tpm", "", "the `DEVICE` of the vTPM; empty for /dev/tpmrm0 or, without it, /dev/tpm0")
	pcrs := f.String("pcrs", "0,1,2,3,4,5,7,8,9,11,12,14", "the PCRs to quote, a `LIST` with commas")
	log := f.String("log", "", "event log to add, in TCG's format; empty for the kernel's, if there is one")
	if err := f.Parse(args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	q := question{logFile: *log}
	var err error
	if q.nonce, err = hex.DecodeString(*nonce); err != nil || *nonce == "" || *out == "" || f.NArg() != 0 {
		fmt.Fprint(stderr, usage)
		return 2
	}
	if q.pcrs, err = parsePCRs(*pcrs); err != nil {
		fmt.Fprintf(stderr, "stubtpm-guest: --pcrs: %v\n", err)
		return 2
	}
	if err := answer(*tpm, *out, q); err != nil {
		fmt.Fprintf(stderr, "stubtpm-guest: %v\n", err)
		return 1
	}
	return 0
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
	if device == "" {
		device = "/dev/tpmrm0"
		if _, err := os.Stat(device); err != nil {
			device = "/dev/tpm0"
		}
	}
	bus, err := linuxtpm.Open(device)
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
	b, err := e.Marshal()
	if err != nil {
		return err
	}
	return os.WriteFile(out, b, 0o644)
}
