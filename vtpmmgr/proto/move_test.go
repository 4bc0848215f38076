package proto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

// TestMovePieces: messages and answers that are larger than a message of the ring come over
// whole.
func TestMovePieces(t *testing.T) {
	for _, size := range []int{0, 1, MaxSize - HeaderSize - 4, MaxSize, 3 * MaxSize} {
		message := bytes.Repeat([]byte{1, 2, 3}, size/3+1)[:size]
		var given []byte
		c := &Client{Transact: func(b []byte) ([]byte, error) {
			_, o, body, err := Parse(b)
			if err != nil || len(b) > MaxSize {
				t.Fatalf("%d bytes, %v", len(b), err)
			}
			switch Ordinal(o) {
			case MovePut:
				offset, part, err := ParseMovePut(body)
				if err != nil || int(offset) != 0 && int(offset) != len(given) {
					t.Fatalf("offset %d, %v", offset, err)
				}
				given = append(given[:offset], part...)
				return Message(TagResponse, 0, nil), nil
			case Move:
				step, u, err := ParseMove(body)
				if err != nil || step != MoveGive || u != (UUID{5}) {
					t.Fatalf("%d, %v, %v", step, u, err)
				}
				return Message(TagResponse, 0, EncodePiece(given, 0)), nil
			}
			return Message(TagResponse, 0, EncodePiece(given, binary.BigEndian.Uint32(body))), nil
		}}
		if out, err := c.Move(MoveGive, UUID{5}, message); err != nil || !bytes.Equal(out, message) {
			t.Errorf("%d bytes: %d came back, %v", size, len(out), err)
		}
	}
}

// TestMoveError: the reason of a refusal comes over.
func TestMoveError(t *testing.T) {
	for _, body := range [][]byte{nil, {9}, {1, 2}} {
		c := &Client{Transact: func(b []byte) ([]byte, error) {
			if _, o, _, _ := Parse(b); Ordinal(o) == MovePut {
				return Message(TagResponse, 0, nil), nil
			}
			return Message(TagResponse, uint32(MoveRefused), body), nil
		}}
		_, err := c.Move(MoveGive, UUID{}, nil)
		var e MoveError
		if is := errors.As(err, &e); !errors.Is(err, MoveRefused) || is != (len(body) == 1) || is && e != 9 {
			t.Errorf("%x: %v", body, err)
		}
	}
}

func FuzzTransfer(f *testing.F) {
	f.Add((&Transfer{UUID: UUID{1}, Group: 2, Phase: 3, Damaged: true, Peer: [16]byte{4}, Since: 5, Offer: 2, Reason: 24, Offered: 6}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := reader{b: b}
		v := r.transfer()
		if r.done() == nil && b[21] < 2 && !bytes.Equal(v.Append(nil), b) {
			t.Fatalf("%x does not come back", b)
		}
		ParseMove(b)
		ParseMovePut(b)
	})
}

// TestCommitFrozen: a manager that does not know of it is told what it knows.
func TestCommitFrozen(t *testing.T) {
	var urgencies []Urgency
	c := &Client{Transact: func(b []byte) ([]byte, error) {
		urgencies = append(urgencies, Urgency(b[len(b)-1]))
		code := OK
		if b[len(b)-1] > byte(Urgent) {
			code = BadMessage
		}
		return Message(TagResponse, uint32(code), nil), nil
	}}
	if err := c.CommitFrozen(&State{}); err != nil || len(urgencies) != 2 || urgencies[1] != Urgent {
		t.Errorf("%v, %v", urgencies, err)
	}
}
