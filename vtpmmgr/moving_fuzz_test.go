package vtpmmgr

import (
	"bytes"
	"strings"
	"testing"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
	"stubtpm/vtpmmgr/transfer"
)

func fullMoving() *moving {
	terms := transfer.Terms{VTPM: transfer.ID(testUUID), Move: transfer.ID{4}}
	return &moving{uuid: testUUID, epoch: 1, since: 2, offered: 3, root: &wrappedKey{1}, rules: transfer.Rules{Images: []transfer.Hash{{1}}},
		state: transfer.State{Phase: transfer.Received, Last: &terms, Record: &transfer.Record{VTPM: terms.VTPM, Sequence: 1, Group: "mail"},
			Offer: &transfer.Offered{Terms: terms, Key: []byte{1}}}}
}

// FuzzMoving: what is read of a vTPM's moves is written as it was.
func FuzzMoving(f *testing.F) {
	f.Add(fullMoving().encode())
	f.Add((&moving{uuid: testUUID}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, err := decodeMoving(testUUID, b); err == nil && !bytes.Equal(v.encode(), b) {
			t.Fatal("does not come back")
		}
	})
}

// TestLargestRecords: the largest record has room in an item, and the most that is kept of a
// vTPM's moves in its parts.
func TestLargestRecords(t *testing.T) {
	r := record{uuid: testUUID, away: transfer.Received, rooted: true, name: strings.Repeat("n", proto.MaxName), profile: strings.Repeat("p", proto.MaxProfile)}
	b := r.change().Body
	if len(b) > ledger.MaxBody {
		t.Errorf("a record of %d bytes, and an item has room for %d", len(b), ledger.MaxBody)
	}
	if got, err := decodeRecord(b); err != nil || got != r {
		t.Errorf("%+v, %v", got, err)
	}
	const state = 3 + 162 + 32 + 2 + 2048 + 512 + 2 + 2048 + 1 + 162 + 1 + 2 + 1024
	if most := 22 + wrappedSize + 2 + 648 + state; most > movingParts*movingPartSize {
		t.Errorf("%d bytes, and the parts have room for %d", most, movingParts*movingPartSize)
	}
}

// TestOldRecordsAreKept: a record that was never moved is written as before there were moves.
func TestOldRecordsAreKept(t *testing.T) {
	for _, c := range []struct {
		r       record
		version byte
	}{{record{}, 2}, {record{attested: true, measured: true}, 3}, {record{away: transfer.Sent}, 4}, {record{rooted: true}, 4}} {
		if b := c.r.change().Body; b[1] != c.version {
			t.Errorf("%+v has version %d, want %d", c.r, b[1], c.version)
		}
	}
}

// FuzzCourier: no bytes of a courier bring a manager down, or have a vTPM leave it.
func FuzzCourier(f *testing.F) {
	m, err := Initialize(Config{TPM: hardwareTPM(f), Disk: blocktest.NewMem(testDisk)}, testSetup())
	if err != nil {
		f.Fatal(err)
	}
	if err := enroll(connect(f, m, Peer{}), testUUID); err != nil {
		f.Fatal(err)
	}
	for step := range byte(6) {
		f.Add(step, []byte{1, 1, 2}, make([]byte, 4))
	}
	f.Fuzz(func(t *testing.T, step byte, message, get []byte) {
		s, err := m.Open(Peer{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for _, b := range [][]byte{
			proto.Message(proto.TagAdmin, uint32(proto.MovePut), append(make([]byte, 4), message...)),
			proto.Message(proto.TagAdmin, uint32(proto.Move), append([]byte{step}, testUUID[:]...)),
			proto.Message(proto.TagAdmin, uint32(proto.MoveGet), get),
		} {
			if tag, _, _, err := proto.Parse(s.Execute(b)); err != nil || tag != proto.TagResponse {
				t.Fatalf("answer: tag %#x, %v", tag, err)
			}
		}
		if m.records[testUUID].away != 0 {
			t.Fatal("it has left")
		}
	})
}
