package vtpmmgr

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/vtpmmgr/cert"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// certifiedFor is for how long a certificate of a vTPM is valid, unless the host's ends
// before. renewBefore is the time before its end in which it is renewed.
const (
	certifiedFor = 180 * 24 * time.Hour
	renewBefore  = 60 * 24 * time.Hour
)

// model names the TPM as its properties do: TPM_PT_MANUFACTURER, the vendor strings,
// TPM_PT_FIRMWARE_VERSION_1. Package service tests that they are these.
func model() cert.Model {
	return cert.Model{Manufacturer: "id:53545542", Name: "stubtpm vTPM 2.0", Version: "id:00000001"}
}

// admitted returns the record of a vTPM that has loaded, and its group, if it may go on.
// m.mu is held.
func (s *Session) admitted() (record, *group, proto.Code) {
	m := s.m
	r, known := m.records[s.peer.UUID]
	g := m.groups[r.group]
	switch {
	case !known:
		return r, nil, proto.NotEnrolled
	case r.suspended:
		return r, nil, proto.Suspended
	case r.away != 0:
		return r, nil, proto.Moving
	case !s.loaded || m.connected[s.peer.UUID] != s || s.enrollment != r.salt || r.state.Sequence == 0:
		return r, nil, proto.NotConnected
	case g == nil:
		return r, nil, proto.NoGroup
	}
	return r, g, proto.OK
}

// An issuance is one request to certify.
type issuance struct {
	host   *hostIdentity
	claims cert.VTPMClaims
	terms  cert.Terms
	parent *x509.Certificate // the host's

	before *certified
	next   certified // what is to be kept in its place
}

// begin admits a request to certify n keys.
func (s *Session) begin(n int) (*issuance, proto.Code) {
	m, now := s.m, time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	r, g, code := s.admitted()
	if code != proto.OK {
		return nil, code
	}
	if m.identity == nil || m.unusable != nil {
		return nil, proto.NoIdentity
	}
	i := &issuance{host: m.identity, claims: m.claimsOf(&r, g), before: m.certified[r.uuid]}
	i.next = certified{uuid: r.uuid, serials: newSerials()}
	if i.before != nil {
		i.next = *i.before
	}
	share := m.sharesOf(r.uuid)
	if int(i.next.serials.count)+n > maxSerials || !share.tpm.take(tpmRate, 0, now) || !share.certificates.take(certifyRate, 1, now) {
		return nil, proto.Rate
	}
	var err error
	if i.parent, err = x509.ParseCertificate(i.host.certificate); err != nil {
		return nil, m.notIssued(err)
	}
	if now.Before(i.parent.NotBefore) || now.After(i.parent.NotAfter) {
		return nil, proto.NoIdentity // or the clock is wrong: STATUS says it
	}
	i.terms = cert.Terms{NotBefore: now.Add(-time.Hour), NotAfter: endOf(i.parent, now), CRL: m.cfg.CRL}
	return i, proto.OK
}

// notIssued returns the status for why a certificate was not made.
func (m *Manager) notIssued(err error) proto.Code {
	m.cfg.Log("vtpmmgr: certify: %v", err)
	if errors.Is(err, cert.ErrRefused) {
		return proto.BadCertificate
	}
	return proto.Failed
}

// certify certifies the endorsement keys of the vTPM, which its domain derived from its
// seed.
func (s *Session) certify(eks [][]byte) (proto.Code, []byte) {
	hashes, code := s.newKeys(eks)
	if code != proto.OK {
		return code, nil
	}
	i, code := s.begin(len(eks))
	if code != proto.OK {
		return code, nil
	}
	var err error
	if i.next.basis, err = i.host.basis(&i.claims); err != nil {
		return s.m.notIssued(err), nil
	}
	var ders [][]byte
	for _, ek := range eks {
		der, err := s.sign(i, func(by *cert.Issuer) ([]byte, error) { return by.EK(ek, &i.claims, model(), i.terms) })
		if err != nil {
			return s.m.notIssued(err), nil
		}
		ders = append(ders, der)
	}
	i.next.keys, i.next.begins, i.next.ends = hashes, uint32(i.terms.NotBefore.Unix()), uint32(i.terms.NotAfter.Unix())
	body, err := proto.AppendCertificates(nil, ders)
	if err != nil {
		return s.m.notIssued(err), nil
	}
	if code := s.keep(i, fmt.Sprintf("%d keys until %s", len(eks), date(i.next.ends))); code != proto.OK {
		return code, nil
	}
	return proto.OK, body
}

