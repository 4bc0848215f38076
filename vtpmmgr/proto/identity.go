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
	return pieces(func(offset []byte) ([]byte, error) { return c.order(RevocationList, offset) })
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
