package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"stubtpm/vtpmmgr/ledger"
)

// A wordsView is a command line of the manager's domain as JSON tells it.
type wordsView struct {
	Words string `json:"words"`           // of one start
	Later string `json:"later,omitempty"` // of all starts after it
}

// initWords prints what a new manager is told at its first start. What it
// cannot read itself is refused here and not on its console.
func initWords(m *mgrRun) error {
	key, err := m.mustKey()
	if err != nil {
		return err
	}
	words := []string{"init", "admin=" + hex.EncodeToString(key.Public().(ed25519.PublicKey))}
	if m.o.host != "" {
		k, err := publicKey("host", m.o.host)
		if err != nil {
			return err
		}
		words = append(words, "host="+hex.EncodeToString(k[:]))
	}
	if m.o.operator != "" {
		k, err := operatorPublic(m.o.operator)
		if err != nil {
			return err
		}
		words = append(words, "operator="+hex.EncodeToString(k))
	}
	if m.o.pcrs != "" {
		for _, s := range strings.Split(m.o.pcrs, ",") {
			if n, err := strconv.ParseUint(s, 10, 8); err != nil || n >= 24 {
				return fmt.Errorf("%w: --pcrs %s: %q is not a PCR", errUsage, m.o.pcrs, s)
			}
		}
		words = append(words, "pcrs="+m.o.pcrs)
	}
	view := wordsView{}
	if g := m.o.guard; g != "" {
		if d, err := time.ParseDuration(g); g != "strict" && g != "budget" && (err != nil || d <= 0 || d > ledger.MaxBounded) {
			return fmt.Errorf("%w: --guard %s: want budget, strict, or a time such as 5s, at most %v", errUsage, g, ledger.MaxBounded)
		}
		view.Later = "guard=" + g
		words = append(words, view.Later)
	}
	view.Words = strings.Join(words, " ")
	return m.print(view, func() { fmt.Fprintln(m.out, view.Words) })
}

// operatorPublic reads a P-256 key: hexadecimal, or a file of keygen's. It
// returns the 65 bytes of the uncompressed point.
func operatorPublic(s string) ([]byte, error) {
	if b, err := hex.DecodeString(s); err == nil {
		if _, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), b); err != nil {
			return nil, fmt.Errorf("%w: operator: %w", errUsage, err)
		}
		return b, nil
	}
	key, err := readOperator(s)
	if err != nil {
		return nil, err
	}
	return key.PublicKey.Bytes()
}
