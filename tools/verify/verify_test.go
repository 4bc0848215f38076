package verify

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpmmgr/cert"
	"stubtpm/vtpmmgr/evidence"
)

// strict is a policy that asks all that can be asked, and that the world meets.
func (w *world) strict() *Policy {
	hexa := func(b []byte) string { return hex.EncodeToString(b) }
	zero, one := uint32(0), uint32(1)
	image, manager, program := [32]byte{0x1A}, [32]byte{0xEE}, [32]byte{0x5B}
	kernel := sha256.Sum256([]byte("kernel"))
	hw, guest := w.a.quote(w.a.ak, evidence.Hash{}), w.va.quote(w.va.ak, evidence.Hash{})
	p := &Policy{
		RequireCRLs: true, Managers: []string{hexa(w.a.claims.Manager[:]), hexa(w.b.claims.Manager[:])}, ManagerImages: []string{hexa(manager[:])},
		ManagerMinVersion: 3, UUIDs: []string{hexa(w.va.claims.UUID[:])}, Groups: []uint32{7}, Images: []string{hexa(image[:])},
		MeasuredBy: []string{"host", "administrator"}, MinVersion: 2, MaxLedgerEpoch: &one, MaxEpoch: &zero, Guards: []string{"strict"},
		RequireXSM: true, RequireStart: true, MaxAge: "1m",
		RequireMeasuredStart: true, StartImages: []string{hexa(program[:])}, StartReportedBy: []string{"host"}, StartMeasurers: []string{"a host 1"},
		HardwarePCRs:    map[string][]string{"sha256:0": {hexa(hw.PCRs[0].Digest)}},
		GuestPCRs:       map[string][]string{"sha256:4": {hexa(guest.PCRs[1].Digest)}},
		RequireGuestLog: true, GuestEvents: map[string][]string{"4": {hexa(kernel[:])}},
	}
	b, err := json.Marshal(p)
	if err != nil {
		w.t.Fatal(err)
	}
	if p, err = ParsePolicy(b); err != nil {
		w.t.Fatal(err)
	}
	p.roots = append(p.roots, w.site.Certificate)
	return p
}

func (w *world) question() Question { return Question{Nonce: w.nonce, Now: now} }

func TestVerify(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := making{w: w, of: w.va}.make()
	e.CRLs = w.crls(nil, nil, days(2))
	r, err := Verify(marshal(t, e), w.question(), w.strict())
	if err != nil {
		t.Fatal(err)
	}
	if r.UUID != hex.EncodeToString(w.va.claims.UUID[:]) || r.Site != "CN=Example site" || r.GuestEvents != 1 || len(r.GuestPCRs) != 3 || len(r.NotCovered) != 0 {
		t.Errorf("%+v", r)
	}
}

// A tampering changes one thing of a case that the strict policy accepts.
type tampering struct {
	name  string
	want  Reason
	steps making                           // of the making
	e     func(*world, *evidence.Evidence) // of the evidence
	p     func(*world, *Policy)            // of the policy
	q     func(*Question)                  // of the question
}

// flip changes a byte of b.
func flip(b []byte, i int) []byte {
	c := bytes.Clone(b)
	c[(i+len(c))%len(c)] ^= 1
	return c
}

// stranger returns the root of another site.
func (w *world) stranger() *x509.Certificate {
	der, err := cert.Site(newKey(w.t), "Example site", days(365))
	return parsed(w.t, der, err)
}

// plainEK returns a certificate of the vTPM's key that says nothing of vTPMs.
func (w *world) plainEK() []byte {
	old := parsed(w.t, w.va.cert, nil)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), Subject: old.Subject, NotBefore: old.NotBefore,
		NotAfter: old.NotAfter, KeyUsage: old.KeyUsage, UnknownExtKeyUsage: old.UnknownExtKeyUsage}, w.a.issuer.Certificate, old.PublicKey, w.a.issuer.Key)
	return parsed(w.t, der, err).Raw
}

func withoutCRLs(_ *world, p *Policy) { p.RequireCRLs = false }

// forgedHost returns a certificate for the key of machine a by machine b, which
// x509.CreateCertificate makes although its path length is 0.
func (w *world) forgedHost() []byte {
	der, err := w.b.issuer.Host(w.a.issuer.Key.Public(), &w.a.claims, days(90))
	return parsed(w.t, der, err).Raw
}

