package identity

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"

	"golang.org/x/crypto/cryptobyte"

	"stubtpm/vtpmmgr/evidence"
)

// Sizes in bytes.
const (
	NonceSize  = 32 // of a Challenge
	SecretSize = 32 // of what a credential holds
	maxMessage = 64 << 10
)

// A Request is how a manager asks a site for a certificate.
type Request struct {
	Manager         [16]byte
	Image           [32]byte // SHA-256 of the manager's image; zeros if not known
	SecurityVersion uint32

	EK          []byte // TPMT_PUBLIC of the chip's endorsement key
	Certificate []byte // its certificate, DER; nil if the operator supplies it
	Chain       []byte // DER certificates of the chip's maker
	AK          []byte // TPMT_PUBLIC
	Certifier   []byte // TPMT_PUBLIC
	Policy      Policy
}

// A Challenge is what only the chip of the Request can answer.
type Challenge struct {
	Nonce      [NonceSize]byte
	Credential []byte // contents of TPM2B_ID_OBJECT
	Secret     []byte // contents of TPM2B_ENCRYPTED_SECRET
}

// An Answer proves that both keys are in the chip, and shows its PCRs.
type Answer struct {
	Secret    [SecretSize]byte // that the credential held
	Attest    []byte           // TPMS_ATTEST of TPM2_Certify of the certification key
	Signature []byte           // TPMT_SIGNATURE of that
	Quote     []byte           // wire form of an evidence.Quote
}

// Binding returns the qualifyingData of both attestations of an Answer.
func Binding(request []byte, nonce [NonceSize]byte) evidence.Hash {
	h := sha256.Sum256(request)
	b := append([]byte("stubtpm admission 1\x00"), nonce[:]...)
	return sha256.Sum256(append(b, h[:]...))
}

const (
	requestMagic   = "stubREQ\x00\x00\x01"
	challengeMagic = "stubCHA\x00\x00\x01"
	answerMagic    = "stubANS\x00\x00\x01"
)

// field appends bytes with their length of 2 before them.
func field(b, v []byte) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(v))), v...)
}

// Marshal returns the wire form.
func (r *Request) Marshal() ([]byte, error) {
	if err := r.Policy.check(); err != nil {
		return nil, err
	}
	for _, f := range [][]byte{r.EK, r.Certificate, r.Chain, r.AK, r.Certifier} {
		if len(f) > maxMessage/4 {
			return nil, fmt.Errorf("%w: a field of %d bytes", ErrFormat, len(f))
		}
	}
	b := append([]byte(requestMagic), r.Manager[:]...)
	b = append(b, r.Image[:]...)
	b = binary.BigEndian.AppendUint32(b, r.SecurityVersion)
	for _, f := range [][]byte{r.EK, r.Certificate, r.Chain, r.AK, r.Certifier} {
		b = field(b, f)
	}
	var mask uint32
	for _, n := range r.Policy.PCRs {
		mask |= 1 << n
	}
	b = binary.BigEndian.AppendUint32(b, mask)
	return append(b, r.Policy.Values...), nil
}

// ParseRequest reads the wire form. Every accepted input is what Marshal writes
// of the result.
func ParseRequest(b []byte) (*Request, error) {
	s, r := cryptobyte.String(b), new(Request)
	var mask uint32
	ok := head(&s, requestMagic) && s.CopyBytes(r.Manager[:]) && s.CopyBytes(r.Image[:]) && s.ReadUint32(&r.SecurityVersion)
	for _, f := range []*[]byte{&r.EK, &r.Certificate, &r.Chain, &r.AK, &r.Certifier} {
		ok = ok && sized(&s, f)
	}
	ok = ok && s.ReadUint32(&mask) && mask>>24 == 0
	for n := range uint(24) {
		if mask>>n&1 == 1 {
			r.Policy.PCRs = append(r.Policy.PCRs, n)
		}
	}
	ok = ok && s.ReadBytes(&r.Policy.Values, 32*bits.OnesCount32(mask))
	return r, exactly(ok && s.Empty(), b, r)
}

