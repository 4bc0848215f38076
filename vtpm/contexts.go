package vtpm

import "stubtpm/vtpm/tcg"

// loadedSessions are the sessions in the TPM's memory, by slot.
type loadedSessions [maxActiveSessions]*session

// get returns the loaded session with handle h, or nil.
func (l *loadedSessions) get(h tcg.TPMHandle) *session {
	i := slotOf(h)
	if i >= maxActiveSessions {
		return nil
	}
	if s := l[i]; s != nil && s.handle == h {
		return s
	}
	return nil
}

// count returns how many sessions are loaded.
func (l *loadedSessions) count() int {
	n := 0
	for _, s := range l {
		if s != nil {
			n++
		}
	}
	return n
}

// A contextArray has for each slot whether a session has it, and whether that is
// loaded or saved (Part 1, "Session Context"). The zero value is of a TPM Reset.
type contextArray struct {
	counter uint64
	slots   [maxActiveSessions]uint64 // counter of a saved session, plus slotLoaded
}

// slotFree and slotLoaded are values of a slot; a larger one is of a saved session.
const (
	slotFree   = 0
	slotLoaded = 1
)

// contextGap is how far the counter of the oldest saved session may lie
// behind the newest (TPM_PT_CONTEXT_GAP_MAX: 2^16-1, as libtpms).
const contextGap = 0xFFFF

// slotOf returns the slot of a session's handle.
func slotOf(h tcg.TPMHandle) int { return int(h & 0x00FFFFFF) }

// used reports whether a slot is that of a loaded or saved session.
func (c *contextArray) used(slot int) bool {
	return slot < maxActiveSessions && c.slots[slot] != slotFree
}

// saved returns the sequence number of the session that is saved in a slot, or 0.
func (c *contextArray) saved(slot int) uint64 {
	if !c.used(slot) || c.slots[slot] == slotLoaded {
		return 0
	}
	return c.slots[slot]
}

// free returns a slot without a session; ok is false if there is none.
func (c *contextArray) free() (slot int, ok bool) {
	for i, n := range c.slots {
		if n == slotFree {
			return i, true
		}
	}
	return 0, false
}

// load records that the session of a slot is loaded.
func (c *contextArray) load(slot int) { c.slots[slot] = slotLoaded }

// save records that the session of a slot was saved, and returns its sequence
// number.
//
//	TPM_RC_CONTEXT_GAP  the oldest saved session is too old
func (c *contextArray) save(slot int) (uint64, tcg.TPMRC) {
	oldest := uint64(0)
	for _, n := range c.slots {
		if n > slotLoaded && (oldest == 0 || n < oldest) {
			oldest = n
		}
	}
	if oldest != 0 && c.counter+slotLoaded-oldest >= contextGap {
		return 0, tcg.TPMRCContextGap
	}
	c.counter++
	c.slots[slot] = c.counter + slotLoaded
	return c.slots[slot], tcg.TPMRCSuccess
}

// release makes a slot free.
func (c *contextArray) release(slot int) { c.slots[slot] = slotFree }

// startup gives up the sessions that were loaded when power went: only saved ones
// outlive it.
func (c *contextArray) startup() {
	for i, n := range c.slots {
		if n == slotLoaded {
			c.slots[i] = slotFree
		}
	}
}

// active returns how many sessions are loaded or saved.
func (c *contextArray) active() (n uint32) {
	for _, s := range c.slots {
		if s != slotFree {
			n++
		}
	}
	return n
}

func (c *contextArray) encode(w *tcg.Writer) {
	w.Uint64(c.counter)
	for _, n := range c.slots {
		w.Uint64(n)
	}
}

func (c *contextArray) decode(r *tcg.Reader) {
	c.counter = r.Uint64()
	for i := range c.slots {
		c.slots[i] = r.Uint64()
	}
}
