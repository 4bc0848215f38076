package peer

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"

	"stubtpm/vtpmmgr/evidence"
	"stubtpm/vtpmmgr/transfer"
)

// ErrFormat is wrapped by the errors of evidence that is malformed.
var ErrFormat = errors.New("peer: malformed evidence")

// version is that of the wire form.
const version = 1

// maxChain is the largest number of certificates.
const maxChain = 4

// An Evidence is what a manager shows.
type Evidence struct {
	Labels bool     // Xen enforces security labels where the manager runs
	Chain  [][]byte // DER certificates: the manager's, then its issuers', each issued by the next
	Quote  []byte   // evidence.Quote, over Binding
}

// Marshal returns the wire form, at most transfer.MaxEvidence bytes.
func (e *Evidence) Marshal() ([]byte, error) {
	b := cryptobyte.NewBuilder(nil)
	b.AddUint8(version)
	labels := uint8(0)
	if e.Labels {
		labels = 1
	}
	b.AddUint8(labels)
	b.AddUint8(uint8(len(e.Chain)))
	for _, c := range append(e.Chain[:len(e.Chain):len(e.Chain)], e.Quote) {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(c) })
	}
	all, err := b.Bytes()
	if err != nil || len(e.Chain) == 0 || len(e.Chain) > maxChain || len(all) > transfer.MaxEvidence {
		return nil, fmt.Errorf("%w: %d certificates, %d bytes", ErrFormat, len(e.Chain), len(all))
	}
	return all, nil
}

// Parse reads the wire form. Every accepted input is what Marshal writes of the result.
func Parse(b []byte) (*Evidence, error) {
	s, e := cryptobyte.String(b), &Evidence{}
	var v, labels, n uint8
	ok := len(b) <= transfer.MaxEvidence && s.ReadUint8(&v) && s.ReadUint8(&labels) && s.ReadUint8(&n) && v == version && labels <= 1 && n >= 1 && n <= maxChain
	e.Labels = labels == 1
	for range n {
		var c cryptobyte.String
		ok = ok && s.ReadUint16LengthPrefixed(&c)
		e.Chain = append(e.Chain, c)
	}
	var quote cryptobyte.String
	if !ok || !s.ReadUint16LengthPrefixed(&quote) || !s.Empty() {
		return nil, ErrFormat
	}
	e.Quote = quote
	return e, nil
}

// Binding is what the hardware TPM quotes over: SHA-256 of "stubtpm move evidence 1", a zero
// byte, the manager's ID, a byte that is 1 with labels, the message's hash and the nonce. No
// other quote of a manager is over a hash of these bytes.
func Binding(manager transfer.ID, labels bool, message, nonce transfer.Hash) evidence.Hash {
	b := append([]byte("stubtpm move evidence 1\x00"), manager[:]...)
	flag := byte(0)
	if labels {
		flag = 1
	}
	b = append(append(b, flag), message[:]...)
	return sha256.Sum256(append(b, nonce[:]...))
}