// unlimited returns a certificate of machine b by a CA that sets no path length.
func (w *world) unlimited() []byte {
	own := w.b.issuer.Certificate
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(2), Subject: own.Subject, NotBefore: own.NotBefore,
		NotAfter: own.NotAfter, KeyUsage: own.KeyUsage, IsCA: true, BasicConstraintsValid: true, MaxPathLen: -1, SubjectKeyId: own.SubjectKeyId,
		ExtraExtensions: []pkix.Extension{extensionOf(own)}}, w.site.Certificate, own.PublicKey, w.site.Key)
	return parsed(w.t, der, err).Raw
}

// extensionOf returns the extension with the claims of a host certificate.
func extensionOf(c *x509.Certificate) pkix.Extension {
	i := slices.IndexFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id[0] == 1 })
	return c.Extensions[i]
}

// requote changes a quote.
func requote(w *world, b *[]byte, change func(*evidence.Quote)) {
	q, err := evidence.ParseQuote(*b)
	if err != nil {
		w.t.Fatal(err)
	}
	change(q)
	*b = marshal(w.t, q)
}

func tamperings(w *world) []tampering {
	second := func() *evidence.Evidence { return making{w: w, of: w.va}.make() } // a second sound one, of another moment
	sibling := func() *evidence.Evidence { return making{w: w, of: w.vb}.make() }
	foreign := func() *evidence.Evidence { return making{w: w, of: w.other}.make() }
	weak := akTemplate(tpm2.TPMAlgSHA256)
	weak.ObjectAttributes.Restricted = false
	weak.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: tpm2.TPMECCNistP256})
	another := akTemplate(tpm2.TPMAlgSHA256)
	another.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{X: tpm2.TPM2BECCParameter{Buffer: []byte{1}}})
	weakGuest, otherGuest, weakChip := w.va.primary(weak), w.va.primary(another), w.a.primary(weak)
	state := func(name string, want Reason, change func(*evidence.Statement)) tampering {
		return tampering{name: name, want: want, steps: making{statement: change}}
	}
	policy := func(name string, want Reason, change func(*world, *Policy)) tampering {
		return tampering{name: name, want: want, p: change}
	}
	parts := func(name string, want Reason, change func(*world, *evidence.Evidence)) tampering {
		return tampering{name: name, want: want, e: change}
	}
	return []tampering{
		// Left out or not parsed.
		parts("no chain", Incomplete, func(w *world, e *evidence.Evidence) { e.Chain = nil }),
		parts("no EK certificate", Incomplete, func(w *world, e *evidence.Evidence) { e.EK = nil }),
		parts("no statement", Incomplete, func(w *world, e *evidence.Evidence) { e.Statement = nil }),
		parts("no proof", Incomplete, func(w *world, e *evidence.Evidence) { e.Proof = nil }),
		parts("no hardware quote", Incomplete, func(w *world, e *evidence.Evidence) { e.Hardware = nil }),
		parts("no guest quote", Incomplete, func(w *world, e *evidence.Evidence) { e.Guest = nil }),
		parts("chain is no certificate", Malformed, func(w *world, e *evidence.Evidence) { e.Chain = []byte("x") }),
		parts("statement is none", Malformed, func(w *world, e *evidence.Evidence) { e.Statement = flip(e.Statement, 0) }),
		parts("guest's key without a Name", Malformed, func(w *world, e *evidence.Evidence) {
			requote(w, &e.Guest, func(q *evidence.Quote) { q.Key = slices.Concat(q.Key[:2], []byte{0, 0x10}, q.Key[4:]) }) // nameAlg TPM_ALG_NULL
		}),
		parts("revocation list is none", Malformed, func(w *world, e *evidence.Evidence) { e.CRLs = []byte{0x30, 0} }),
		policy("only hardware will do", Virtual, func(w *world, p *Policy) { p.HardwareOnly = true }),

		// Certificates.
		parts("host certificate altered", Untrusted, func(w *world, e *evidence.Evidence) { e.Chain = flip(e.Chain, -1) }),
		policy("another site's root", Untrusted, func(w *world, p *Policy) { p.roots = append(p.roots[:0:0], w.stranger()) }),
		policy("no root", Untrusted, func(w *world, p *Policy) { p.roots = nil }),
		{name: "host expired", want: NotValidNow, q: func(q *Question) { q.Now = now.AddDate(0, 0, 91) }},
		{name: "not valid yet", want: NotValidNow, q: func(q *Question) { q.Now = now.AddDate(0, 0, -2) }},
		{name: "EK expired", want: NotValidNow, q: func(q *Question) { q.Now = now.AddDate(0, 0, 31) }, p: withoutCRLs},
		parts("host revoked", Revoked, func(w *world, e *evidence.Evidence) { e.CRLs = w.crls(w.a.issuer.Certificate, nil, days(2)) }),
		parts("EK revoked", Revoked, func(w *world, e *evidence.Evidence) { e.CRLs = w.crls(nil, parsed(w.t, w.va.cert, nil), days(2)) }),
		parts("EK revoked in an old list", Revoked, func(w *world, e *evidence.Evidence) {
			e.CRLs = append(w.crls(nil, nil, days(2)), w.crls(nil, parsed(w.t, w.va.cert, nil), cert.Terms{NotBefore: now.AddDate(0, 0, -9), NotAfter: now.AddDate(0, 0, -8)})...)
		}),
		parts("no revocation list", NoRevocation, func(w *world, e *evidence.Evidence) { e.CRLs = nil }),
		parts("revocation list too old", NoRevocation, func(w *world, e *evidence.Evidence) {
			e.CRLs = w.crls(nil, nil, cert.Terms{NotBefore: now.AddDate(0, 0, -9), NotAfter: now.AddDate(0, 0, -8)})
		}),
		policy("host without a site", NoSite, func(w *world, p *Policy) { p.roots = append(p.roots[:0:0], w.a.issuer.Certificate) }),
		parts("EK certificate in place of the host's", HostClaims, func(w *world, e *evidence.Evidence) { e.Chain = append(bytes.Clone(w.va.cert), e.Chain...) }),
		{name: "host certificate by another host", want: Untrusted, p: withoutCRLs, e: func(w *world, e *evidence.Evidence) {
			e.Chain = append(w.forgedHost(), w.b.issuer.Certificate.Raw...)
		}},
		{name: "host certificate by a host without limit", want: Untrusted, p: withoutCRLs, e: func(w *world, e *evidence.Evidence) {
			e.Chain = append(w.forgedHost(), w.unlimited()...)
		}},
		policy("manager not allowed", Manager, func(w *world, p *Policy) { p.Managers = p.Managers[1:] }),
		policy("manager's image not allowed", ManagerImage, func(w *world, p *Policy) { p.ManagerImages = []string{hex.EncodeToString(make([]byte, 32))} }),
		policy("manager too old", ManagerVersion, func(w *world, p *Policy) { p.ManagerMinVersion = 4 }),
		parts("EK certificate altered", EKCertificate, func(w *world, e *evidence.Evidence) { e.EK = flip(e.EK, -1) }),
		parts("EK certificate of another host", EKCertificate, func(w *world, e *evidence.Evidence) { e.EK = w.other.cert }),
		parts("host certificate of another host", EKCertificate, func(w *world, e *evidence.Evidence) { e.Chain = w.b.issuer.Certificate.Raw }),
		parts("AK certificate as EK certificate", EKCertificate, func(w *world, e *evidence.Evidence) {
			der, err := w.a.issuer.AK(w.va.ak.OutPublic.Bytes(), &w.va.claims, days(30))
			e.EK = parsed(w.t, der, err).Raw
		}),
		parts("EK certificate without claims", EKClaims, func(w *world, e *evidence.Evidence) { e.EK = w.plainEK() }),
		parts("EK certificate of another manager", EKManager, func(w *world, e *evidence.Evidence) {
			v := *w.va
			v.claims.Manager[0] = 0xC
			e.EK = v.certify(w.rehost(func(c *cert.HostClaims) { c.Manager[0] = 0xC }), v.ek, days(30))
		}),
		parts("EK certificate of another vTPM", OtherVTPM, func(w *world, e *evidence.Evidence) { e.EK = w.vb.cert }),
		parts("EK certificate of another epoch", OtherEpoch, func(w *world, e *evidence.Evidence) {
			v := *w.va
			v.claims.Epoch++
			e.EK = v.certify(w.a.issuer, v.ek, days(30))
		}),
		parts("EK certificate for another key", OtherEK, func(w *world, e *evidence.Evidence) { e.EK = w.va.certify(w.a.issuer, w.vb.ek, days(30)) }),

		// The hardware's quote.
		parts("proof of the wrong length", Proof, func(w *world, e *evidence.Evidence) { e.Proof = e.Proof[:len(e.Proof)-32] }),
		parts("proof altered", HardwareBinding, func(w *world, e *evidence.Evidence) { e.Proof = flip(e.Proof, -1) }),
		parts("another vTPM's statement", HardwareBinding, func(w *world, e *evidence.Evidence) { e.Statement = sibling().Statement }),
		parts("an earlier statement", HardwareBinding, func(w *world, e *evidence.Evidence) { e.Statement = second().Statement }),
		parts("statement altered", HardwareBinding, func(w *world, e *evidence.Evidence) { e.Statement = flip(e.Statement, 20) }),
		parts("an earlier hardware quote", HardwareBinding, func(w *world, e *evidence.Evidence) { e.Hardware = second().Hardware }),
		parts("another host's hardware quote", HardwareKey, func(w *world, e *evidence.Evidence) { e.Hardware = foreign().Hardware }),
		{name: "hardware quote by another key of the chip", want: HardwareKey, steps: making{chipKey: weakChip}},
		{name: "chip's key signs anything", want: HardwareAttribute, steps: making{chipKey: weakChip}, e: func(w *world, e *evidence.Evidence) {
			e.Chain = w.rehost(func(c *cert.HostClaims) { c.AK = weakChip.Name.Buffer }).Certificate.Raw
		}},
		parts("hardware attestation is no quote", HardwareAttest, func(w *world, e *evidence.Evidence) {
			requote(w, &e.Hardware, func(q *evidence.Quote) { q.Attest, q.Signature = w.a.attestNoQuote() })
		}),
		{name: "hardware quote over something else", want: HardwareBinding, steps: making{hardware: func(h *evidence.Hash) { h[0] ^= 1 }}},
		parts("hardware signature altered", HardwareSignature, func(w *world, e *evidence.Evidence) {
			requote(w, &e.Hardware, func(q *evidence.Quote) { q.Signature = flip(q.Signature, -1) })
		}),
		parts("hardware attestation altered", HardwareSignature, func(w *world, e *evidence.Evidence) {
			requote(w, &e.Hardware, func(q *evidence.Quote) { q.Attest = flip(q.Attest, -1) })
		}),
		parts("hardware PCR value altered", HardwareValues, func(w *world, e *evidence.Evidence) {
			requote(w, &e.Hardware, func(q *evidence.Quote) { q.PCRs[0].Digest = flip(q.PCRs[0].Digest, 0) })
		}),
		parts("hardware PCR left out", HardwareValues, func(w *world, e *evidence.Evidence) {
			requote(w, &e.Hardware, func(q *evidence.Quote) { q.PCRs = q.PCRs[1:] })
		}),
		parts("hardware PCR added", HardwareValues, func(w *world, e *evidence.Evidence) {
			requote(w, &e.Hardware, func(q *evidence.Quote) { q.PCRs = append(q.PCRs, q.PCRs[0]) })
		}),
		policy("host's PCR not allowed", HardwarePCRs, func(w *world, p *Policy) {
			p.HardwarePCRs = map[string][]string{"sha256:0": {hex.EncodeToString(make([]byte, 32))}}
		}),
		policy("host's PCR not quoted", HardwarePCRs, func(w *world, p *Policy) {
			p.HardwarePCRs = map[string][]string{"sha256:1": {hex.EncodeToString(make([]byte, 32))}}
		}),
		policy("no hardware log", HardwareLog, func(w *world, p *Policy) { p.RequireHardwareLog = true }),

		// The statement.
		{name: "another nonce", want: Nonce, q: func(q *Question) { q.Nonce = flip(q.Nonce, 0) }},
		state("manager of the statement", OtherManager, func(s *evidence.Statement) { s.Manager[15]++ }),
		state("group of the statement", OtherVTPM, func(s *evidence.Statement) { s.Group++ }),
		state("restored since the certificate", OtherEpoch, func(s *evidence.Statement) { s.Epoch++ }),
		state("ledger restored since the certificate", OtherEpoch, func(s *evidence.Statement) { s.LedgerEpoch++ }),
		state("EK not listed", OtherEK, func(s *evidence.Statement) { s.EKs = s.EKs[:1] }),
		state("too old", Stale, func(s *evidence.Statement) { s.Time -= 100 }),
		state("of the future", Stale, func(s *evidence.Statement) { s.Time += 100 }),
		state("end of time", Stale, func(s *evidence.Statement) { s.Time = 1<<64 - 1 }),
		state("manager replaced since it was admitted", ManagerImage, func(s *evidence.Statement) { s.ManagerImage[0]++ }),
		state("manager taken back", ManagerVersion, func(s *evidence.Statement) { s.ManagerSecurityVersion-- }),
		policy("vTPM not allowed", UUID, func(w *world, p *Policy) { p.UUIDs = []string{hex.EncodeToString(w.vb.claims.UUID[:])} }),
		policy("group not allowed", Group, func(w *world, p *Policy) { p.Groups = []uint32{8} }),
		state("not measured", Unmeasured, func(s *evidence.Statement) { s.Measurer, s.Image = evidence.Unmeasured, [32]byte{} }),
		state("image not allowed", Image, func(s *evidence.Statement) { s.Image[5]++ }),
		{name: "image not that of the certificate", want: Image, steps: making{statement: func(s *evidence.Statement) { s.Image[5]++ }},
			p: func(w *world, p *Policy) { p.Images = nil }},
		state("security version taken back", Version, func(s *evidence.Statement) { s.SecurityVersion-- }),
		policy("ledger restored", Restored, func(w *world, p *Policy) { p.MaxLedgerEpoch = new(uint32) }),
		state("migratable", Migratable, func(s *evidence.Statement) { s.Flags |= evidence.Migratable }),
		state("guard", Guard, func(s *evidence.Statement) { s.Guard, s.Parameter = evidence.Bounded, 5e9 }),
		state("no XSM", XSM, func(s *evidence.Statement) { s.Flags &^= evidence.XSMEnforcing }),
		state("not the PCRs of a start", NotStart, func(s *evidence.Statement) { s.Flags &^= evidence.StartMeasured; s.Start = evidence.Start{} }),
		state("start not measured", StartUnmeasured, func(s *evidence.Statement) { s.Start = evidence.Start{} }),
		state("start reported by another key", StartUnmeasured, func(s *evidence.Statement) { s.Start.Reporter = evidence.Administrator }),
		state("start measured by another program", StartUnmeasured, func(s *evidence.Statement) { s.Start.Measurer = "a host 2" }),
		state("another kernel started", StartImage, func(s *evidence.Statement) { s.Start.Program[31]++ }),
		{name: "each demand about the start stands alone: any", want: StartUnmeasured, steps: making{statement: func(s *evidence.Statement) { s.Start = evidence.Start{} }},
			p: func(w *world, p *Policy) { p.StartImages, p.StartReportedBy, p.StartMeasurers = nil, nil, nil }},
		{name: "each demand about the start stands alone: image", want: StartUnmeasured, steps: making{statement: func(s *evidence.Statement) { s.Start = evidence.Start{} }},
			p: func(w *world, p *Policy) {
				p.RequireMeasuredStart, p.StartReportedBy, p.StartMeasurers = false, nil, nil
			}},
		{name: "each demand about the start stands alone: key", want: StartUnmeasured, steps: making{statement: func(s *evidence.Statement) { s.Start = evidence.Start{} }},
			p: func(w *world, p *Policy) { p.RequireMeasuredStart, p.StartImages, p.StartMeasurers = false, nil, nil }},
		{name: "each demand about the start stands alone: measurer", want: StartUnmeasured, steps: making{statement: func(s *evidence.Statement) { s.Start = evidence.Start{} }},
			p: func(w *world, p *Policy) { p.RequireMeasuredStart, p.StartImages, p.StartReportedBy = false, nil, nil }},

		// The guest's quote.
		parts("an earlier guest quote", GuestBinding, func(w *world, e *evidence.Evidence) { e.Guest = second().Guest }),
		parts("another vTPM's guest quote", GuestKey, func(w *world, e *evidence.Evidence) { e.Guest = sibling().Guest }),
		parts("relay to a vTPM of another host", GuestKey, func(w *world, e *evidence.Evidence) {
			hw, err := evidence.ParseQuote(e.Hardware)
			if err != nil {
				w.t.Fatal(err)
			}
			e.Guest = marshal(w.t, w.other.quote(w.other.ak, evidence.GuestNonce(e.Statement, hw.Attest)))
		}),
		{name: "guest quote by another key of the vTPM", want: GuestKey, steps: making{guestKey: otherGuest}},
		{name: "guest's key signs anything", want: GuestAttribute, steps: making{guestKey: weakGuest,
			statement: func(s *evidence.Statement) { s.AK = weakGuest.Name.Buffer }}},
		{name: "guest quote over the bare nonce", want: GuestBinding, steps: making{guest: func(h *evidence.Hash) { *h = evidence.Hash(w.nonce) }}},
		parts("guest signature altered", GuestSignature, func(w *world, e *evidence.Evidence) {
			requote(w, &e.Guest, func(q *evidence.Quote) { q.Signature = flip(q.Signature, -1) })
		}),
		parts("guest attestation is no quote", GuestAttest, func(w *world, e *evidence.Evidence) {
			requote(w, &e.Guest, func(q *evidence.Quote) { q.Attest, q.Signature = w.va.attestNoQuote() })
		}),
		parts("guest PCR value altered", GuestValues, func(w *world, e *evidence.Evidence) {
			requote(w, &e.Guest, func(q *evidence.Quote) { q.PCRs[1].Digest = flip(q.PCRs[1].Digest, 0) })
		}),
		policy("guest's PCR not allowed", GuestPCRs, func(w *world, p *Policy) {
			p.GuestPCRs = map[string][]string{"sha256:7": {hex.EncodeToString(bytes.Repeat([]byte{1}, 32))}}
		}),
		parts("no guest log", GuestLog, func(w *world, e *evidence.Evidence) { e.GuestLog = nil }),
		parts("guest log does not replay", GuestLog, func(w *world, e *evidence.Evidence) { e.GuestLog = flip(e.GuestLog, -len("kernel")-5) }),
		parts("event left out of the guest log", GuestLog, func(w *world, e *evidence.Evidence) { e.GuestLog = specID() }),
		parts("guest log is none", GuestLog, func(w *world, e *evidence.Evidence) { e.GuestLog = []byte("log") }),
		policy("events of a PCR that was not quoted", GuestEvents, func(w *world, p *Policy) { p.GuestEvents = map[string][]string{"5": nil} }),
		policy("event not allowed", GuestEvents, func(w *world, p *Policy) {
			p.GuestEvents = map[string][]string{"4": {hex.EncodeToString(make([]byte, 32))}}
		}),
	}
}

