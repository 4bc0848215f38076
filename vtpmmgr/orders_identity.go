package vtpmmgr

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/vtpmmgr/cert"
	"stubtpm/vtpmmgr/identity"
	"stubtpm/vtpmmgr/proto"
)

// managerImage is what the operator states about the manager's image.
type managerImage struct {
	hash    [32]byte
	version uint32
}

func parseManagerImage(args []byte) (request, error) {
	if len(args) != 32+4 {
		return request{}, proto.BadMessage
	}
	return request{args: managerImage{[32]byte(args), binary.BigEndian.Uint32(args[32:])}}, nil
}

func parseChallenge(args []byte) (request, error) {
	c, err := identity.ParseChallenge(args)
	return request{args: c}, err
}

func parseCertificates(args []byte) (request, error) {
	list, err := proto.ParseCertificates(args)
	return request{args: list}, err
}

// host is the identity's host on a bus.
func (m *Manager) host(h *hostIdentity, bus transport.TPM) *identity.Host {
	return &identity.Host{Bus: bus, Policy: h.policy, Auth: h.auth[:], OwnerAuth: m.cfg.OwnerAuth, StorageName: h.storageName, AK: h.ak, Certifier: h.certifier}
}

// isPresent reports whether the keys obey the PCRs as they are now.
func (h *hostIdentity) isPresent(bus transport.TPM) (bool, error) {
	now, err := identity.Present(bus, h.policy.PCRs)
	return err == nil && bytes.Equal(now.Values, h.policy.Values), err
}

var (
	errOtherPCRs   = errors.New("vtpmmgr: the host's keys obey other values of the PCRs")
	errOtherLedger = errors.New("vtpmmgr: the ledger was restored, and does not have what the host's keys certified since")
)