// newKeys returns the hashes of endorsement keys, none of which is there twice, or is
// another vTPM's.
func (s *Session) newKeys(eks [][]byte) (hashes [][32]byte, code proto.Code) {
	m := s.m
	for _, ek := range eks {
		_, key, err := cert.ParsePublic(ek)
		if err != nil {
			return nil, m.notIssued(err)
		}
		hash, err := cert.KeyHash(key)
		if err != nil {
			return nil, m.notIssued(err)
		}
		if slices.Contains(hashes, hash) {
			return nil, proto.BadCertificate
		}
		hashes = append(hashes, hash)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for u, c := range m.certified {
		if u != s.peer.UUID && slices.ContainsFunc(hashes, c.has) {
			m.cfg.Log("vtpmmgr: certify: %v asks for a key of another vTPM", s.peer.UUID)
			return nil, proto.BadCertificate
		}
	}
	return hashes, proto.OK
}

// certifyAK certifies an attestation key of the vTPM, which its domain found to be its own.
func (s *Session) certifyAK(key []byte) (proto.Code, []byte) {
	i, code := s.begin(1)
	if code == proto.OK && i.before == nil {
		code = proto.NoIdentity
	}
	if code != proto.OK {
		return code, nil
	}
	der, err := s.sign(i, func(by *cert.Issuer) ([]byte, error) { return by.AK(key, &i.claims, i.terms) })
	if err != nil {
		return s.m.notIssued(err), nil
	}
	return s.keep(i, "attestation key until "+date(i.next.serials.until)), der
}

// claimsOf is what the certificates of a vTPM claim. All of it is from the ledger. m.mu is
// held.
func (m *Manager) claimsOf(r *record, g *group) cert.VTPMClaims {
	profile := "default"
	if r.profile != "" {
		profile = fmt.Sprintf("%x", sha256.Sum256([]byte(r.profile)))
	}
	return cert.VTPMClaims{Migratable: g.migratable(), UUID: r.uuid, Manager: m.id, Group: r.group,
		LedgerEpoch: m.store.Epoch(), Epoch: r.epoch, Image: r.image, Profile: profile}
}

// migratable reports whether the vTPMs of a group can live on another host: whoever has
// the group's escrow key can restore them there.
func (g *group) migratable() bool { return len(g.Escrow) != 0 }

// sign has the host's certification key sign one certificate, with the next serial number.
// The hardware TPM is lent for one only, so that commits of others come in between, and its
// time is the vTPM's. That a key is not to be certified is no failure of the hardware TPM.
func (s *Session) sign(i *issuance, issue func(*cert.Issuer) ([]byte, error)) (der []byte, err error) {
	m := s.m
	var refused error
	var took time.Duration
	number := i.next.serials.number(i.next.serials.count)
	i.terms.Serial = number[:]
	err = m.tpm.Lend("certificate", func(bus transport.TPM) error {
		start := time.Now()
		defer func() { took += time.Since(start) }()
		signer, err := m.host(i.host, bus).Signer()
		if err != nil {
			return err
		}
		der, err = issue(&cert.Issuer{Certificate: i.parent, Key: signer})
		if refused = nil; errors.Is(err, cert.ErrRefused) {
			refused, err = err, nil
		}
		return err
	})
	m.mu.Lock()
	m.sharesOf(s.peer.UUID).tpm.used += took.Seconds()
	m.mu.Unlock()
	if err = errors.Join(err, refused); err != nil {
		return nil, err
	}
	i.next.serials.count++
	i.next.serials.until = max(i.next.serials.until, uint32(i.terms.NotAfter.Unix()))
	return der, nil
}

// endOf returns the end of a certificate that is made now below the host's.
func endOf(parent *x509.Certificate, now time.Time) time.Time {
	if end := now.Add(certifiedFor); end.Before(parent.NotAfter) {
		return end
	}
	return parent.NotAfter
}

// basis is the hash of what certificates with these claims rest on.
func (h *hostIdentity) basis(claims *cert.VTPMClaims) (sum [32]byte, err error) {
	b, err := claims.Marshal()
	for _, c := range append([][]byte{h.certificate}, h.chain...) {
		b = append(b, c...)
	}
	return sha256.Sum256(b), err
}

// isCurrent reports whether certificates rest on what is so now. m.mu is held.
func (m *Manager) isCurrent(c *certified, r *record, g *group) bool {
	claims := m.claimsOf(r, g)
	basis, err := m.identity.basis(&claims)
	return err == nil && basis == c.basis
}

// certified returns whether the vTPM's certificates are what it would get now.
func (s *Session) certified() (proto.Code, []byte) {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	r, g, code := s.admitted()
	c := m.certified[r.uuid]
	switch {
	case code != proto.OK:
		return code, nil
	case m.identity == nil || m.unusable != nil:
		return proto.NoIdentity, nil
	case c == nil || !m.isCurrent(c, &r, g):
		return proto.OK, []byte{0}
	}
	parent, err := x509.ParseCertificate(m.identity.certificate)
	if err != nil {
		return s.failed(nil, err)
	}
	now, until := time.Now(), time.Unix(int64(c.ends), 0)
	// A host whose own certificate ends soon cannot make others that end later.
	if now.Unix() < int64(c.begins) || until.Sub(now) < renewBefore && endOf(parent, now).Sub(until) > renewBefore/2 {
		return proto.OK, []byte{0}
	}
	return proto.OK, []byte{1}
}

// chain returns the certificates of the host and its issuers, from an offset on.
func (s *Session) chain(offset uint32) (proto.Code, []byte) {
	m := s.m
	m.mu.Lock()
	_, _, code := s.admitted()
	h := m.identity
	m.mu.Unlock()
	switch {
	case code != proto.OK:
		return code, nil
	case h == nil:
		return proto.NoIdentity, nil
	}
	return piece(proto.EncodeList(append([][]byte{h.certificate}, h.chain...)), offset)
}

// piece returns the size of b, and what fits into a message of b from an offset on.
func piece(b []byte, offset uint32) (proto.Code, []byte) {
	if int64(offset) > int64(len(b)) {
		return proto.BadMessage, nil
	}
	return proto.OK, proto.EncodePiece(b, offset)
}

// keep makes durable what was certified, before anybody is given it: what is not in the
// ledger could not be revoked. It is refused if the vTPM is not any more what the claims
// say.
func (s *Session) keep(i *issuance, detail string) proto.Code {
	m := s.m
	m.orders.Lock() // an entry of the audit log is written
	defer m.orders.Unlock()
	defer m.turns.take(s.peer.UUID, false)()
	m.mu.Lock()
	r, g, code := s.admitted()
	if code == proto.OK && (m.claimsOf(&r, g) != i.claims || m.certified[r.uuid] != i.before || m.identity != i.host) {
		code = proto.NotConnected
	}
	m.mu.Unlock()
	if code != proto.OK {
		return code
	}
	o := &order{m: m, uuid: r.uuid, group: g, guest: true}
	if i.before == nil && !o.roomFor(2+2) { // and a page of revocations, should it be needed
		return proto.Full
	}
	entry, done := o.logged(r.uuid, "certify", detail, nil)
	class := ledger.Class{Source: vtpmItem(r.uuid), Tenant: g.tenant(), Urgency: ledger.Urgent}
	if code := m.commit(class, append(entry, i.next.changes()...)...); code != proto.OK {
		return code
	}
	done()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.certified[r.uuid] = &i.next
	return proto.OK
}
