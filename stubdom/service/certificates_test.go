package service

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/vtpm"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpmmgr/cert"
	"stubtpm/vtpmmgr/proto"
)

// readNV reads a whole NV index as a guest does; nil if it is not defined.
func readNV(t testing.TB, tpm transport.TPM, h tcg.TPMHandle) []byte {
	t.Helper()
	p, err := tpm2.NVReadPublic{NVIndex: tpm2.TPMHandle(h)}.Execute(tpm)
	if err != nil {
		return nil
	}
	public, err := p.NVPublic.Contents()
	if err != nil {
		t.Fatal(err)
	}
	index := tpm2.NamedHandle{Handle: tpm2.TPMHandle(h), Name: p.NVName}
	var b []byte
	for len(b) < int(public.DataSize) {
		r, err := tpm2.NVRead{AuthHandle: tpm2.AuthHandle{Handle: index.Handle, Name: index.Name, Auth: tpm2.PasswordAuth(nil)}, NVIndex: index,
			Size: min(1024, public.DataSize-uint16(len(b))), Offset: uint16(len(b))}.Execute(tpm)
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, r.Data.Buffer...)
	}
	return b
}

// property returns a TPM_PT of the vTPM.
func property(t testing.TB, tpm transport.TPM, pt tpm2.TPMPT) uint32 {
	t.Helper()
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: uint32(pt), PropertyCount: 1}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	l, err := r.CapabilityData.Data.TPMProperties()
	if err != nil || len(l.TPMProperty) != 1 {
		t.Fatal(err, l)
	}
	return l.TPMProperty[0].Value
}

// chainOf checks the certificate of the P-256 key in a guest's NV against the key that
// the guest derives and against its issuer, and returns it.
func chainOf(t testing.TB, g transport.TPM) *x509.Certificate {
	t.Helper()
	ek, err := x509.ParseCertificate(readNV(t, g, vtpm.EKCertP256))
	if err != nil {
		t.Fatal(err)
	}
	host, err := x509.ParseCertificate(readNV(t, g, vtpm.EKChain))
	if err != nil {
		t.Fatal(err)
	}
	if err := ek.CheckSignatureFrom(host); err != nil {
		t.Error(err)
	}
	r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(tpm2.ECCEKTemplate)}.Execute(g)
	if err != nil {
		t.Fatal(err)
	}
	defer tpm2.FlushContext{FlushHandle: r.ObjectHandle}.Execute(g)
	_, key, err := cert.ParsePublic(r.OutPublic.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	info, err := cert.PublicKeyInfo(key)
	if err != nil || !bytes.Equal(info, ek.RawSubjectPublicKeyInfo) {
		t.Errorf("the certificate is of another key: %v", err)
	}
	return ek
}

// TestCertificates: a vTPM has certificates as soon as its host has an identity, the same
// ones at each start until there is a reason for others.
func TestCertificates(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	g, stop := s.guest(s.victim.uuid, s.victim.disk)
	if readNV(t, g, vtpm.EKCertP256) != nil {
		t.Error("a certificate, and the host has no identity")
	}
	stop()
	s.admin(testAdmin, func(c *proto.Client) error { _, err := c.IdentityRequest([32]byte{7}, 1); return err })

	g, stop = s.guest(s.victim.uuid, s.victim.disk)
	first := chainOf(t, g)
	for _, h := range []tcg.TPMHandle{vtpm.EKCertRSA2048, vtpm.EKCertP384} {
		if _, err := x509.ParseCertificate(readNV(t, g, h)); err != nil {
			t.Errorf("%#x: %v", uint32(h), err)
		}
	}
	if c, err := cert.VTPMClaimsOf(first); err != nil || c.UUID != s.victim.uuid || c.Epoch != 0 {
		t.Errorf("%+v, %v", c, err)
	}
	checkModel(t, g, first)
	stop()

	g, stop = s.guest(s.victim.uuid, s.victim.disk)
	if again := chainOf(t, g); !bytes.Equal(again.Raw, first.Raw) {
		t.Error("another certificate, without a reason")
	}
	// The guest replaces its endorsement seed.
	changeEPS := []byte{0x80, 2, 0, 0, 0, 27, 0, 0, 0x01, 0x24, 0x40, 0, 0, 0x0C, 0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0}
	if b, err := g.Send(changeEPS); err != nil || !bytes.Equal(b[6:10], make([]byte, 4)) {
		t.Fatalf("TPM2_ChangeEPS: %x, %v", b, err)
	}
	stop()
	g, stop = s.guest(s.victim.uuid, s.victim.disk)
	second := chainOf(t, g)
	if bytes.Equal(second.Raw, first.Raw) {
		t.Error("the certificate of a seed that is gone")
	}
	stop()

	// What the certificate claims changes.
	s.admin(testAdmin, func(c *proto.Client) error {
		return c.Amend(&proto.Enrollment{UUID: s.victim.uuid, Image: [32]byte{9}})
	})
	s.admin(testAdmin, func(c *proto.Client) error { return c.Measured(uint16(s.next), [32]byte{9}) })
	g, stop = s.guest(s.victim.uuid, s.victim.disk)
	defer stop()
	if c, err := cert.VTPMClaimsOf(chainOf(t, g)); err != nil || c.Image != [32]byte{9} {
		t.Errorf("after an amendment: %+v, %v", c, err)
	}
}

// checkModel holds the subjectAltName against the TPM's properties.
func checkModel(t testing.TB, g transport.TPM, c *x509.Certificate) {
	t.Helper()
	var name []byte
	for pt := tpm2.TPMPTVendorString1; pt <= tpm2.TPMPTVendorString4; pt++ {
		name = binary.BigEndian.AppendUint32(name, property(t, g, pt))
	}
	want := []string{fmt.Sprintf("id:%08X", property(t, g, tpm2.TPMPTManufacturer)), strings.TrimRight(string(name), "\x00"),
		fmt.Sprintf("id:%08X", property(t, g, tpm2.TPMPTFirmwareVersion1))}
	for _, e := range c.Extensions {
		if !e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			continue
		}
		for _, w := range want {
			if !bytes.Contains(e.Value, append([]byte{asn1.TagUTF8String, byte(len(w))}, w...)) {
				t.Errorf("the subjectAltName has no %q", w)
			}
		}
		return
	}
	t.Error("no subjectAltName")
}
