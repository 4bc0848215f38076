package proto

import (
	"encoding/binary"
	"fmt"
)

// MaxEKs is the largest number of endorsement keys in one request to certify.
const MaxEKs = 8

// Certify returns a certificate (DER) for each of a vTPM's endorsement keys, and the
// certificates of their issuers, the direct one first. An endorsement key is a
// TPMT_PUBLIC; there are 1 to MaxEKs.
func (c *Client) Certify(eks [][]byte) (certificates, chain [][]byte, err error) {
	body, err := AppendEKs(nil, eks)
	if err != nil {
		return nil, nil, err
	}
	b, err := c.do(TagRequest, Certify, body)
	if err != nil {
		return nil, nil, err
	}
	certificates, chain, err = ParseCertified(b)
	if err == nil && len(certificates) != len(eks) {
		err = errMessage
	}
	if err != nil {
		return nil, nil, err
	}
	return certificates, chain, nil
}

// CertifyAK returns a certificate (DER) of an attestation key, a TPMT_PUBLIC, that the
// vTPM found to be its own.
func (c *Client) CertifyAK(key []byte) ([]byte, error) { return c.do(TagRequest, CertifyKey, key) }

// Certified reports whether the certificates that this vTPM had last are those that it
// would have now. They are not after a restoration, an order that changes what they claim,
// or a new certificate of the host, and in their last two months.
func (c *Client) Certified() (bool, error) {
	b, err := c.do(TagRequest, Certified, nil)
	if err == nil && (len(b) != 1 || b[0] > 1) {
		err = errMessage
	}
	return err == nil && b[0] == 1, err
}

// AppendEKs appends the body of a request to certify: a count of 1, then each key after
// its length of 2.
func AppendEKs(b []byte, eks [][]byte) ([]byte, error) {
	if len(eks) == 0 || len(eks) > MaxEKs {
		return nil, fmt.Errorf("vtpmmgr: %d endorsement keys to certify, want 1 to %d", len(eks), MaxEKs)
	}
	return appendList(b, eks)
}

// ParseEKs reads the body of a request to certify.
func ParseEKs(b []byte) ([][]byte, error) {
	r := reader{b: b}
	eks := r.list()
	if err := r.done(); err != nil || len(eks) == 0 || len(eks) > MaxEKs {
		return nil, errMessage
	}
	return eks, nil
}

// AppendCertified appends the body of the response: two lists, each a count of 1 and
// the certificates, each after its length of 2.
func AppendCertified(b []byte, certificates, chain [][]byte) ([]byte, error) {
	b, err := appendList(b, certificates)
	if err != nil {
		return nil, err
	}
	return appendList(b, chain)
}

// ParseCertified reads the body of the response.
func ParseCertified(b []byte) (certificates, chain [][]byte, err error) {
	r := reader{b: b}
	certificates, chain = r.list(), r.list()
	return certificates, chain, r.done()
}

// appendList appends a list of elements that are not empty.
func appendList(b []byte, list [][]byte) ([]byte, error) {
	if len(list) > 255 {
		return nil, errMessage
	}
	b = append(b, byte(len(list)))
	for _, e := range list {
		if len(e) == 0 || len(b)+2+len(e) > MaxSize-HeaderSize {
			return nil, fmt.Errorf("vtpmmgr: an element of %d bytes, with %d before it, does not fit into a message", len(e), len(b))
		}
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(e))), e...)
	}
	return b, nil
}

// list reads what appendList wrote.
func (r *reader) list() (list [][]byte) {
	for range r.u8() {
		n := int(r.u16())
		if r.bad || n == 0 {
			r.bad = true
			return nil
		}
		list = append(list, r.take(n))
	}
	return list
}
