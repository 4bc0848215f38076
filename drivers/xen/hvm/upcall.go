package hvm

import (
	"math/bits"
	"sync/atomic"

	"stubtpm/drivers/xen/abi"
)

// An Upcall takes Xen's interrupts for events. Handle runs in the interrupt
// handler and only marks; Events.Deliver does the rest in a goroutine.
//
// Xen sets an event's bit in EvtchnPend; if it was clear and not masked, the bit
// of its word in PendingSel; if that was clear, UpcallPending, and interrupts.
// Each is therefore cleared before what lies below it is looked at, so that an
// event which comes meanwhile interrupts again.
type Upcall struct {
	info  *abi.SharedInfo
	timer uint32 // port of VIRQ_TIMER, which Handle serves itself
	words uint64 // words in which Handle saw events
}

// Init masks all events and sets the port of the timer, which is unmasked.
func (u *Upcall) Init(info *abi.SharedInfo, timer uint32) {
	u.info, u.timer = info, timer
	for i := range info.EvtchnMask {
		atomic.StoreUint64(&info.EvtchnMask[i], ^uint64(0))
	}
	u.unmask(timer)
}

// unmask clears a mask bit. An event that is pending already does not
// interrupt by it; EVTCHNOP_unmask makes it.
func (u *Upcall) unmask(port uint32) {
	atomic.AndUint64(&u.info.EvtchnMask[port/64], ^(uint64(1) << (port % 64)))
}

func (u *Upcall) mask(port uint32) {
	atomic.OrUint64(&u.info.EvtchnMask[port/64], 1<<(port%64))
}

// Clear forgets a port's event, for who polls it.
//
//go:nosplit
func (u *Upcall) Clear(port uint32) {
	atomic.AndUint64(&u.info.EvtchnPend[port/64], ^(uint64(1) << (port % 64)))
}

// Handle takes an interrupt. It reports whether the timer's event came, and
// whether others did, for which Deliver must run. It allocates nothing.
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

// take clears the pending events that are not masked and calls f for each.
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
