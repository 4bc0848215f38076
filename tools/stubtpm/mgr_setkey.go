package main

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"

	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// setGuard sets the rollback protection mode.
func setGuard(m *mgrRun) error {
	mode, err := ledger.ParseMode(m.args[0])
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	return m.c.SetGuard(mode.Numbers())
}

// setKey replaces one of the manager's keys.
func setKey(m *mgrRun) error {
	roles := map[string]proto.KeyRole{"admin": proto.AdminKey, "host": proto.HostKey}
	role, ok := roles[m.args[0]]
	if !ok {
		return fmt.Errorf("%w: %q: want admin or host", errUsage, m.args[0])
	}
	key, err := readSigner(m.args[1])
	if err != nil {
		return err
	}
	return m.c.SetKey(role, key)
}

// A recoveryFile is the JSON that recover-admin sign writes.
type recoveryFile struct {
	Manager   string `json:"manager"`
	Old       string `json:"old_key"`
	Number    uint64 `json:"admin_number"`
	New       string `json:"new_key"`
	Signature string `json:"signature"` // of the operator: ECDSA P-256 with SHA-256, r and s
}

func recoverSign(m *mgrRun) error {
	if m.o.operatorKey == "" || m.o.manager == "" || m.o.admin == "" || !m.given["admin-number"] || m.o.output == "" {
		return fmt.Errorf("%w: --operator-key, --manager, --admin, --admin-number and -o are required", errUsage)
	}
	operator, err := readOperator(m.o.operatorKey)
	if err != nil {
		return err
	}
	id, err := hex.DecodeString(m.o.manager)
	if err != nil || len(id) != 16 {
		return fmt.Errorf("%w: --manager %q is not 16 bytes in hexadecimal", errUsage, m.o.manager)
	}
	old, err := publicKey("admin", m.o.admin)
	if err != nil {
		return err
	}
	key, err := publicKey("new key", m.args[0])
	if err != nil {
		return err
	}
	digest := sha256.Sum256(proto.SignedRecovery([16]byte(id), old, m.o.adminNumber, key))
	r, s, err := ecdsa.Sign(rand.Reader, operator, digest[:])
	if err != nil {
		return err
	}
	var sig [64]byte
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	b, err := json.MarshalIndent(recoveryFile{hex.EncodeToString(id), hex.EncodeToString(old[:]), m.o.adminNumber, hex.EncodeToString(key[:]), hex.EncodeToString(sig[:])}, "", "  ")
	if err != nil {
		return err
	}
	return writeNew(m.o.output, append(b, '\n'))
}

func recoverSend(m *mgrRun) error {
	b, err := os.ReadFile(m.args[0])
	if err != nil {
		return err
	}
	var f recoveryFile
	if err := json.Unmarshal(b, &f); err != nil {
		return fmt.Errorf("%s: %w", m.args[0], err)
	}
	sig, err := hex.DecodeString(f.Signature)
	if err != nil || len(sig) != 64 {
		return fmt.Errorf("%s: signature is not 64 bytes in hexadecimal", m.args[0])
	}
	return m.c.Recover([64]byte(sig))
}
