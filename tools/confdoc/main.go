// Confdoc prints docs/conformance.md: each command of the specification, whether
// the device has it, and who has judged it.
//
// Synopsis:
//
//	confdoc [-o FILE | -table]
//
// It asks a new device for its commands, so the table says what is, not what was
// meant. What other projects' suites said is in results.tsv, written by
// tools/conformance. -table prints instead how many commands of each revision are
// implemented.
//
// Exit codes: 0 done, 1 failed.
package main

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"stubtpm/vtpm"
	"stubtpm/vtpm/tcg"
)

func main() {
	out := flag.String("o", "", "file to write; standard output if empty")
	table := flag.Bool("table", false, "print commands implemented and specified, by revision")
	flag.Parse()
	do := func() error { return run(*out) }
	if *table {
		do = func() error { return printTable(os.Stdout) }
	}
	if err := do(); err != nil {
		fmt.Fprintln(os.Stderr, "confdoc:", err)
		os.Exit(1)
	}
}

func run(file string) error {
	text, err := document()
	if err != nil {
		return err
	}
	if file == "" {
		_, err = os.Stdout.Write(text)
		return err
	}
	return os.WriteFile(file, text, 0o644)
}

type forgetful struct{}

func (forgetful) Save([]byte) error { return nil }

// newDevice is a device with all commands that there are, started up.
func newDevice() (*vtpm.Device, error) {
	d, err := vtpm.Manufacture(vtpm.Config{Store: forgetful{}, Profile: tcg.NamedProfile("default-v2")})
	if err != nil {
		return nil, err
	}
	if rsp := d.Execute(0, []byte{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0}); code(rsp) != 0 {
		return nil, fmt.Errorf("TPM2_Startup answered 0x%X", code(rsp))
	}
	return d, nil
}

func code(rsp []byte) tcg.TPMRC { return tcg.TPMRC(binary.BigEndian.Uint32(rsp[6:])) }

// implemented asks a device which commands it has.
func implemented(d *vtpm.Device) (map[tcg.TPMCC]bool, error) {
	cmd := []byte{0x80, 1, 0, 0, 0, 22, 0, 0, 1, 0x7A, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 4, 0}
	rsp := d.Execute(0, cmd)
	if code(rsp) != 0 || len(rsp) < 19 || rsp[10] != 0 {
		return nil, errors.New("TPM2_GetCapability does not list the commands")
	}
	have := map[tcg.TPMCC]bool{}
	for b := rsp[19:]; len(b) >= 4; b = b[4:] {
		have[tcg.TPMCC(binary.BigEndian.Uint32(b)&0xFFFF)] = true
	}
	return have, nil
}

// commands are those of the specification's table, by code.
func commands() []*tcg.CommandSpec {
	var l []*tcg.CommandSpec
	for cc := tcg.TPMCCFirst; cc <= tcg.TPMCCLast; cc++ {
		if s := tcg.CommandByCode(cc); s != nil {
			l = append(l, s)
		}
	}
	return l
}

// state says how a group of commands is answered.
func state(have map[tcg.TPMCC]bool, codes ...tcg.TPMCC) string {
	var in []string
	for _, c := range codes {
		if have[c] {
			in = append(in, c.String())
		}
	}
	switch len(in) {
	case 0:
		return "They are not implemented."
	case len(codes):
		return "They are answered as a TPM without them must."
	}
	return "Answered: " + strings.Join(in, ", ") + "; the others are not implemented."
}
