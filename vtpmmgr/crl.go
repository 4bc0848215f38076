package vtpmmgr

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"math/big"
	"time"

	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/vtpmmgr/cert"
	"stubtpm/vtpmmgr/proto"
)

// crlFor is for how long a revocation list is valid.
const crlFor = 30 * 24 * time.Hour

// revocationList returns a part of the revocation list of the certificates that this
// host issued, from an offset on; the part at offset 0 is of a new list.
func (o *order) revocationList() (proto.Code, []byte) {
	m, offset := o.m, o.args.(uint32)
	if offset == 0 {
		der, code := m.newCRL()
		if code != proto.OK {
			return code, nil
		}
		m.crl = der
	}
	if int64(offset) > int64(len(m.crl)) {
		return proto.BadMessage, nil
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(len(m.crl)))
	rest := m.crl[offset:]
	return proto.OK, append(b, rest[:min(len(rest), proto.MaxSize-proto.HeaderSize-len(b))]...)
}

// newCRL makes a list by the host's certification key. Its number is the time, which is
// higher in each list than in the one before.
func (m *Manager) newCRL() (der []byte, code proto.Code) {
	m.mu.Lock()
	h, list := m.identity, m.revoked.list
	m.mu.Unlock()
	if h == nil {
		return nil, proto.NoIdentity
	}
	now := time.Now()
	var entries []cert.Revocation
	for _, e := range list {
		if int64(e.until) < now.Unix() {
			continue
		}
		entries = append(entries, cert.Revocation{Serial: new(big.Int).SetBytes(e.number[:]), Time: time.Unix(int64(e.at), 0).UTC()})
	}
	parent, err := x509.ParseCertificate(h.certificate)
	if err == nil {
		err = m.tpm.Lend("revocation list", func(bus transport.TPM) error {
			signer, err := m.host(h, bus).Signer()
			if err != nil {
				return err
			}
			der, err = (&cert.Issuer{Certificate: parent, Key: signer}).CRL(uint64(now.Unix()), entries, cert.Terms{NotBefore: now.Add(-time.Minute), NotAfter: now.Add(crlFor)})
			return err
		})
	}
	if err != nil {
		m.cfg.Log("vtpmmgr: revocation list: %v", err)
		return nil, proto.Failed
	}
	return bytes.Clone(der), proto.OK
}