// checkIdentity finds out whether the host's keys can be used. A hardware TPM that does not
// respond now may do so later.
func (m *Manager) checkIdentity() {
	h := m.known()
	if h == nil {
		return
	}
	present := true
	err := m.tpm.Lend("identity", func(bus transport.TPM) (err error) {
		present, err = h.isPresent(bus)
		return err
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case h.epoch != m.store.Epoch():
		m.unusable = errOtherLedger
	case err == nil && !present:
		m.unusable = errOtherPCRs
	default:
		return
	}
	m.cfg.Log("%v: stubtpm mgr identity request makes new ones", m.unusable)
}

// newAuth returns random bytes of which none is zero.
func newAuth() (auth [32]byte) {
	for i := range auth {
		for auth[i] == 0 {
			rand.Read(auth[i : i+1])
		}
	}
	return auth
}

// aloneFor is for how long the certificate of a host without a site is valid.
const aloneFor = 10 * 365 * 24 * time.Hour

// newIdentity makes keys for the present PCRs, and has the certification key certify
// itself: until a site admits the host, it is its own root.
func (m *Manager) newIdentity(bus transport.TPM, is managerImage) (*hostIdentity, error) {
	p, err := identity.Present(bus, m.root.PCRs())
	if err != nil {
		return nil, err
	}
	h := &hostIdentity{auth: newAuth(), policy: *p, storageName: m.root.StorageName(), image: is.hash, version: is.version, epoch: m.store.Epoch()}
	host := m.host(h, bus)
	if err := host.Create(); err != nil {
		return nil, err
	}
	h.ak, h.certifier = host.AK, host.Certifier
	name, err := h.akName()
	if err != nil {
		return nil, err
	}
	signer, err := host.Signer()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	h.certificate, err = (&cert.Issuer{Key: signer}).Host(signer.Public(), &cert.HostClaims{Manager: m.id, AK: name, Image: h.image, SecurityVersion: h.version},
		cert.Terms{NotBefore: now.Add(-time.Hour), NotAfter: now.Add(aloneFor)})
	return h, err
}

func (h *hostIdentity) akName() ([]byte, error) {
	p, _, err := cert.ParsePublic(h.ak.Public)
	if err != nil {
		return nil, err
	}
	name, err := tpm2.ObjectName(p)
	if err != nil {
		return nil, err
	}
	return name.Buffer, nil
}

// known returns the identity, nil before the first request.
func (m *Manager) known() *hostIdentity {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.identity
}

// keepIdentity commits an identity with an entry of the audit log.
func (o *order) keepIdentity(event, detail string, h *hostIdentity) proto.Code {
	before := o.m.known()
	changes, err := h.changes(before)
	if err != nil {
		return proto.BadMessage
	}
	if more := len(changes); before == nil && !o.roomFor(more) || before != nil && h.parts > before.parts && !o.roomFor(2*(h.parts-before.parts)) {
		return proto.Full
	}
	code := o.commit(event, detail, nil, changes...)
	if code == proto.OK {
		o.m.mu.Lock()
		o.m.identity, o.m.noIdentity, o.m.unusable = h, nil, nil
		o.m.mu.Unlock()
	}
	return code
}

// identityRequest returns what a site is to be asked with. It makes the keys if there are
// none, or none for the present PCRs, the manager's image and this epoch of the ledger.
func (o *order) identityRequest() (proto.Code, []byte) {
	m, h, is := o.m, o.m.known(), o.args.(managerImage)
	if h != nil && is == (managerImage{}) {
		is = managerImage{h.image, h.version}
	}
	var made bool
	var request []byte
	err := m.tpm.Lend("identity", func(bus transport.TPM) (err error) {
		made = h == nil || h.epoch != m.store.Epoch() || is != managerImage{h.image, h.version}
		if !made {
			present, err := h.isPresent(bus)
			if err != nil {
				return err
			}
			made = !present
		}
		use := h
		if made {
			if use, err = m.newIdentity(bus, is); err != nil {
				return err
			}
		}
		e, err := identity.EndorsementKey(bus, nil)
		if err != nil {
			return err
		}
		if request, err = m.requestOf(use, e); err == nil {
			h = use
		}
		return err
	})
	if err != nil {
		m.cfg.Log("vtpmmgr: identity: %v", err)
		return proto.Failed, nil
	}
	if made {
		if code := o.keepIdentity("identity", "new keys; the host is its own root until a site admits it", h); code != proto.OK {
			return code, nil
		}
	}
	return proto.OK, request
}

// requestOf returns the request in its wire form. It is the same each time. The
// certificates of the chip's maker are left out if they do not fit into a message.
func (m *Manager) requestOf(h *hostIdentity, e *identity.Endorsement) ([]byte, error) {
	const most = proto.MaxSize - proto.HeaderSize
	r := m.host(h, nil).Request(m.id, h.image, h.version, e)
	b, err := r.Marshal()
	if err == nil && len(b) > most {
		r.Chain = nil
		b, err = r.Marshal()
	}
	if err == nil && len(b) > most {
		err = fmt.Errorf("vtpmmgr: a request of %d bytes does not fit into a message", len(b))
	}
	return b, err
}

// identityAnswer answers a site's challenge.
func (o *order) identityAnswer() (proto.Code, []byte) {
	m, h := o.m, o.m.known()
	if h == nil {
		return proto.BadCertificate, nil
	}
	var answer []byte
	var refused error
	err := m.tpm.Lend("identity", func(bus transport.TPM) error {
		e, err := identity.EndorsementKey(bus, nil)
		if err != nil {
			return err
		}
		request, err := m.requestOf(h, e)
		if err != nil {
			return err
		}
		a, err := m.host(h, bus).Answer(request, o.args.(*identity.Challenge), e)
		var rc tpm2.TPMRC
		if refused = nil; errors.As(err, &rc) || errors.Is(err, identity.ErrFormat) {
			refused = err // it is of what was asked, and no fault of the TPM
			return nil
		}
		if err == nil {
			answer, err = a.Marshal()
		}
		return err
	})
	switch {
	case err != nil:
		m.cfg.Log("vtpmmgr: identity: %v", err)
		return proto.Failed, nil
	case refused != nil:
		m.cfg.Log("vtpmmgr: challenge: %v", refused)
		return proto.BadCertificate, nil
	}
	return o.commit("identity answer", "to a site's challenge", nil), answer
}

// identityCertificate takes the certificate that a site made for the host.
func (o *order) identityCertificate() (proto.Code, []byte) {
	m, h, list := o.m, o.m.known(), o.args.([][]byte)
	if h == nil {
		return proto.BadCertificate, nil
	}
	c, err := m.checkCertificates(h, list)
	if err != nil {
		m.cfg.Log("vtpmmgr: host certificate: %v", err)
		return proto.BadCertificate, nil
	}
	next := *h
	next.certificate, next.chain = list[0], list[1:]
	return o.keepIdentity("identity certificate", fmt.Sprintf("serial %x until %s", c.SerialNumber, c.NotAfter.UTC().Format(time.DateOnly)), &next), nil
}

// maxCertificate is the size in bytes of the largest NV index of a vTPM
// (TPM_PT_NV_INDEX_MAX).
const maxCertificate = 2048

// checkCertificates returns the first of the certificates, which must be of a CA, of the
// certification key and of this manager; each must be issued by the next. Whether the
// last one is to be trusted is for verifiers.
func (m *Manager) checkCertificates(h *hostIdentity, list [][]byte) (*x509.Certificate, error) {
	all := make([]*x509.Certificate, len(list))
	for i, der := range list {
		var err error
		if all[i], err = x509.ParseCertificate(der); err != nil {
			return nil, err
		}
	}
	if len(all) < 2 {
		return nil, errors.New("without who issued it")
	}
	c := all[0]
	_, key, err := cert.ParsePublic(h.certifier.Public)
	if err != nil {
		return nil, err
	}
	own, ok := key.(*ecdsa.PublicKey)
	if !ok || !own.Equal(c.PublicKey) {
		return nil, errors.New("of another key")
	}
	claims, err := cert.HostClaimsOf(c)
	if err != nil {
		return nil, err
	}
	name, err := h.akName()
	if err != nil {
		return nil, err
	}
	switch {
	case !c.IsCA || c.KeyUsage&x509.KeyUsageCertSign == 0:
		return nil, errors.New("not of a certification authority")
	case claims.Manager != m.id:
		return nil, fmt.Errorf("of manager %x", claims.Manager)
	case !bytes.Equal(claims.AK, name):
		return nil, errors.New("of another attestation key")
	case claims.Image != h.image || claims.SecurityVersion != h.version:
		return nil, errors.New("of another image of the manager")
	case time.Now().After(c.NotAfter):
		return nil, fmt.Errorf("ended on %s", c.NotAfter.UTC().Format(time.DateOnly))
	}
	for i, der := range list {
		if len(der) > maxCertificate {
			return nil, fmt.Errorf("certificate %d: %d bytes, and a vTPM's NV index has room for %d", i, len(der), maxCertificate)
		}
	}
	for i := range len(all) - 1 {
		if err := all[i].CheckSignatureFrom(all[i+1]); err != nil {
			return nil, fmt.Errorf("certificate %d: %w", i, err)
		}
	}
	return c, nil
}
