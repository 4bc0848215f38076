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
	c, ders, refused, err := m.issue(h, &claims, eks)
	switch {
	case refused != nil:
		m.cfg.Log("vtpmmgr: certify: %v", refused)
		return proto.BadCertificate, nil
	case err != nil:
		m.cfg.Log("vtpmmgr: certify: %v", err)
		return proto.Failed, nil
	}
	body, err := proto.AppendCertified(nil, ders, append([][]byte{h.certificate}, h.chain...))
	if err != nil {
		m.cfg.Log("vtpmmgr: certify: %v", err)
		return proto.Failed, nil
	}
	if code := s.keepCertified(c, &claims); code != proto.OK {
		return code, nil
	}
	return proto.OK, body
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

// issue makes the certificates of keys by the host's certification key. Its error refused
// is of what was asked, and no fault of the hardware TPM.
func (m *Manager) issue(h *hostIdentity, claims *cert.VTPMClaims, eks [][]byte) (c *certified, ders [][]byte, refused, err error) {
	parent, err := x509.ParseCertificate(h.certificate)
	if err != nil {
		return nil, nil, nil, err
	}
	now := time.Now()
	terms := cert.Terms{NotBefore: now.Add(-time.Hour), NotAfter: endOf(parent, now), CRL: m.cfg.CRL}
	basis, err := h.basis(claims)
	if err != nil {
		return nil, nil, nil, err
	}
	err = m.tpm.Lend("certificates", func(bus transport.TPM) error {
		signer, err := m.host(h, bus).Signer()
		if err != nil {
			return err
		}
		issuer := cert.Issuer{Certificate: parent, Key: signer}
		c, ders, refused = &certified{uuid: claims.UUID, basis: basis}, nil, nil
		for _, ek := range eks {
			der, err := issuer.EK(ek, claims, model(), terms)
			if errors.Is(err, cert.ErrRefused) {
				refused = err
				return nil
			}
			if err != nil {
				return err
			}
			if err := c.add(der); err != nil {
				return err
			}
			ders = append(ders, der)
		}
		return nil
	})
	return c, ders, refused, err
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

// add notes a certificate.
func (c *certified) add(der []byte) error {
	made, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	hash, err := cert.KeyHash(made.PublicKey)
	if err != nil {
		return err
	}
	s := serial{until: uint32(made.NotAfter.Unix())}
	made.SerialNumber.FillBytes(s.number[:])
	c.keys, c.serials = append(c.keys, hash), append(c.serials, s)
	return nil
}

// keepCertified makes durable what was certified, before anybody is given it: what is
// not in the ledger could not be revoked. It is refused if the vTPM is not any more what
// the claims say.
func (s *Session) keepCertified(c *certified, claims *cert.VTPMClaims) proto.Code {
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
	c.older = before.all(now)
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
	entry, done := o.logged(r.uuid, "certify", fmt.Sprintf("%d keys until %s", len(c.keys), time.Unix(int64(c.serials[0].until), 0).UTC().Format(time.DateOnly)), nil)
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
