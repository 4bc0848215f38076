package main

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/bits"
	"os"
	"slices"
	"strconv"
	"strings"

	"stubtpm/drivers/block"
	"stubtpm/vtpmmgr/hwtpm"
	"stubtpm/vtpmmgr/proto"
)

// An approvalFile is the JSON that approve-pcrs sign writes.
type approvalFile struct {
	Mask      uint32 `json:"pcr_mask"`
	Values    string `json:"values"` // 32 bytes for each PCR, in ascending order
	Policy    string `json:"policy"`
	Signature string `json:"signature"`
}

func approveSign(m *mgrRun) error {
	if m.o.operatorKey == "" || m.o.output == "" {
		return fmt.Errorf("%w: --operator-key and -o are required", errUsage)
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
			return fmt.Errorf("%w: %q: want PCR=VALUE with 32 bytes in hexadecimal", errUsage, a)
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
	b, err := json.MarshalIndent(approvalFile{a.Mask(), hex.EncodeToString(all), hex.EncodeToString(a.Policy[:]), hex.EncodeToString(a.Signature[:])}, "", "  ")
	if err != nil {
		return err
	}
	return writeNew(m.o.output, append(b, '\n'))
}

func readApproval(name string) (a proto.Approval, err error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return a, err
	}
	var f approvalFile
	if err := json.Unmarshal(b, &f); err != nil {
		return a, fmt.Errorf("%s: %w", name, err)
	}
	a.Mask = f.Mask
	if a.Policy, err = hex32("policy", f.Policy); err != nil {
		return a, err
	}
	sig, err := hex.DecodeString(f.Signature)
	if err != nil || len(sig) != len(a.Signature) {
		return a, fmt.Errorf("%s: signature is not 64 bytes in hexadecimal", name)
	}
	copy(a.Signature[:], sig)
	if a.Values, err = hex.DecodeString(f.Values); err != nil || len(a.Values) != 32*bits.OnesCount32(a.Mask) {
		return a, fmt.Errorf("%s: values are not 32 bytes in hexadecimal for each PCR", name)
	}
	return a, nil
}

func approveSend(m *mgrRun) error {
	a, err := readApproval(m.args[0])
	if err != nil {
		return err
	}
	return m.c.Approve(&a)
}

// approveWrite writes an approval to the disk of a manager that does not start.
func approveWrite(m *mgrRun) error {
	if m.o.managerDisk == "" {
		return fmt.Errorf("%w: --manager-disk is required", errUsage)
	}
	wire, err := readApproval(m.args[0])
	if err != nil {
		return err
	}
	a, err := hwtpm.NewApproval(wire.Mask, wire.Policy, wire.Signature)
	if err != nil {
		return err
	}
	disk, err := block.OpenFile(m.o.managerDisk)
	if err != nil {
		return err
	}
	defer disk.Close()
	r, err := hwtpm.ReadRecord(disk)
	if err != nil {
		return fmt.Errorf("%s: %w", m.o.managerDisk, err)
	}
	next, err := r.Approve(a, wire.Values)
	if err != nil {
		return err
	}
	return hwtpm.WriteRecord(disk, next)
}

// restoreLedger signs the parameter with which a manager opens an old disk.
func restoreLedger(m *mgrRun) error {
	id, err := hex.DecodeString(m.o.manager)
	if err != nil || len(id) != 16 || m.o.counter == 0 {
		return fmt.Errorf("%w: --manager and --counter are required; the manager's refusal names them", errUsage)
	}
	key, err := m.mustKey()
	if err != nil {
		return err
	}
	word := "restore=" + hex.EncodeToString(ed25519.Sign(key, proto.SignedRestore([16]byte(id), m.o.counter)))
	return m.print(wordsView{Words: word}, func() { fmt.Fprintln(m.out, word) })
}

// moveIndices signs the parameter with which a manager moves to new NV indices.
func moveIndices(m *mgrRun) error {
	id, err := hex.DecodeString(m.o.manager)
	challenge, e := hex.DecodeString(m.o.challenge)
	if err != nil || e != nil || len(id) != 16 || len(challenge) != 32 {
		return fmt.Errorf("%w: --manager and --challenge are required; the manager's refusal names them", errUsage)
	}
	key, err := m.mustKey()
	if err != nil {
		return err
	}
	word := "move=" + hex.EncodeToString(ed25519.Sign(key, proto.SignedMove([16]byte(id), [32]byte(challenge))))
	return m.print(wordsView{Words: word}, func() { fmt.Fprintln(m.out, word) })
}
