package doorbell

import (
	"testing"
	"time"

	"stubtpm/drivers/xen/abi"
	"stubtpm/drivers/xen/xentest"
)

// TestReadRate: a guest that reads the doorbell's port all the time, or does what is no
// access to a port, is slowed as one that rings, and each access is answered.
func TestReadRate(t *testing.T) {
	t.Parallel()
	for name, access := range map[string]struct{ kind, flags byte }{
		"read":         {abi.IOReqPIO, abi.IOReqRead},
		"other access": {abi.IOReqPIO + 1, 0},
	} {
		w := &world{Host: xentest.NewHost(), t: t, machine: &machine{}}
		w.dom0, w.guest = w.domain(0), w.domain(guestID)
		server, err := w.openServer()
		if err != nil {
			t.Fatal(err)
		}
		b, err := hang(w.dom0.Events, guestID, server, func(func()) { t.Error("it rang") })
		if err != nil {
			t.Fatal(err)
		}
		state := func() byte { // in turn with the bell's own accesses
			b.mu.Lock()
			defer b.mu.Unlock()
			return server.Page().Load8(abi.IOReqState) & abi.IOReqStateMask
		}
		begin := time.Now()
		const more = 100
		for i := range ringBurst + more {
			b.mu.Lock()
			server.Page().Store8(abi.IOReqType, access.kind)
			server.Page().Store8(abi.IOReqState, access.flags|abi.IOReqReady)
			b.mu.Unlock()
			b.answer(0)
			for start := time.Now(); state() != abi.IOReqResponse; time.Sleep(10 * time.Microsecond) {
				if time.Since(start) > 10*time.Second {
					t.Fatalf("%s %d is not answered", name, i)
				}
			}
		}
		if d := time.Since(begin); d < more*ringRest/2 {
			t.Errorf("%s: %d took %v", name, ringBurst+more, d)
		}
		b.close()
	}
}
