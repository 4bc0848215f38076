package hvm

import (
	"slices"
	"testing"

	"stubtpm/drivers/xen/abi"
)

// raise does what Xen does to raise an event (two-level ABI), and reports
// whether it interrupts.
func raise(s *abi.SharedInfo, port uint32) bool {
	w, bit := port/64, uint64(1)<<(port%64)
	if s.EvtchnPend[w]&bit != 0 {
		return false
	}
	s.EvtchnPend[w] |= bit
	v := &s.Vcpu[0]
	if s.EvtchnMask[w]&bit != 0 || v.PendingSel&(1<<w) != 0 {
		return false
	}
	v.PendingSel |= 1 << w
	if v.UpcallPending != 0 {
		return false
	}
	v.UpcallPending = 1
	return true
}

func newUpcall(timer uint32, open ...uint32) (*Upcall, *abi.SharedInfo) {
	u, s := &Upcall{}, &abi.SharedInfo{}
	u.Init(s, timer)
	for _, p := range open {
		u.unmask(p)
	}
	return u, s
}

func taken(u *Upcall) []uint32 {
	var ports []uint32
	u.take(func(p uint32) { ports = append(ports, p) })
	return ports
}

func TestUpcall(t *testing.T) {
	t.Parallel()
	u, s := newUpcall(3, 2, 5, 70, 4095)
	for _, p := range []uint32{2, 5, 70, 4095, 9} {
		raise(s, p)
	}
	if timer, others := u.Handle(); timer || !others {
		t.Fatalf("Handle: timer %v, others %v", timer, others)
	}
	if got := taken(u); !slices.Equal(got, []uint32{2, 5, 70, 4095}) {
		t.Errorf("took %v; 9 is masked", got)
	}
	if got := taken(u); got != nil {
		t.Errorf("took %v twice", got)
	}
}

// TestUpcallTimer: the timer shares its word with others, and is no event for
// take.
func TestUpcallTimer(t *testing.T) {
	t.Parallel()
	u, s := newUpcall(3, 2)
	for range 3 {
		if !raise(s, 3) {
			t.Fatal("the timer does not interrupt again")
		}
		if timer, others := u.Handle(); !timer || others {
			t.Fatalf("Handle: timer %v, others %v", timer, others)
		}
	}
	raise(s, 2)
	raise(s, 3)
	if timer, others := u.Handle(); !timer || !others {
		t.Fatalf("Handle: timer %v, others %v", timer, others)
	}
	if got := taken(u); !slices.Equal(got, []uint32{2}) {
		t.Errorf("took %v", got)
	}
}

// TestUpcallBetween: events that come between interrupt and delivery, and
// during it, are not lost.
func TestUpcallBetween(t *testing.T) {
	t.Parallel()
	u, s := newUpcall(3, 2, 5)
	raise(s, 2)
	u.Handle()
	if !raise(s, 5) {
		t.Error("an event after Handle does not interrupt")
	}
	var got []uint32
	u.take(func(p uint32) {
		got = append(got, p)
		if len(got) == 1 {
			raise(s, 2) // again, while it is delivered
		}
	})
	if !slices.Equal(got, []uint32{2, 5}) {
		t.Errorf("took %v", got)
	}
	if _, others := u.Handle(); !others {
		t.Error("the event during delivery is lost")
	}
	if got := taken(u); !slices.Equal(got, []uint32{2}) {
		t.Errorf("then took %v", got)
	}
}

func TestGrantTable(t *testing.T) {
	t.Parallel()
	var g grantTable
	if _, ok := g.take(); ok {
		t.Error("took an entry of an empty table")
	}
	entries := make([]uint64, 2*abi.GrantsPerFrame)
	g.grow(entries[:abi.GrantsPerFrame])
	seen := map[uint32]bool{}
	for range abi.GrantsPerFrame - abi.GrantReserved {
		ref, ok := g.take()
		if !ok || ref < abi.GrantReserved || seen[uint32(ref)] {
			t.Fatalf("took %d, %v", ref, ok)
		}
		seen[uint32(ref)] = true
	}
	if _, ok := g.take(); ok {
		t.Error("took more than there are")
	}
	g.grow(entries)
	ref, ok := g.take()
	if !ok || ref != abi.GrantsPerFrame {
		t.Fatalf("took %d, %v after growing", ref, ok)
	}
	g.grant(ref, 7, 0x1234)
	if got, want := entries[ref], uint64(0x1234)<<32|7<<16|1; got != want {
		t.Errorf("entry %#x, want %#x", got, want)
	}
	entries[ref] |= abi.GrantReading
	if g.end(ref) {
		t.Error("revoked a grant in use")
	}
	if entries[ref]&abi.GrantPermitAccess == 0 {
		t.Error("changed a grant in use")
	}
	entries[ref] &^= abi.GrantReading
	if !g.end(ref) || entries[ref] != 0 {
		t.Errorf("entry %#x after its end", entries[ref])
	}
	if again, _ := g.take(); again != ref {
		t.Errorf("took %d, not the one given back", again)
	}
}
