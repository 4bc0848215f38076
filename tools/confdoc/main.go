// Confdoc prints docs/conformance.md: each command of the specification, whether
// the device has it, and what it is tested by.
//
// Synopsis:
//
//	confdoc [-o FILE]
//
// It asks a new device for its commands, so the table says what is, not what was
// meant.
//
// Exit codes: 0 done, 1 failed.
package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"stubtpm/tools/difftest/stream"
	"stubtpm/vtpm"
	"stubtpm/vtpm/tcg"
)

func main() {
	out := flag.String("o", "", "file to write; standard output if empty")
	flag.Parse()
	if err := run(*out); err != nil {
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

// newDevice is a device that is started up.
func newDevice() (*vtpm.Device, error) {
	d, err := vtpm.Manufacture(vtpm.Config{Store: forgetful{}})
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

const head = `# Conformance

Made by tools/confdoc; a test checks that it is up to date. The authority is the
Trusted Platform Module 2.0 Library, version 1.85.

## Commands

%d of %d commands of version 1.85 are implemented. "Since" is the revision that
brought the command. Tested by: E, each implemented command is sent once and
known to the device (tools/confdoc); D, generated with valid parameters and
compared with swtpm (tools/difftest); R, sent with random parameters and compared.
Other projects' suites run on the device too: see tools/conformance.

| Code | Command | Since | Implemented | Tested by |
|---|---|---|---|---|
`

const absent = `
## Commands of parts that a TPM may be without

- Field upgrade (TPM2_FieldUpgradeStart, TPM2_FieldUpgradeData) and
  TPM2_FirmwareRead: the device's program is replaced from outside, as a file,
  and measured by whoever starts it. It has no firmware to hand out. %s
- Attached components (TPM2_AC_GetCapability, TPM2_AC_Send,
  TPM2_Policy_AC_SendSelect): none can be attached; version 1.85 deprecates the
  commands. %s

A command that is not implemented is answered with TPM_RC_COMMAND_CODE (Part
3, 5.2.3).

## Differences to other TPMs

What tools/difftest finds when it sends the same commands to this device and to
Debian's swtpm, other than what is named in the specification as the TPM's
choice. "Open": not decided yet.

| Difference | Decided by | Reason |
|---|---|---|
`

// document is the text of docs/conformance.md.
func document() ([]byte, error) {
	d, err := newDevice()
	if err != nil {
		return nil, err
	}
	have, err := implemented(d)
	if err != nil {
		return nil, err
	}
	all := commands()
	n := 0
	for _, s := range all {
		if have[s.Code] {
			n++
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, head, n, len(all))
	generated := stream.Generated()
	for _, s := range all {
		yes, by := "no", "R"
		if have[s.Code] {
			yes, by = "yes", "E R"
			if slices.Contains(generated, s.Code) {
				by = "E D"
			}
		}
		fmt.Fprintf(&b, "| 0x%03X | %s | %s | %s | %s |\n", uint32(s.Code), s.Name, s.Since, yes, by)
	}
	fmt.Fprintf(&b, absent,
		state(have, tcg.TPMCCFieldUpgradeStart, tcg.TPMCCFieldUpgradeData, tcg.TPMCCFirmwareRead),
		state(have, tcg.TPMCCACGetCapability, tcg.TPMCCACSend, tcg.TPMCCPolicyACSendSelect))
	for _, x := range stream.Differences {
		reason := x.Reason
		if x.Open {
			reason = "Open"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", x.Name, x.Paragraph, reason)
	}
	return b.Bytes(), nil
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
