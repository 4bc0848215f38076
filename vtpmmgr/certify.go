package vtpmmgr

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/vtpmmgr/cert"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// certifiedFor is for how long a certificate of a vTPM is valid, unless the host's ends
// before. renewBefore is the time before its end in which it is renewed.
const (
	certifiedFor = 365 * 24 * time.Hour
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
	case !s.loaded || m.connected[s.peer.UUID] != s || s.enrollment != r.salt || r.state.Sequence == 0:
		return r, nil, proto.NotConnected
	case g == nil:
		return r, nil, proto.NoGroup
	}
	return r, g, proto.OK
}

// certify certifies the endorsement keys of the vTPM, which its domain derived from its
// seed.
func (s *Session) certify(eks [][]byte) (proto.Code, []byte) {
	m := s.m
	if len(eks) > maxCertified {
		return proto.BadMessage, nil
	}
	m.mu.Lock()
	r, g, code := s.admitted()
	h := m.identity
	switch {
	case code != proto.OK:
	case h == nil:
		code = proto.NoIdentity
	case !m.sharesOf(r.uuid).certificates.take(certifyRate, 1, time.Now()):
		code = proto.Rate
	}
	claims := m.claimsOf(&r, g)
	m.mu.Unlock()
	if code != proto.OK {
		return code, nil
	}
	c, ders, err := m.issue(h, &claims, eks)
	if err != nil {
		return m.notIssued(err), nil
	}
	body, err := proto.AppendCertified(nil, ders, append([][]byte{h.certificate}, h.chain...))
	if err != nil {
		m.cfg.Log("vtpmmgr: certify: %v", err)
		return proto.Failed, nil
	}
	code = s.keep(&claims, fmt.Sprintf("%d keys until %s", len(c.keys), c.serials[0].date()), func(before *certified, now time.Time) *certified {
		c.older = before.all(now)
		return c
	})
	if code != proto.OK {
		return code, nil
	}
	return proto.OK, body
}

// notIssued returns the status for why a certificate was not made.
func (m *Manager) notIssued(err error) proto.Code {
	m.cfg.Log("vtpmmgr: certify: %v", err)
	if errors.Is(err, cert.ErrRefused) {
		return proto.BadCertificate
	}
	return proto.Failed
}

// certifyAK certifies an attestation key of the vTPM, which its domain found to be its own.
func (s *Session) certifyAK(key []byte) (proto.Code, []byte) {
	m := s.m
	m.mu.Lock()
	r, g, code := s.admitted()
	h := m.identity
	switch {
	case code != proto.OK:
	case h == nil, m.certified[r.uuid] == nil:
		code = proto.NoIdentity
	case !m.sharesOf(r.uuid).certificates.take(certifyRate, 1, time.Now()):
		code = proto.Rate
	}
	claims := m.claimsOf(&r, g)
	m.mu.Unlock()
	if code != proto.OK {
		return code, nil
	}
	parent, terms, err := m.terms(h)
	if err != nil {
		return m.notIssued(err), nil
	}
	der, made, err := m.sign(h, parent, func(i *cert.Issuer) ([]byte, error) { return i.AK(key, &claims, terms) })
	if err != nil {
		return m.notIssued(err), nil
	}
	code = s.keep(&claims, "attestation key until "+made.date(), func(before *certified, now time.Time) *certified {
		if before == nil {
			return nil // they were revoked meanwhile
		}
		c := *before
		c.older = append([]serial{made}, c.older...)
		return &c
	})
	return code, der
}

