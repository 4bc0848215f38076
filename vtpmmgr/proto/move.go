package proto

import (
	"encoding/binary"
	"fmt"
)

// A MoveStep is what a courier asks of a manager about a move of one vTPM.
type MoveStep uint8

// Steps. MoveGive and MoveRefuse are about the message that MovePut gave.
const (
	MoveRequest     MoveStep = 1 // of a source: the request for an offer
	MoveGive        MoveStep = 2 // take the message, and answer it
	MoveRefuse      MoveStep = 3 // of a target: refuse the offer for good
	MoveSourceAgain MoveStep = 4 // of a source: the handover or the release again
	MoveTargetAgain MoveStep = 5 // of a target: the offer, the refusal or the receipt again
)

// A MoveError is why a step of a move is refused: a transfer.Reason. It wraps MoveRefused.
type MoveError uint8

func (e MoveError) Error() string { return fmt.Sprintf("%v: reason %d", MoveRefused, uint8(e)) }

// Unwrap returns MoveRefused.
func (e MoveError) Unwrap() error { return MoveRefused }

// moveError returns the error of a response to a step that was refused, whose body is the
// reason.
func moveError(body []byte) error {
	if len(body) != 1 {
		return MoveRefused
	}
	return MoveError(body[0])
}

// Move has the manager do a step, and returns its answer. A step may be repeated. The error
// of one that is refused is a MoveError.
func (c *Client) Move(step MoveStep, vtpm UUID, message []byte) ([]byte, error) {
	const most = MaxSize - HeaderSize - 4
	for at := 0; at == 0 || at < len(message); at += most {
		part := message[at:min(len(message), at+most)]
		if err := c.doEmpty(TagAdmin, MovePut, append(binary.BigEndian.AppendUint32(nil, uint32(at)), part...)); err != nil {
			return nil, err
		}
	}
	first := true
	return pieces(func(offset []byte) ([]byte, error) {
		if first {
			first = false
			return c.do(TagAdmin, Move, append([]byte{byte(step)}, vtpm[:]...))
		}
		return c.do(TagAdmin, MoveGet, offset)
	})
}

// SetTargets sets the rules of where a vTPM may be moved: an encoded transfer.Rules.
func (c *Client) SetTargets(vtpm UUID, rules []byte) error {
	return c.orderEmpty(SetTargets, append(vtpm[:], rules...))
}

// Targets returns them.
func (c *Client) Targets(vtpm UUID) ([]byte, error) { return c.order(Targets, vtpm[:]) }

// Transfers returns what is moving, of what the signer may see: also what has left, and
// offers.
func (c *Client) Transfers() (list []Transfer, err error) {
	err = c.fetchAll(Transfers, func(r *reader) { list = append(list, r.transfer()) })
	return list, err
}

// A Transfer is what a manager knows of the moves of one vTPM.
type Transfer struct {
	UUID  UUID
	Group uint32 // zero if only an offer was made

	Phase   uint8    // a transfer.Phase
	Damaged bool     // what the manager keeps of it cannot be read
	Peer    [16]byte // the other manager, of Sent, Gone and Received
	Move    [16]byte // the move's number
	Since   uint64   // of the phase, in seconds since 1970

	Offer   uint8    // 0 none, 1 open, 2 refused
	Reason  uint8    // why the offer was refused, a transfer.Reason
	Source  [16]byte // that the offer was made to
	Offered uint64   // when
}

// Append appends the encoding, 88 bytes.
func (t *Transfer) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(append(b, t.UUID[:]...), t.Group)
	b = append(b, t.Phase, flagBits(t.Damaged))
	b = append(append(b, t.Peer[:]...), t.Move[:]...)
	b = append(binary.BigEndian.AppendUint64(b, t.Since), t.Offer, t.Reason)
	return binary.BigEndian.AppendUint64(append(b, t.Source[:]...), t.Offered)
}

func (r *reader) transfer() (t Transfer) {
	t.UUID, t.Group, t.Phase = UUID(r.take(16)), r.u32(), r.u8()
	t.Damaged = r.u8()&1 != 0
	t.Peer, t.Move, t.Since = [16]byte(r.take(16)), [16]byte(r.take(16)), r.u64()
	t.Offer, t.Reason, t.Source, t.Offered = r.u8(), r.u8(), [16]byte(r.take(16)), r.u64()
	return t
}

// ParseMovePut decodes the arguments of MovePut.
func ParseMovePut(b []byte) (offset uint32, part []byte, err error) {
	r := reader{b: b}
	offset = r.u32()
	if r.bad {
		return 0, nil, errMessage
	}
	return offset, r.b, nil
}

// ParseMove decodes the arguments of Move.
func ParseMove(b []byte) (step MoveStep, vtpm UUID, err error) {
	r := reader{b: b}
	step, vtpm = MoveStep(r.u8()), UUID(r.take(16))
	if step < MoveRequest || step > MoveTargetAgain {
		return 0, vtpm, errMessage
	}
	return step, vtpm, r.done()
}
