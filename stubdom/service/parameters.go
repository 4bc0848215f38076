package service

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"stubtpm/vtpmmgr"
	"stubtpm/vtpmmgr/hwtpm"
	"stubtpm/vtpmmgr/ledger"
)

// hex returns the value of a parameter of size bytes in hexadecimal; nil without the
// parameter.
func (e *Environment) hex(name string, size int) ([]byte, error) {
	word, given := e.parameter(name)
	if !given {
		return nil, nil
	}
	b, err := hex.DecodeString(word)
	if err != nil || len(b) != size {
		return nil, fmt.Errorf("%s=%s: want %d bytes in hexadecimal", name, word, size)
	}
	return b, nil
}

// maxOwnerAuth is the size in bytes of the longest authorization value of a hierarchy (TPM
// 2.0 Part 2, TPM2B_AUTH: the size of the largest digest).
const maxOwnerAuth = 64

// ownerAuth returns the owner's authorization value; nil for none. No error contains it.
func (e *Environment) ownerAuth() ([]byte, error) {
	word, given := e.parameter("ownerauth")
	if !given {
		return nil, nil
	}
	b, err := hex.DecodeString(word)
	if err != nil || len(b) == 0 || len(b) > maxOwnerAuth {
		return nil, fmt.Errorf("ownerauth=: want 1 to %d bytes in hexadecimal", maxOwnerAuth)
	}
	return b, nil
}

// maxURL is the size in bytes of the longest URL of parameter crl.
const maxURL = 128

// crl returns the URL of parameter crl; empty without it.
func (e *Environment) crl() (string, error) {
	word, given := e.parameter("crl")
	if u, err := url.Parse(word); given && (err != nil || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "ldap" || u.Host == "" || len(word) > maxURL || strings.ContainsFunc(word, func(r rune) bool { return r <= ' ' || r > '~' })) {
		return "", fmt.Errorf("crl=%s: want an http, https or ldap URL of at most %d ASCII characters", word, maxURL)
	}
	return word, nil
}

// pcrs returns the PCRs of parameter pcrs in ascending order.
func (e *Environment) pcrs() ([]uint, error) {
	list, given := e.parameter("pcrs")
	if !given {
		return defaultPCRs, nil
	}
	var pcrs []uint
	for _, s := range strings.Split(list, ",") {
		n, err := strconv.ParseUint(s, 10, 8)
		if err != nil || n >= 24 {
			return nil, fmt.Errorf("pcrs=%s: %q is not a PCR", list, s)
		}
		pcrs = append(pcrs, uint(n))
	}
	slices.Sort(pcrs)
	return slices.Compact(pcrs), nil
}

// protection sets the rollback protection mode and what goes with it.
func (e *Environment) protection(cfg *vtpmmgr.Config) error {
	years := float64(ledger.DefaultYears)
	pcr := hwtpm.DefaultPCR
	cfg.Endurance = ledger.DefaultEndurance
	for name, n := range map[string]*int{"endurance": &cfg.Endurance, "anchor-pcr": &pcr} {
		if word, given := e.parameter(name); given {
			v, err := strconv.ParseUint(word, 10, 31)
			if err != nil || v == 0 {
				return fmt.Errorf("%s=%s: want a positive number", name, word)
			}
			*n = int(v)
		}
	}
	cfg.PCR = uint(pcr)
	if word, given := e.parameter("years"); given {
		var err error
		if years, err = strconv.ParseFloat(word, 64); err != nil || !(years > 0 && years <= 100) {
			return fmt.Errorf("years=%s: want a positive number up to 100", word)
		}
	}
	if word, given := e.parameter("commits"); given {
		var err error
		if cfg.CommitRate, err = strconv.ParseFloat(word, 64); err != nil || !(cfg.CommitRate > 0 && cfg.CommitRate <= 1e6) {
			return fmt.Errorf("commits=%s: want a positive number up to a million", word)
		}
	}
	word, given := e.parameter("guard")
	_, init := e.parameter("init")
	cfg.KeepMode = !given && !init
	if !given || word == "budget" {
		cfg.Mode = ledger.Budget(cfg.Endurance, years)
		return nil
	}
	var err error
	if cfg.Mode, err = ledger.ParseMode(word); err != nil {
		return fmt.Errorf("guard=: %w", err)
	}
	return nil
}

// operator returns the key that may approve other PCR values; nil for none.
func (e *Environment) operator() (*ecdsa.PublicKey, error) {
	b, err := e.hex("operator", 65)
	if b == nil || err != nil {
		return nil, err
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), b)
	if err != nil {
		return nil, fmt.Errorf("operator=: %w", err)
	}
	return key, nil
}

// defaultPCRs are the PCRs that the manager's root key is sealed to without parameter
// pcrs: those of the firmware and its configuration (TCG PC Client Platform Firmware
// Profile 1.06, section 3.3.4).
var defaultPCRs = []uint{0, 1, 2, 3, 4, 5, 7}

// parameter returns the value of a command line parameter, and whether it is present.
func (e *Environment) parameter(name string) (string, bool) {
	for _, word := range strings.Fields(e.CommandLine) {
		if k, v, _ := strings.Cut(word, "="); k == name {
			return v, true
		}
	}
	return "", false
}

// ControlArea returns the physical address of the hardware TPM's control area from
// parameter tpm=HEX, for a TPM that is not at the usual registers; given is false without
// the parameter.
func (e *Environment) ControlArea() (addr uint64, given bool, err error) {
	word, given := e.parameter("tpm")
	if !given {
		return 0, false, nil
	}
	addr, err = strconv.ParseUint(strings.TrimPrefix(word, "0x"), 16, 64)
	if err != nil || addr == 0 {
		err = fmt.Errorf("tpm=%s: want the hexadecimal address of a control area, as stubtpm-host tpm-info prints it", word)
	}
	return addr, true, err
}
