package proto

import (
	"encoding/binary"
	"fmt"
)

// MaxEKs is the largest number of endorsement keys in one request to certify.
const MaxEKs = 4

// Certify returns a certificate (DER) for each of a vTPM's endorsement keys. An endorsement
// key is a TPMT_PUBLIC; there are 1 to MaxEKs.
func (c *Client) Certify(eks [][]byte) ([][]byte, error) {
	body, err := AppendEKs(nil, eks)
	if err != nil {
		return nil, err
	}
	b, err := c.do(TagRequest, Certify, body)
	if err != nil {
		return nil, err
	}
	certificates, err := ParseCertificates(b)
	if err == nil && len(certificates) != len(eks) {
		err = errMessage
	}
	return certificates, err
}

// Chain returns the certificates (DER) of the host and of its issuers, each issued by the
// next.
func (c *Client) Chain() ([][]byte, error) {
	b, err := pieces(func(offset []byte) ([]byte, error) { return c.do(TagRequest, Chain, offset) })
	if err != nil {
		return nil, err
	}
	return ParseCertificates(b)
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

// AppendCertificates appends a list of certificates: a count of 1, then each after its
// length of 2. It is an error if they do not fit into a message.
func AppendCertificates(b []byte, certificates [][]byte) ([]byte, error) {
	return appendList(b, certificates)
}

// EncodeList returns a list of certificates of any size, which is sent in pieces.
func EncodeList(chain [][]byte) []byte {
	b := []byte{byte(len(chain))}
	for _, c := range chain {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(c))), c...)
	}
	return b
}

// ParseCertificates reads a list of at least one certificate.
func ParseCertificates(b []byte) ([][]byte, error) {
	r := reader{b: b}
	list := r.list()
	if err := r.done(); err != nil || len(list) == 0 {
		return nil, errMessage
	}
	return list, nil
}

// maxPieces is the largest number of bytes that are read in pieces.
const maxPieces = 64 << 20

// EncodePiece returns the size of b (4), and as much of b from an offset on as fits into a
// message. The offset must not be larger than the size.
func EncodePiece(b []byte, offset uint32) []byte {
	rest := b[offset:]
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), rest[:min(len(rest), MaxSize-HeaderSize-4)]...)
}

// pieces puts together what get returns for the offsets.
func pieces(get func(offset []byte) ([]byte, error)) (all []byte, err error) {
	size := uint32(0)
	for first := true; first || uint32(len(all)) < size; first = false {
		b, err := get(binary.BigEndian.AppendUint32(nil, uint32(len(all))))
		if err != nil {
			return nil, err
		}
		if len(b) < 4 || len(b) == 4 && !first {
			return nil, errMessage
		}
		n := binary.BigEndian.Uint32(b)
		if !first && n != size || n > maxPieces || uint32(len(all)+len(b)-4) > n {
			return nil, errMessage
		}
		size, all = n, append(all, b[4:]...)
	}
	return all, nil
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
