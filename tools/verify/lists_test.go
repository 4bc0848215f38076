package verify

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"slices"
	"testing"
	"time"

	"stubtpm/vtpmmgr/cert"
)

// list is a revocation list of an issuer with an extension.
func (w *world) list(i *cert.Issuer, revoked *x509.Certificate, e ...pkix.Extension) []byte {
	w.t.Helper()
	l := &x509.RevocationList{Number: big.NewInt(9), ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(time.Hour), ExtraExtensions: e}
	if revoked != nil {
		l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: revoked.SerialNumber, RevocationTime: now}}
	}
	der, err := x509.CreateRevocationList(rand.Reader, l, i.Certificate, i.Key)
	if err != nil {
		w.t.Fatal(err)
	}
	return der
}

// TestPartialLists: a list that may be a part of what its issuer revoked is not current,
// and revokes all the same.
func TestPartialLists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := making{w: w, of: w.va}.make()
	for name, ext := range map[string]pkix.Extension{
		"a delta":                      {Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}},
		"a delta that is not critical": {Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Value: []byte{2, 1, 1}},
		"one distribution point":       {Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: []byte{0x30, 0}},
		"an unknown critical one":      {Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}},
	} {
		e.CRLs = slices.Concat(w.list(w.site, nil, ext), w.list(w.a.issuer, nil, ext))
		wantReason(t, name, w, e, NoRevocation)
		e.CRLs = slices.Concat(w.crls(nil, nil, days(2)), w.list(w.site, w.a.issuer.Certificate, ext))
		wantReason(t, name+", with the host", w, e, Revoked)
	}
	e.CRLs = slices.Concat(w.list(w.site, nil), w.list(w.a.issuer, nil))
	if _, err := Verify(marshal(t, e), w.question(), w.strict()); err != nil {
		t.Errorf("whole lists: %v", err)
	}
	e.CRLs = nil
	for range maxLists + 1 {
		e.CRLs = append(e.CRLs, w.list(w.b.issuer, nil)...)
	}
	wantReason(t, "too many", w, e, Malformed)
}

func wantReason(t *testing.T, what string, w *world, e interface{ Marshal() ([]byte, error) }, want Reason) {
	t.Helper()
	_, err := Verify(marshal(t, e), w.question(), w.strict())
	var r *Refusal
	if !errors.As(err, &r) || r.Reason != want {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}
