package proto

import "encoding/binary"

// IdentityRequest returns what a site is to be asked with for a certificate of this
// host: an identity.Request in its wire form. The manager makes its keys if it has none.
// image is the SHA-256 of the manager's image and version its security version, as the
// operator states them; zeros leave them as they are.
func (c *Client) IdentityRequest(image [32]byte, version uint32) ([]byte, error) {
	return c.order(IdentityRequest, binary.BigEndian.AppendUint32(image[:], version))
}

// RevocationList returns a new revocation list (DER) of the certificates that the host issued.
func (c *Client) RevocationList() ([]byte, error) {
	var list []byte
	for {
		b, err := c.order(RevocationList, binary.BigEndian.AppendUint32(nil, uint32(len(list))))
		if err != nil {
			return nil, err
		}
		if len(b) < 4 {
			return nil, errMessage
		}
		size := binary.BigEndian.Uint32(b)
		list = append(list, b[4:]...)
		if uint32(len(list)) == size {
			return list, nil
		}
		if len(b) == 4 || uint32(len(list)) > size {
			return nil, errMessage
		}
	}
}

// Attest returns the manager's part of the evidence about this vTPM for the question of
// its guest; both are in the wire form of package evidence.
func (c *Client) Attest(ask []byte) ([]byte, error) { return c.do(TagRequest, Attest, ask) }

// IdentityAnswer returns the answer to a site's challenge; both are in the wire form of
// package identity.
func (c *Client) IdentityAnswer(challenge []byte) ([]byte, error) {
	return c.order(IdentityAnswer, challenge)
}

// IdentityCertificate gives the manager the host's certificate (DER) and, after it,
// those of its issuers, each issued by the next.
func (c *Client) IdentityCertificate(certificates [][]byte) error {
	b, err := appendList(nil, certificates)
	if err != nil {
		return err
	}
	return c.orderEmpty(IdentityCertificate, b)
}

// ParseCertificates reads the arguments of IdentityCertificate.
func ParseCertificates(b []byte) ([][]byte, error) {
	r := reader{b: b}
	list := r.list()
	if err := r.done(); err != nil || len(list) == 0 {
		return nil, errMessage
	}
	return list, nil
}
