package evidence

import "fmt"

// MaxAsk is the size in bytes of the longest Ask.
const MaxAsk = 1 + 1 + MaxNonce + 1 + 66

// An Ask is what a guest writes to have evidence made.
type Ask struct {
	Nonce []byte // the verifier's, MinNonce to MaxNonce bytes
	AK    []byte // Name of the key that the guest is going to quote with
}

// Marshal returns the wire form.
func (a *Ask) Marshal() ([]byte, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	return appendSized8(appendSized8([]byte{version}, a.Nonce), a.AK), nil
}

func (a *Ask) check() error {
	if len(a.Nonce) < MinNonce || len(a.Nonce) > MaxNonce || !isName(a.AK) {
		return fmt.Errorf("%w: nonce of %d bytes, Name of %d", ErrFormat, len(a.Nonce), len(a.AK))
	}
	return nil
}

// ParseAsk reads the wire form.
func ParseAsk(b []byte) (*Ask, error) {
	r := reader{b: b}
	if v := r.u8(); v != version {
		return nil, fmt.Errorf("%w: question of version %d", ErrFormat, v)
	}
	a := &Ask{Nonce: r.sized8(), AK: r.sized8()}
	if err := r.end("question"); err != nil {
		return nil, err
	}
	return a, a.check()
}
