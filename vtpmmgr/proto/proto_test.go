package proto

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"slices"
	"testing"
)

func TestGrant(t *testing.T) {
	t.Parallel()
	g := Grant{Manufacture: true, Attested: true, UUID: UUID{1}, Epoch: 5, Ledger: 6, Entropy: [32]byte{4},
		State: State{Sequence: 1 << 63, Hash: [32]byte{2}, Key: [32]byte{3}, Floors: Floors{Clock: 7, ResetCount: 8, FailedTries: 9}}}
	b := g.Append(nil)
	if again, err := parseGrant(b); err != nil || again != g {
		t.Fatalf("%+v, %v", again, err)
	}
	for _, bad := range [][]byte{nil, b[1:], append(bytes.Clone(b), 0), append([]byte{8}, b[1:]...)} {
		if _, err := parseGrant(bad); err == nil {
			t.Errorf("%d bytes were taken", len(bad))
		}
	}
}

// TestClientRefuses gives a client answers that no manager sends.
func TestClientRefuses(t *testing.T) {
	t.Parallel()
	list := func(count uint32, body ...byte) []byte {
		return Message(TagResponse, 0, append([]byte{byte(count >> 24), byte(count >> 16), byte(count >> 8), byte(count)}, body...))
	}
	for name, answer := range map[string][]byte{
		"empty": nil, "short": {0x01, 0xC4, 0, 0, 0, 9, 0, 0, 0},
		"request": Message(TagRequest, 0, nil), "size": append(Message(TagResponse, 0, nil), 0),
		"endless list": list(5), "part of an entry": list(1, make([]byte, 50)...),
	} {
		c := Client{Transact: func(b []byte) ([]byte, error) { return answer, nil }, Key: testKey}
		c.greeting = &Greeting{}
		if _, err := c.List(); err == nil {
			t.Errorf("%s: List took it", name)
		}
		if _, err := c.Load(); err == nil {
			t.Errorf("%s: Load took it", name)
		}
		if _, err := c.Random(3); err == nil {
			t.Errorf("%s: Random took it", name)
		}
	}
	c := Client{Transact: func([]byte) ([]byte, error) { return Message(TagResponse, uint32(Busy), nil), nil }}
	if _, err := c.Load(); !errors.Is(err, Busy) {
		t.Errorf("status busy: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Message(TagRequest, uint32(Load), nil))
	f.Add(Message(TagResponse, 0, make([]byte, 121)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if tag, code, body, err := Parse(b); err == nil && !bytes.Equal(Message(tag, code, body), b) {
			t.Fatal("does not come back")
		}
		n := 0
		c := Client{Transact: func([]byte) ([]byte, error) {
			if n++; n > 2*listMax {
				t.Fatal("does not end")
			}
			return b, nil
		}, Key: testKey, greeting: &Greeting{}}
		c.Load()
		if len(b) < MaxSize {
			n = 0
			c.Status()
			c.Hello()
			c.List()
			c.Groups()
			c.Starts()
			c.Audit(ManagerLog, 0)
			c.Restore(nil)
		}
		for _, parse := range []func([]byte) ([]byte, error){
			again(ParseState), again(ParseEnrollment), again(ParseFloors), again(ParseApproval), again(ParseAuditEntry),
			again(ParseNewKey), again(ParseCreation), again(ParseRestoration), again(parseStart), again(ParseRecovery), again(parseGrant), again(parseGreeting),
		} {
			if out, err := parse(b); err == nil && !bytes.Equal(out, b) {
				t.Fatal("a field does not come back")
			}
		}
	})
}

var testKey = ed25519.NewKeyFromSeed(make([]byte, 32))

// again returns what a parser's result is encoded as.
func again[T any](parse func([]byte) (T, error)) func([]byte) ([]byte, error) {
	return func(b []byte) ([]byte, error) {
		v, err := parse(b)
		if err != nil {
			return nil, err
		}
		return any(&v).(interface{ Append([]byte) []byte }).Append(nil), nil
	}
}

// TestAuditChain alters a log in every way that there is.
func TestAuditChain(t *testing.T) {
	t.Parallel()
	var h AuditHead
	var log [][]byte
	for i := range uint64(5) {
		e := AuditEntry{Number: i, Previous: h.Hash, Event: "enroll"}
		b := e.Append(nil)
		log = append(log, b)
		h.Next, h.Hash = i+1, sha256.Sum256(b)
	}
	h.Signature = [64]byte(ed25519.Sign(testKey, h.SignedHead()))
	key := testKey.Public().(ed25519.PublicKey)
	for _, from := range []int{0, 1, 4} {
		if err := VerifyAudit(key, &h, log[from:]); err != nil {
			t.Errorf("from entry %d: %v", from, err)
		}
	}
	edited := slices.Clone(log)
	edited[2] = bytes.Clone(log[2])
	edited[2][len(edited[2])-1] ^= 1
	signed := h
	signed.Signature[0] ^= 1
	for name, bad := range map[string]struct {
		h   *AuditHead
		log [][]byte
	}{
		"edited": {&h, edited}, "cut at the end": {&h, log[:4]}, "without one": {&h, slices.Delete(slices.Clone(log), 2, 3)},
		"swapped": {&h, [][]byte{log[0], log[2], log[1], log[3], log[4]}}, "empty": {&h, nil}, "signature": {&signed, log},
	} {
		if err := VerifyAudit(key, bad.h, bad.log); !errors.Is(err, ErrAudit) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
