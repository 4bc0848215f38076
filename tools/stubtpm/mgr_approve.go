package main

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"stubtpm/vtpmmgr/hwtpm"
	"stubtpm/vtpmmgr/proto"
)

// An approval file is what approve-sign writes.
type approvalFile struct {
	Mask      uint32 `json:"pcr_mask"`
	Policy    string `json:"policy"`
	Signature string `json:"signature"`
}

func approveSign(m *mgrRun) error {
	if m.o.operatorKey == "" || m.o.output == "" {
		return fmt.Errorf("%w: --operator-key and -o are needed", errUsage)
	}
	key, err := readOperator(m.o.operatorKey)
	if err != nil {
		return err
	}
	values := map[uint][]byte{}
	var pcrs []uint
	for _, a := range m.args {
		number, value, _ := strings.Cut(a, "=")
		n, err := strconv.ParseUint(number, 10, 8)
		b, hexErr := hex32("PCR "+number, value)
		if err != nil || hexErr != nil || values[uint(n)] != nil {
			return fmt.Errorf("%w: %q: want a PCR's number, =, 32 bytes in hexadecimal", errUsage, a)
		}
		values[uint(n)] = b[:]
		pcrs = append(pcrs, uint(n))
	}
	slices.Sort(pcrs)
	var all []byte
	for _, n := range pcrs {
		all = append(all, values[n]...)
	}
	a, err := hwtpm.Approve(key, pcrs, all)
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(approvalFile{a.Mask(), hex.EncodeToString(a.Policy[:]), hex.EncodeToString(a.Signature[:])}, "", "  ")
	if err != nil {
		return err
	}
	return writeNew(m.o.output, append(b, '\n'))
}

func approve(m *mgrRun) error {
	b, err := os.ReadFile(m.args[0])
	if err != nil {
		return err
	}
	var f approvalFile
	if err := json.Unmarshal(b, &f); err != nil {
		return fmt.Errorf("%s: %w", m.args[0], err)
	}
	a := proto.Approval{Mask: f.Mask}
	if a.Policy, err = hex32("policy", f.Policy); err != nil {
		return err
	}
	sig, err := hex.DecodeString(f.Signature)
	if err != nil || len(sig) != len(a.Signature) {
		return fmt.Errorf("%s: signature is not 64 bytes in hexadecimal", m.args[0])
	}
	copy(a.Signature[:], sig)
	return m.c.Approve(&a)
}

// restoreLedger signs what a manager asks for that found an old disk.
func restoreLedger(m *mgrRun) error {
	id, err := hex.DecodeString(m.o.manager)
	if err != nil || len(id) != 16 || m.o.counter == 0 {
		return fmt.Errorf("%w: --manager and --counter are needed, as the manager's refusal names them", errUsage)
	}
	key, err := m.mustKey()
	if err != nil {
		return err
	}
	word := "restore=" + hex.EncodeToString(ed25519.Sign(key, proto.SignedRestore([16]byte(id), m.o.counter)))
	return m.print(wordsView{Words: word}, func() { fmt.Fprintln(m.out, word) })
}

// moveIndices signs what a manager asks for whose NV indices are gone.
func moveIndices(m *mgrRun) error {
	id, err := hex.DecodeString(m.o.manager)
	challenge, e := hex.DecodeString(m.o.challenge)
	if err != nil || e != nil || len(id) != 16 || len(challenge) != 32 {
		return fmt.Errorf("%w: --manager and --challenge are needed, as the manager's refusal names them", errUsage)
	}
	key, err := m.mustKey()
	if err != nil {
		return err
	}
	word := "move=" + hex.EncodeToString(ed25519.Sign(key, proto.SignedMove([16]byte(id), [32]byte(challenge))))
	return m.print(wordsView{Words: word}, func() { fmt.Fprintln(m.out, word) })
}
