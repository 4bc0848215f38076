package evidence

import (
	"encoding/binary"
	"fmt"
)

// Limits of a quote.
const (
	MaxPCRs  = 24 * 4              // values: 24 PCRs in each of four banks
	MaxQuote = 8 + 3*1024 + 8*1024 // bytes of the wire form
)

// A PCR is the value of one PCR in a bank.
type PCR struct {
	Bank   uint16 // TPM_ALG_ID
	Index  uint8
	Digest []byte
}

// A Quote is what TPM2_Quote returns, with what is needed to check it. Its
// structures are those of TPM 2.0 Part 2, without the sizes before them.
type Quote struct {
	Key       []byte // TPMT_PUBLIC of the key that signed
	Attest    []byte // TPMS_ATTEST
	Signature []byte // TPMT_SIGNATURE
	PCRs      []PCR  // in the order of their banks in the selection, then of their indices
}

// Marshal returns the wire form.
func (q *Quote) Marshal() ([]byte, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	b := appendSized16(nil, q.Key)
	b = appendSized16(b, q.Attest)
	b = appendSized16(b, q.Signature)
	b = append(b, byte(len(q.PCRs)))
	for _, p := range q.PCRs {
		b = binary.BigEndian.AppendUint16(b, p.Bank)
		b = append(b, p.Index)
		b = appendSized8(b, p.Digest)
	}
	return b, nil
}

func (q *Quote) check() error {
	for _, f := range [][]byte{q.Key, q.Attest, q.Signature} {
		if len(f) == 0 || len(f) > 1024 {
			return fmt.Errorf("%w: quote: a part of %d bytes", ErrFormat, len(f))
		}
	}
	if len(q.PCRs) > MaxPCRs {
		return fmt.Errorf("%w: quote: %d PCRs", ErrFormat, len(q.PCRs))
	}
	for _, p := range q.PCRs {
		if len(p.Digest) == 0 || len(p.Digest) > 64 || p.Index >= 24 {
			return fmt.Errorf("%w: quote: PCR %d of %d bytes", ErrFormat, p.Index, len(p.Digest))
		}
	}
	return nil
}

// ParseQuote reads the wire form. Every accepted input is what Marshal writes of
// the result. What is in the structures is left to the verifier.
func ParseQuote(b []byte) (*Quote, error) {
	r := reader{b: b}
	q := &Quote{Key: r.sized16(), Attest: r.sized16(), Signature: r.sized16()}
	n := int(r.u8())
	for i := 0; i < n && !r.bad; i++ {
		q.PCRs = append(q.PCRs, PCR{Bank: r.u16(), Index: r.u8(), Digest: r.sized8()})
	}
	if err := r.end("quote"); err != nil {
		return nil, err
	}
	return q, q.check()
}