// claimsOf is what the certificates of a vTPM claim. All of it is from the ledger. m.mu is
// held; g is nil if the vTPM is not admitted.
func (m *Manager) claimsOf(r *record, g *group) cert.VTPMClaims {
	if g == nil {
		return cert.VTPMClaims{}
	}
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

// issue makes the certificates of endorsement keys.
func (m *Manager) issue(h *hostIdentity, claims *cert.VTPMClaims, eks [][]byte) (c *certified, ders [][]byte, err error) {
	parent, terms, err := m.terms(h)
	if err != nil {
		return nil, nil, err
	}
	c = &certified{uuid: claims.UUID}
	if c.basis, err = h.basis(claims); err != nil {
		return nil, nil, err
	}
	for _, ek := range eks {
		der, made, err := m.sign(h, parent, func(i *cert.Issuer) ([]byte, error) { return i.EK(ek, claims, model(), terms) })
		if err != nil {
			return nil, nil, err
		}
		_, key, err := cert.ParsePublic(ek)
		if err != nil {
			return nil, nil, err
		}
		hash, err := cert.KeyHash(key)
		if err != nil {
			return nil, nil, err
		}
		c.keys, c.serials, ders = append(c.keys, hash), append(c.serials, made), append(ders, der)
	}
	return c, ders, nil
}

// terms returns the host's certificate, and for how long one below it is valid.
func (m *Manager) terms(h *hostIdentity) (parent *x509.Certificate, t cert.Terms, err error) {
	if parent, err = x509.ParseCertificate(h.certificate); err != nil {
		return nil, t, err
	}
	now := time.Now()
	return parent, cert.Terms{NotBefore: now.Add(-time.Hour), NotAfter: endOf(parent, now), CRL: m.cfg.CRL}, nil
}

// sign has the host's certification key sign one certificate. The hardware TPM is lent
// for one only, so that commits of others come in between. That a key is not to be
// certified is no failure of the hardware TPM.
func (m *Manager) sign(h *hostIdentity, parent *x509.Certificate, issue func(*cert.Issuer) ([]byte, error)) (der []byte, made serial, err error) {
	var refused error
	err = m.tpm.Lend("certificate", func(bus transport.TPM) error {
		signer, err := m.host(h, bus).Signer()
		if err != nil {
			return err
		}
		der, err = issue(&cert.Issuer{Certificate: parent, Key: signer})
		if refused = nil; errors.Is(err, cert.ErrRefused) {
			refused, err = err, nil
		}
		return err
	})
	if err = errors.Join(err, refused); err != nil {
		return nil, made, err
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, made, err
	}
	made.until = uint32(c.NotAfter.Unix())
	c.SerialNumber.FillBytes(made.number[:])
	return der, made, nil
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

// certified returns whether the vTPM's certificates are what it would get now.
func (s *Session) certified() (proto.Code, []byte) {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	r, g, code := s.admitted()
	h, c := m.identity, m.certified[r.uuid]
	switch {
	case code != proto.OK:
		return code, nil
	case h == nil:
		return proto.NoIdentity, nil
	case c == nil || len(c.serials) == 0:
		return proto.OK, []byte{0}
	}
	claims := m.claimsOf(&r, g)
	basis, err := h.basis(&claims)
	if err != nil {
		return s.failed(nil, err)
	}
	parent, err := x509.ParseCertificate(h.certificate)
	if err != nil {
		return s.failed(nil, err)
	}
	now, until := time.Now(), time.Unix(int64(c.serials[0].until), 0)
	// A host whose own certificate ends soon cannot make others that end later.
	if basis != c.basis || until.Sub(now) < renewBefore && endOf(parent, now).Sub(until) > renewBefore/2 {
		return proto.OK, []byte{0}
	}
	return proto.OK, []byte{1}
}

// keep makes durable what was certified, before anybody is given it: what is not in the
// ledger could not be revoked. add returns what is to be kept in place of what was before
// (nil for nothing); the oldest certificates that there is no room for are revoked. It is
// refused if the vTPM is not any more what the claims say.
func (s *Session) keep(claims *cert.VTPMClaims, detail string, add func(before *certified, now time.Time) *certified) proto.Code {
	m := s.m
	m.orders.Lock() // an entry of the audit log is written
	defer m.orders.Unlock()
	defer m.turns.take(s.peer.UUID, false)()
	m.mu.Lock()
	r, g, code := s.admitted()
	if code == proto.OK && m.claimsOf(&r, g) != *claims {
		code = proto.NotConnected
	}
	before, list := m.certified[r.uuid], m.revoked
	m.mu.Unlock()
	if code != proto.OK {
		return code
	}
	now := time.Now()
	c := add(before, now)
	if c == nil {
		return proto.NotConnected
	}
	var excess []serial
	if len(c.older) > maxOlder {
		excess = c.older[maxOlder:]
		c.older = c.older[:maxOlder]
	}
	next, changes, room := list.with(excess, now)
	o := &order{m: m, uuid: r.uuid, group: g}
	if !room || before == nil && !o.roomFor(1+len(changes)) {
		return proto.Full
	}
	entry, done := o.logged(r.uuid, "certify", detail, nil)
	class := ledger.Class{Source: vtpmItem(r.uuid), Tenant: g.tenant()}
	if code := m.commit(class, append(append(entry, changes...), c.change())...); code != proto.OK {
		return code
	}
	done()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.certified[r.uuid], m.revoked = c, next
	return proto.OK
}
