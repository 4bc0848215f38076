package doorbell

import (
	"math/rand/v2"
	"os"

	"testing"
	"time"

	"stubtpm/drivers/crb"
	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/abi"
)

// TestAbusedArea has a guest write any words into its control area and buffer, and ring, while it is
// served: each ring is answered soon, and the TPM then answers. The environment variable ABUSE says for how long, 15s at
// most.
func TestAbusedArea(t *testing.T) {
	t.Parallel()
	duration := 2 * time.Second
	if testing.Short() {
		duration = 200 * time.Millisecond
	}
	if d, err := time.ParseDuration(os.Getenv("ABUSE")); err == nil {
		duration = d
	}
	w := newWorld(t)
	w.daemon(-1)
	w.toolstack()
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(time.Millisecond) {
		w.machine.mu.Lock()
		ran := w.machine.ran
		w.machine.mu.Unlock()
		if s, _ := w.Store.Get(linkDirectory(vtpmDom, guestID) + "/" + crb.NodeState); ran && s == "4" {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the guest does not run: %q", w.said())
		}
	}
	var pages []*xen.Page
	w.machine.mu.Lock()
	for i := range uint64(1 + crb.BufferPages) {
		pages = append(pages, w.machine.pages[crb.ControlFrame+i])
	}
	p := w.machine.server.page
	w.machine.mu.Unlock()
	longest, count := time.Duration(0), 0
	ring := func() {
		t.Helper()
		begin := time.Now()
		p.Store8(abi.IOReqType, abi.IOReqPIO)
		p.Store8(abi.IOReqState, abi.IOReqReady)
		w.ringAll()
		for p.Load8(abi.IOReqState)&abi.IOReqStateMask != abi.IOReqResponse {
			if time.Since(begin) > 10*time.Second {
				t.Fatalf("ring %d is not answered; state %d", count, p.Load8(abi.IOReqState))
			}
			time.Sleep(10 * time.Microsecond)
		}
		longest, count = max(longest, time.Since(begin)), count+1
		p.Store8(abi.IOReqState, 0)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 2))
	const start, cancel = 0x0C, 0x08
	cleared := 0
	for end := time.Now().Add(duration); time.Now().Before(end); {
		for range 20 {
			pages[1].Store32(4*random.IntN(1024), random.Uint32())
		}
		if random.IntN(2) == 0 {
			pages[1].CopyIn(0, []byte{0x80, byte(1 + random.IntN(2)), 0, 0, byte(random.IntN(64)), 12, 0, 0, 1, byte(random.Uint32()), 0, 8})
		}
		pages[0].Store32(4*random.IntN(64), random.Uint32())
		pages[0].Store32(cancel, random.Uint32N(2))
		if pages[0].Load32(start)&1 == 0 {
			cleared++
		}
		pages[0].Store32(start, []uint32{1, 1, 1, 0, 0xFFFFFFFF, random.Uint32()}[random.IntN(6)])
		ring()
	}
	// As ringabuse: the guest clears the area, maybe while a command is under way, and rings
	// once for its own.
	for round := range 20 {
		crb.Clear(pages[0])
		begin := time.Now()
		pages[1].CopyIn(0, []byte{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7B, 0, 8})
		pages[0].Store32(start, 1)
		ring()
		for pages[0].Load32(start)&1 != 0 {
			if time.Since(begin) > 5*time.Second {
				t.Fatalf("round %d: the command of one ring does not end", round)
			}
			time.Sleep(100 * time.Microsecond)
		}
		// Leave one under way for the next round.
		pages[1].CopyIn(0, []byte{0x80, 1, 0, 0, 0, 11, 0, 0, 1, 0x43, 1}) // TPM2_SelfTest
		pages[0].Store32(start, 1)
		w.ringAll()
	}
	t.Logf("%d rings, the longest %v; START was cleared %d times", count, longest, cleared)
}
