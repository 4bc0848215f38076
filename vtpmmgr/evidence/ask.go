package evidence

import "fmt"

// MaxAsk is the size in bytes of the longest Ask.
const MaxAsk = 1 + 1 + MaxNonce + 1 + 66

// Kinds of a question, its first byte.
const (
	AskEvidence    = 1
	AskCertificate = 2
)

// An Ask is what a guest writes to have evidence made or, without a nonce, a certificate
// of its key.
type Ask struct {
	Nonce []byte // the verifier's, MinNonce to MaxNonce bytes; nil for a certificate
	AK    []byte // Name of the key that the guest is going to quote with
}

// Marshal returns the wire form.
func (a *Ask) Marshal() ([]byte, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	if a.Nonce == nil {
		return appendSized8([]byte{AskCertificate}, a.AK), nil
	}
	return appendSized8(appendSized8([]byte{AskEvidence}, a.Nonce), a.AK), nil
}

func (a *Ask) check() error {
	if a.Nonce != nil && len(a.Nonce) < MinNonce || len(a.Nonce) > MaxNonce || !isName(a.AK) {
		return fmt.Errorf("%w: nonce of %d bytes, Name of %d", ErrFormat, len(a.Nonce), len(a.AK))
	}
	return nil
}

// ParseAsk reads the wire form.
func ParseAsk(b []byte) (*Ask, error) {
	r, a := reader{b: b}, new(Ask)
	switch kind := r.u8(); kind {
	case AskEvidence:
		a.Nonce = r.sized8()
	case AskCertificate:
	default:
		return nil, fmt.Errorf("%w: question of kind %d", ErrFormat, kind)
	}
	a.AK = r.sized8()
	if err := r.end("question"); err != nil {
		return nil, err
	}
	return a, a.check()
}
