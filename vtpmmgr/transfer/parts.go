package transfer

import (
	"crypto/ed25519"
	"errors"
	"io"
)

// Parts are what a manager's part in the moves of one vTPM is made of.
type Parts struct {
	Manager ID // the manager itself
	VTPM    ID
	Durable Durable
	Attest  Attester
	Verify  Verifier
	Rand    io.Reader
}

// Durable keeps the state of one vTPM.
type Durable interface {
	// Load returns what Store has kept last.
	Load() (*State, error)
	// Store returns nil once no crash and no old disk can take the state back. After an
	// error Load returns either state, the same one from then on. A Store of Live after
	// Received has the vTPM enrolled from the record.
	Store(*State) error
}

// An Attester makes evidence of the manager itself: a quote of its hardware TPM, with the
// certificates of its key.
type Attester interface {
	// Attest returns evidence for a message's hash and a nonce of the peer, at most
	// MaxEvidence bytes.
	Attest(message, nonce Hash) ([]byte, error)
}

// A Verifier checks evidence of a peer.
type Verifier interface {
	// Verify fails unless the evidence is for the hash and the nonce, by a manager of
	// this one's site.
	Verify(evidence []byte, message, nonce Hash) (*Claims, error)
}

// A Vault holds the private parts of offers' keys in the hardware TPM.
type Vault interface {
	// Seal returns an X25519 private key as the hardware TPM keeps it, at most 1,024
	// bytes. It is given out only in the PCR state of the manager's identity.
	Seal(private []byte) ([]byte, error)
	// Open returns the private key. Its error wraps [KeyWithheld] if the hardware TPM
	// will not give it out later either, unless it is started otherwise.
	Open(sealed []byte) ([]byte, error)
}

// A Home is what a source knows of the vTPM.
type Home interface {
	// Approver returns the key of the approver of the vTPM's group; the administrator's
	// if the group has none.
	Approver() (ed25519.PublicKey, error)
	// Record returns the vTPM's record. It fails unless the last commit is that of a
	// suspended state, on which no command runs before another commit.
	Record() (*Record, error)
}

// A Place is what a target may have.
type Place interface {
	// Approver returns the key of the approver of the group that a record names, as this
	// manager knows it, not as the record has it.
	Approver(r *Record) (ed25519.PublicKey, error)
	// Take returns nil if there is room for the vTPM, in its group too, and its profile
	// and image may be used here. The target refuses after an error that wraps a
	// [Reason], such as NotTaken; another error changes nothing. So it is for Approver.
	Take(r *Record, from *Claims) error
}

// verify checks that a peer has made a message.
func (p *Parts) verify(evidence []byte, message, nonce Hash, peer ID) (*Claims, error) {
	c, err := p.Verify.Verify(evidence, message, nonce)
	if err != nil {
		return nil, Unattested.because(err)
	}
	if c.Manager != peer {
		return nil, OtherPeer
	}
	return c, nil
}

// attest makes evidence that fits into a message.
func (p *Parts) attest(message, nonce Hash) ([]byte, error) {
	b, err := p.Attest.Attest(message, nonce)
	if err == nil && len(b) > MaxEvidence {
		err = errors.New("transfer: evidence is too large")
	}
	return b, err
}

// attested returns a note with evidence for a nonce.
func (p *Parts) attested(n *note, nonce Hash) ([]byte, error) {
	var err error
	n.evidence, err = p.attest(n.hash(), nonce)
	if err != nil {
		return nil, err
	}
	return n.append(nil), nil
}

func (p *Parts) draw(b []byte) error {
	_, err := io.ReadFull(p.Rand, b)
	return err
}