// TestTamperings: each is refused for its own reason, at which an accepted case
// differs from it in one thing.
func TestTamperings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seen := map[Reason]bool{}
	all := tamperings(w)
	for _, c := range all {
		m := c.steps
		m.w, m.of = w, w.va
		e := m.make()
		e.CRLs = w.crls(nil, nil, days(2))
		p, q := w.strict(), w.question()
		if c.e != nil {
			c.e(w, e)
		}
		if c.p != nil {
			c.p(w, p)
		}
		if c.q != nil {
			c.q(&q)
		}
		r, err := Verify(marshal(t, e), q, p)
		var refusal *Refusal
		if r != nil || !errors.As(err, &refusal) || refusal.Reason != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
		seen[c.want] = true
	}
	t.Logf("%d tamperings, %d reasons", len(all), len(seen))
	for r := Malformed; r <= GuestEvents; r++ {
		if !seen[r] {
			t.Errorf("no tampering is refused as %s", r)
		}
	}
}

// TestReasonsDocumented: docs/verifier.md has each reason with its number.
func TestReasonsDocumented(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/verifier.md")
	if err != nil {
		t.Fatal(err)
	}
	for r := Malformed; r <= EKKey; r++ {
		if !strings.Contains(string(doc), fmt.Sprintf("\n| %d | %s | ", int(r), r)) {
			t.Errorf("docs/verifier.md lacks %d, %s", int(r), r)
		}
	}
}

func ExampleReason() {
	fmt.Println(int(Nonce), Nonce)
	// Output: 34 nonce
}