// Marshal returns the wire form.
func (c *Challenge) Marshal() ([]byte, error) {
	if len(c.Credential) == 0 || len(c.Credential) > 1024 || len(c.Secret) == 0 || len(c.Secret) > 1024 {
		return nil, fmt.Errorf("%w: credential of %d bytes, secret of %d", ErrFormat, len(c.Credential), len(c.Secret))
	}
	return field(field(append([]byte(challengeMagic), c.Nonce[:]...), c.Credential), c.Secret), nil
}

// ParseChallenge reads the wire form.
func ParseChallenge(b []byte) (*Challenge, error) {
	s, c := cryptobyte.String(b), new(Challenge)
	ok := head(&s, challengeMagic) && s.CopyBytes(c.Nonce[:]) && sized(&s, &c.Credential) && sized(&s, &c.Secret) && s.Empty()
	return c, exactly(ok, b, c)
}

// Marshal returns the wire form.
func (a *Answer) Marshal() ([]byte, error) {
	b := append([]byte(answerMagic), a.Secret[:]...)
	for _, f := range [][]byte{a.Attest, a.Signature, a.Quote} {
		if len(f) == 0 || len(f) > evidence.MaxQuote {
			return nil, fmt.Errorf("%w: a field of %d bytes", ErrFormat, len(f))
		}
		b = field(b, f)
	}
	return b, nil
}

// ParseAnswer reads the wire form.
func ParseAnswer(b []byte) (*Answer, error) {
	s, a := cryptobyte.String(b), new(Answer)
	ok := head(&s, answerMagic) && s.CopyBytes(a.Secret[:]) && sized(&s, &a.Attest) && sized(&s, &a.Signature) && sized(&s, &a.Quote) && s.Empty()
	return a, exactly(ok, b, a)
}

func head(s *cryptobyte.String, magic string) bool {
	var m []byte
	return s.ReadBytes(&m, len(magic)) && string(m) == magic
}

// sized reads bytes with their length before them; none are nil.
func sized(s *cryptobyte.String, to *[]byte) bool {
	var v cryptobyte.String
	ok := s.ReadUint16LengthPrefixed(&v)
	if len(v) > 0 {
		*to = v
	}
	return ok
}

// exactly returns an error unless v was read from all of b, in the form in which
// it is written.
func exactly(ok bool, b []byte, v interface{ Marshal() ([]byte, error) }) error {
	if !ok {
		return fmt.Errorf("%w: message of %d bytes", ErrFormat, len(b))
	}
	again, err := v.Marshal()
	if err == nil && !bytes.Equal(again, b) {
		err = fmt.Errorf("%w: message of %d bytes", ErrFormat, len(b))
	}
	return err
}

// Request returns the host's request.
func (h *Host) Request(manager [16]byte, image [32]byte, version uint32, e *Endorsement) *Request {
	return &Request{Manager: manager, Image: image, SecurityVersion: version, EK: e.Public, Certificate: e.Certificate, Chain: e.Chain,
		AK: h.AK.Public, Certifier: h.Certifier.Public, Policy: h.Policy}
}

// Answer answers a challenge for a request in its wire form.
func (h *Host) Answer(request []byte, c *Challenge, e *Endorsement) (*Answer, error) {
	secret, err := h.activate(e.Template, c.Credential, c.Secret)
	if err != nil {
		return nil, err
	}
	if len(secret) != SecretSize {
		return nil, fmt.Errorf("%w: a secret of %d bytes", ErrFormat, len(secret))
	}
	over := Binding(request, c.Nonce)
	a := &Answer{Secret: [SecretSize]byte(secret)}
	if a.Attest, a.Signature, err = h.certify(over); err != nil {
		return nil, err
	}
	q, err := h.Quote(h.Policy.PCRs, over)
	if err != nil {
		return nil, err
	}
	a.Quote, err = q.Marshal()
	return a, err
}
