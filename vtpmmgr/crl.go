package vtpmmgr

import (
	"crypto/x509"
	"math/big"
	"time"

	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/vtpmmgr/cert"
	"stubtpm/vtpmmgr/proto"
)

// crlFor is for how long a revocation list is valid.
const crlFor = 30 * 24 * time.Hour

// revocationList returns a part of the revocation list of the certificates that this
// host issued, from an offset on. The part at offset 0 is of a new list; the others on that
// connection are parts of the same one.
func (o *order) revocationList() (proto.Code, []byte) {
	m, offset := o.m, o.args.(uint32)
	if offset == 0 {
		der, code := m.newCRL()
		if code != proto.OK {
			return code, nil
		}
		o.session.crl = der
	}
	return piece(o.session.crl, offset)
}

// newCRL makes a list by the host's certification key. Its number is the time, and higher
// than that of each list since the start of this program.
func (m *Manager) newCRL() (der []byte, code proto.Code) {
	m.mu.Lock()
	h, list, other := m.identity, m.revoked.list, m.unusable
	m.mu.Unlock()
	if h == nil || other != nil {
		return nil, proto.NoIdentity
	}
	now := time.Now()
	var entries []cert.Revocation
	for _, e := range list {
		if int64(e.until) < now.Unix() {
			continue
		}
		for i := range e.count {
			number := e.number(i)
			entries = append(entries, cert.Revocation{Serial: new(big.Int).SetBytes(number[:]), Time: time.Unix(int64(e.at), 0).UTC()})
		}
	}
	m.crlNumber = max(m.crlNumber+1, uint64(now.Unix()))
	parent, err := x509.ParseCertificate(h.certificate)
	if err == nil {
		err = m.tpm.Lend("revocation list", func(bus transport.TPM) error {
			signer, err := m.host(h, bus).Signer()
			if err != nil {
				return err
			}
			der, err = (&cert.Issuer{Certificate: parent, Key: signer}).CRL(m.crlNumber, entries, cert.Terms{NotBefore: now.Add(-time.Minute), NotAfter: now.Add(crlFor)})
			return err
		})
	}
	if err != nil {
		m.cfg.Log("vtpmmgr: revocation list: %v", err)
		return nil, proto.Failed
	}
	return der, proto.OK
}
