package site

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certified has a site certify a machine, and returns the error.
func certified(t *testing.T, dir string, m *machine, replace bool) (err error) {
	t.Helper()
	request := marshal(t, m.request())
	at(t, dir, now, func(s *Site) {
		s.Replace = replace
		challenge, cErr := s.Challenge(request, nil)
		if cErr != nil {
			t.Fatal(cErr)
		}
		_, err = s.Certify(request, marshal(t, m.answer(t, request, challenge)), nil)
	})
	return err
}

func validOf(t *testing.T, dir string) (n int) {
	t.Helper()
	at(t, dir, now, func(s *Site) {
		for _, i := range s.Issued() {
			if i.Revoked == nil {
				n++
			}
		}
	})
	return n
}

// TestNewKeys: a manager that comes back with the same keys has both certificates; with
// new keys the earlier ones are revoked, for it cannot revoke what the old keys certified.
func TestNewKeys(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	m := newMachine(t, v)
	dir := newSite(t, m, v)
	for i, want := range []int{1, 2} {
		if err := certified(t, dir, m, false); err != nil || validOf(t, dir) != want {
			t.Fatalf("admission %d: %v, %d are valid", i, err, validOf(t, dir))
		}
	}
	if err := m.Create(); err != nil {
		t.Fatal(err)
	}
	if err := certified(t, dir, m, false); err != nil || validOf(t, dir) != 1 {
		t.Errorf("with new keys: %v, %d are valid", err, validOf(t, dir))
	}
}

// TestOtherChip: another chip is not admitted under the id of a manager that is, unless the
// operator says that the host was replaced.
func TestOtherChip(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	m, other := newMachine(t, v), newMachine(t, v)
	dir := newSite(t, m, v)
	if err := certified(t, dir, m, false); err != nil {
		t.Fatal(err)
	}
	if err := certified(t, dir, other, false); !errors.Is(err, ErrRefused) || validOf(t, dir) != 1 {
		t.Errorf("another chip: %v, %d are valid", err, validOf(t, dir))
	}
	if err := certified(t, dir, other, true); err != nil || validOf(t, dir) != 1 {
		t.Errorf("replaced: %v, %d are valid", err, validOf(t, dir))
	}
	if err := certified(t, dir, m, false); !errors.Is(err, ErrRefused) {
		t.Errorf("the first chip again: %v", err)
	}
}

// TestRootsRefused: a site's certificate under which nothing would be accepted is refused
// before anything is signed.
func TestRootsRefused(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	m := newMachine(t, v)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	both := x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	for name, c := range map[string]*x509.Certificate{
		"path length 0": {IsCA: true, MaxPathLenZero: true, KeyUsage: both, NotBefore: now, NotAfter: now.Add(time.Hour)},
		"no CRLs":       {IsCA: true, MaxPathLen: 1, KeyUsage: x509.KeyUsageCertSign, NotBefore: now, NotAfter: now.Add(time.Hour)},
		"ended":         {IsCA: true, MaxPathLen: 1, KeyUsage: both, NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(-time.Hour)},
		"not a CA":      {KeyUsage: both, NotBefore: now, NotAfter: now.Add(time.Hour)},
	} {
		dir := newSite(t, m, v)
		c.BasicConstraintsValid = true
		put(t, filepath.Join(dir, rootFile), pemOf(v.sign(t, c, key.Public()).Raw))
		if s, err := Open(dir, func(string) (crypto.Signer, error) { return key, nil }, now); err == nil {
			s.Close()
			t.Errorf("%s: opened", name)
		}
		if s, err := Open(dir, nil, now); err != nil {
			t.Errorf("%s: not shown: %v", name, err)
		} else {
			s.Close()
		}
	}
}

// TestNames: names that do not fit into a certificate, or a terminal.
func TestNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "a\nb", "\x1b[31m", strings.Repeat("x", 65), "\xff"} {
		if isName(name) {
			t.Errorf("%q is taken", name)
		}
	}
	if !isName("Beispiel-Straße 1") || !isName(strings.Repeat("ß", 64)) {
		t.Error("a good name is refused")
	}
}
