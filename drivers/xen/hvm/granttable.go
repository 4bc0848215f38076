package hvm

import (
	"sync/atomic"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/abi"
)

// A grantTable is this domain's table of version 1 grant entries
// (public/grant_table.h). Xen reads the entries and sets flags in them. A
// grantTable is not safe for concurrent use.
type grantTable struct {
	entries []uint64 // in frames shared with Xen
	next    uint32   // entries from here on were never used
	free    []xen.GrantRef
}

// grow replaces the entries after one more frame was mapped.
func (t *grantTable) grow(entries []uint64) {
	if t.next == 0 {
		t.next = abi.GrantReserved
	}
	t.entries = entries
}

// take returns an unused entry, if there is one.
func (t *grantTable) take() (ref xen.GrantRef, ok bool) {
	if n := len(t.free); n > 0 {
		ref = t.free[n-1]
		t.free = t.free[:n-1]
		return ref, true
	}
	if int(t.next) >= len(t.entries) {
		return 0, false
	}
	t.next++
	return xen.GrantRef(t.next - 1), true
}

// grant lets peer map a frame, read-write. The flags are written last, because
// they make the entry valid.
func (t *grantTable) grant(ref xen.GrantRef, peer xen.DomID, frame uint32) {
	e := uint64(peer)<<abi.GrantDomidShift | uint64(frame)<<abi.GrantFrameShift
	atomic.StoreUint64(&t.entries[ref], e)
	atomic.StoreUint64(&t.entries[ref], e|abi.GrantPermitAccess)
}

// end revokes a grant and reports whether it could: not while the peer maps the
// frame. Xen sets the flags for a mapping in the same word, so the two cannot
// happen at the same time.
func (t *grantTable) end(ref xen.GrantRef) bool {
	p := &t.entries[ref]
	for {
		e := atomic.LoadUint64(p)
		if e&(abi.GrantReading|abi.GrantWriting) != 0 {
			return false
		}
		if atomic.CompareAndSwapUint64(p, e, e&^abi.GrantFlagsMask) {
			atomic.StoreUint64(p, 0)
			t.free = append(t.free, ref)
			return true
		}
	}
}
