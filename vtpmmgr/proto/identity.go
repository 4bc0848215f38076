package proto

// IdentityRequest returns what a site is to be asked with for a certificate of this
// host: an identity.Request in its wire form. The manager makes its keys if it has none.
func (c *Client) IdentityRequest() ([]byte, error) { return c.order(IdentityRequest, nil) }

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
