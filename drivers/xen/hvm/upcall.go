package hvm

import (
	"math/bits"
	"sync/atomic"

	"stubtpm/drivers/xen/abi"
)

// An Upcall handles Xen's interrupts for events. Handle runs in the interrupt
// handler and only marks events; Events.Deliver does the rest in a goroutine.
//
// Xen sets an event's bit in EvtchnPend; if it was clear and is not masked, the bit
// of its word in PendingSel; and if that was clear, UpcallPending, and interrupts.
// Each level is therefore cleared before the level below is read, so that an event
// which arrives in between interrupts again.
type Upcall struct {
	info  *abi.SharedInfo
	timer uint32 // port of VIRQ_TIMER, which Handle clears itself
	words uint64 // bit set of the words in which Handle found events
}

// Init masks all events but that of the timer, and sets the timer's port; 0 for none.
func (u *Upcall) Init(info *abi.SharedInfo, timer uint32) {
	u.info, u.timer = info, timer
	for i := range info.EvtchnMask {
		atomic.StoreUint64(&info.EvtchnMask[i], ^uint64(0))
	}
	u.unmask(timer)
}

// unmask clears a mask bit. Unlike EVTCHNOP_unmask, it raises no interrupt for an
// event that is pending already.
func (u *Upcall) unmask(port uint32) {
	atomic.AndUint64(&u.info.EvtchnMask[port/64], ^(uint64(1) << (port % 64)))
}

// Clear clears a pending event of a port that is polled.
//
//go:nosplit
func (u *Upcall) Clear(port uint32) {
	atomic.AndUint64(&u.info.EvtchnPend[port/64], ^(uint64(1) << (port % 64)))
}

// Handle handles an interrupt. It reports whether the timer's event is among the
// pending ones, and whether others are, for which Events.Deliver must run. It does
// not allocate.
func (u *Upcall) Handle() (timer, others bool) {
	v := &u.info.Vcpu[0]
	atomic.StoreUint32(&v.UpcallPending, 0)
	sel := atomic.SwapUint64(&v.PendingSel, 0)
	if w := u.timer / 64; sel&(1<<w) != 0 {
		bit := uint64(1) << (u.timer % 64)
		timer = atomic.AndUint64(&u.info.EvtchnPend[w], ^bit)&bit != 0
		if atomic.LoadUint64(&u.info.EvtchnPend[w])&^atomic.LoadUint64(&u.info.EvtchnMask[w]) == 0 {
			sel &^= 1 << w
		}
	}
	atomic.OrUint64(&u.words, sel)
	return timer, sel != 0
}

// take clears the pending, unmasked events of the marked words and calls f for
// each.
func (u *Upcall) take(f func(port uint32)) {
	words := atomic.SwapUint64(&u.words, 0)
	for ; words != 0; words &= words - 1 {
		w := uint32(bits.TrailingZeros64(words))
		events := atomic.LoadUint64(&u.info.EvtchnPend[w]) &^ atomic.LoadUint64(&u.info.EvtchnMask[w])
		if w == u.timer/64 {
			events &^= 1 << (u.timer % 64)
		}
		atomic.AndUint64(&u.info.EvtchnPend[w], ^events)
		for ; events != 0; events &= events - 1 {
			f(w*64 + uint32(bits.TrailingZeros64(events)))
		}
	}
}

// Reset leaves the state as Xen made it for a new domain, except that all events are
// masked: no event is pending.
func (u *Upcall) Reset() {
	v := &u.info.Vcpu[0]
	for i := range u.info.EvtchnMask {
		atomic.StoreUint64(&u.info.EvtchnMask[i], ^uint64(0))
		atomic.StoreUint64(&u.info.EvtchnPend[i], 0)
	}
	atomic.StoreUint64(&v.PendingSel, 0)
	atomic.StoreUint32(&v.UpcallPending, 0)
}

// Unmasked fills ports with the ports that are not masked, and returns how many it found.
func (u *Upcall) Unmasked(ports []uint32) int {
	n := 0
	for i := range u.info.EvtchnMask {
		for open := ^atomic.LoadUint64(&u.info.EvtchnMask[i]); open != 0; open &= open - 1 {
			if port := uint32(i*64 + bits.TrailingZeros64(open)); port != 0 && n < len(ports) {
				ports[n] = port
				n++
			}
		}
	}
	return n
}
