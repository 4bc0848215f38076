package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"stubtpm/vtpmmgr/ledger"
)

// A wordsView is a command line of the manager's domain in JSON.
type wordsView struct {
	Words string `json:"words"`           // for one start
	Later string `json:"later,omitempty"` // for all starts after it
}

// initParameters prints the parameters of a new manager's first start. Malformed values
// are refused here, not on the manager's console.
func initParameters(m *mgrRun) error {
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
		if _, err := ledger.ParseMode(g); err != nil {
			return fmt.Errorf("%w: --guard %s: %w", errUsage, g, err)
		}
		view.Later = "guard=" + g
		words = append(words, view.Later)
	}
	view.Words = strings.Join(words, " ")
	for _, line := range pcrCoverage(m.o.pcrs) {
		fmt.Fprintln(m.stderr, line)
	}
	return m.print(view, func() { fmt.Fprintln(m.out, view.Words) })
}

// pcrCoverage describes what the PCRs of a root key cover and what they leave out.
func pcrCoverage(pcrs string) []string {
	if pcrs == "" {
		pcrs = "0,1,2,3,4,5,7"
	}
	list := strings.Split(pcrs, ",")
	has := func(n ...string) bool {
		for _, s := range n {
			if !slices.Contains(list, s) {
				return false
			}
		}
		return true
	}
	lines := []string{"The root key will be sealed to the values of PCRs " + pcrs + " at the first start."}
	for _, c := range []struct {
		what string
		pcrs []string
	}{
		{"the firmware's code and settings", []string{"0", "1", "2", "3"}},
		{"the boot loader's code and the partition table", []string{"4", "5"}},
		{"the state of Secure Boot and its keys", []string{"7"}},
	} {
		if has(c.pcrs...) {
			lines = append(lines, "They cover "+c.what+".")
		} else {
			lines = append(lines, "They leave out "+c.what+": PCRs "+strings.Join(c.pcrs, ", ")+".")
		}
	}
	if !has("8", "9") && !has("11", "12") {
		lines = append(lines, "They leave out Xen, its command line, dom0's kernel and the manager's image: anyone who can edit the boot loader's",
			"entry gets the root key too. Add 8 and 9 with GRUB, 11 and 12 with a unified kernel image, and name an --operator,", "who approves updates.")
	}
	return lines
}

// operatorPublic returns a P-256 public key, given as hexadecimal or as a file of keygen,
// as an uncompressed point of 65 bytes.
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
