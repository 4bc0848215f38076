package fleet

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A Host is the ID of a host's manager (HELLO in docs/manager-protocol.md). Zeros are
// no host.
type Host [16]byte

// String returns 32 hexadecimal digits.
func (h Host) String() string { return hex.EncodeToString(h[:]) }

// ParseHost reads what [Host.String] returns.
func ParseHost(s string) (h Host, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(h) || Host(b) == (Host{}) {
		return Host{}, fmt.Errorf("%w: host %q is not 32 hexadecimal digits, not all zeros", ErrArgument, s)
	}
	return Host(b), nil
}

// An Epoch belongs to one host, forever. It only rises.
type Epoch struct {
	// Restored is the epoch that the vTPM's manager counts and verifiers see: 0, and
	// one more after each RESTORE (docs/manager-protocol.md).
	Restored uint32
	// Moves is how often the vTPM was handed over since.
	Moves uint32
}

// Less reports whether e is earlier.
func (e Epoch) Less(f Epoch) bool {
	return e.Restored < f.Restored || e.Restored == f.Restored && e.Moves < f.Moves
}

// String returns, for instance, "1.3".
func (e Epoch) String() string { return fmt.Sprintf("%d.%d", e.Restored, e.Moves) }

// ParseEpoch reads what [Epoch.String] returns, and nothing else.
func ParseEpoch(s string) (Epoch, error) {
	a, b, _ := strings.Cut(s, ".")
	r, err1 := strconv.ParseUint(a, 10, 32)
	m, err2 := strconv.ParseUint(b, 10, 32)
	e := Epoch{uint32(r), uint32(m)}
	if err1 != nil || err2 != nil || e.String() != s {
		return Epoch{}, fmt.Errorf("%w: epoch %q is not like 1.3", ErrArgument, s)
	}
	return e, nil
}

// A Row is what a store knows about one vTPM.
type Row struct {
	Owner    Host
	Epoch    Epoch
	Approver [ed25519.PublicKeySize]byte // whose word fences the owner
	// Heard means that the owner made a claim, of whatever vTPM, within the store's lease.
	// An owner that is not heard is silent, and nothing else: it may run, and its
	// vTPMs serve. Only Look sets it.
	Heard bool
}

// handedOver is the row after the owner's hand-over in epoch at.
func (r Row) handedOver(at Epoch, to Host) Row {
	return Row{Owner: to, Epoch: Epoch{at.Restored, at.Moves + 1}, Approver: r.Approver}
}

// rowSize is the size of a row in a store: version 1, owner 16, Restored 4, Moves 4,
// approver's key 32. Numbers are big-endian.
const (
	rowSize    = 1 + 16 + 4 + 4 + ed25519.PublicKeySize
	rowVersion = 1
)

var errRow = errors.New("fleet: the store has something that is not a row")

func (r Row) encode() []byte {
	b := append([]byte{rowVersion}, r.Owner[:]...)
	b = binary.BigEndian.AppendUint32(b, r.Epoch.Restored)
	b = binary.BigEndian.AppendUint32(b, r.Epoch.Moves)
	return append(b, r.Approver[:]...)
}

func parseRow(b []byte) (r Row, err error) {
	if len(b) != rowSize || b[0] != rowVersion {
		return Row{}, fmt.Errorf("%w: %d bytes", errRow, len(b))
	}
	copy(r.Owner[:], b[1:])
	r.Epoch = Epoch{binary.BigEndian.Uint32(b[17:]), binary.BigEndian.Uint32(b[21:])}
	copy(r.Approver[:], b[25:])
	if r.Owner == (Host{}) || r.Approver == [32]byte{} {
		return Row{}, fmt.Errorf("%w: no owner or no approver", errRow)
	}
	return r, nil
}

// A Word is an approver's leave to take a vTPM from its owner. It names the owner and
// the epoch that are given up and the owner and the epoch that follow, so it serves once.
//
// The approver gives it when it is sure that the host From does not come back with the
// vTPM, for instance since its hardware TPM is destroyed. No silence says that.
type Word struct {
	From Host
	At   Epoch
	To   Host
	// Restored is the epoch of the restored vTPM, higher than At.Restored: what RESTORE
	// will return at To, or higher.
	Restored uint32
	// Signature is the approver's, by Ed25519, of [Word.Message].
	Signature []byte
}

// wordLabel begins what is signed, so that it is no order and no other message.
const wordLabel = "stubtpm fleet fence\x00"

// Message returns what the approver signs: the label "stubtpm fleet fence" and a zero,
// uuid 16, From 16, At 8, To 16, Restored 4; 80 bytes.
func (w *Word) Message(vtpm UUID) []byte {
	b := append([]byte(wordLabel), vtpm[:]...)
	b = append(b, w.From[:]...)
	b = binary.BigEndian.AppendUint32(b, w.At.Restored)
	b = binary.BigEndian.AppendUint32(b, w.At.Moves)
	b = append(b, w.To[:]...)
	return binary.BigEndian.AppendUint32(b, w.Restored)
}

// check returns nil if the word is the approver's and raises the epoch.
func (w *Word) check(vtpm UUID, approver [ed25519.PublicKeySize]byte) error {
	if w.Restored <= w.At.Restored || w.From == (Host{}) || w.To == (Host{}) ||
		len(w.Signature) != ed25519.SignatureSize || !ed25519.Verify(approver[:], w.Message(vtpm), w.Signature) {
		return ErrWord
	}
	return nil
}

// checkHandOver returns [ErrArgument] for what no hand-over can be.
func checkHandOver(from Host, at Epoch, to Host) error {
	if from == (Host{}) || to == (Host{}) || from == to || at.Moves == math.MaxUint32 {
		return fmt.Errorf("%w: hand-over from %v to %v", ErrArgument, from, to)
	}
	return nil
}

// checkClaim returns [ErrArgument] for what no claim can be.
func checkClaim(h Host, approver ed25519.PublicKey) error {
	if h == (Host{}) || len(approver) != ed25519.PublicKeySize || bytes.Equal(approver, make([]byte, len(approver))) {
		return fmt.Errorf("%w: claim by %v", ErrArgument, h)
	}
	return nil
}
