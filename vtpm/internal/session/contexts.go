package session

import (
	"stubtpm/vtpm/tcg"
)

// Loaded are the sessions in the TPM's memory, by slot.
type Loaded [MaxActive]*Session

// Get returns the loaded session with handle h, or nil.
func (l *Loaded) Get(h tcg.TPMHandle) *Session {
	i := Slot(h)
	if i >= MaxActive {
		return nil
	}
	if s := l[i]; s != nil && s.Handle == h {
		return s
	}
	return nil
}

// Count returns how many sessions are loaded.
func (l *Loaded) Count() int {
	n := 0
	for _, s := range l {
		if s != nil {
			n++
		}
	}
	return n
}

// Contexts has for each slot whether a session has it, and whether that is
// loaded or saved (Part 1, "Session Context"). The zero value is of a TPM Reset.
type Contexts struct {
	counter uint64
	slots   [MaxActive]uint64 // counter of a saved session, plus slotLoaded
}

// slotFree and slotLoaded are values of a slot; a larger one is of a saved session.
const (
	slotFree   = 0
	slotLoaded = 1
)

// ContextGap is how far the counter of the oldest saved session may lie
// behind the newest (TPM_PT_CONTEXT_GAP_MAX: 2^16-1, as libtpms).
const ContextGap = 0xFFFF

// Slot returns the slot of a session's handle.
func Slot(h tcg.TPMHandle) int { return int(h & 0x00FFFFFF) }

// Used reports whether a slot is that of a loaded or saved session.
func (c *Contexts) Used(slot int) bool {
	return slot < MaxActive && c.slots[slot] != slotFree
}

// Saved returns the sequence number of the session that is saved in a slot, or 0.
func (c *Contexts) Saved(slot int) uint64 {
	if !c.Used(slot) || c.slots[slot] == slotLoaded {
		return 0
	}
	return c.slots[slot]
}

// Free returns a slot without a session; ok is false if all are in use.
func (c *Contexts) Free() (slot int, ok bool) {
	for i, n := range c.slots {
		if n == slotFree {
			return i, true
		}
	}
	return 0, false
}

// Load records that the session of a slot is loaded.
func (c *Contexts) Load(slot int) { c.slots[slot] = slotLoaded }

// Save records that the session of a slot was saved, and returns its sequence
// number.
//
//	TPM_RC_CONTEXT_GAP  the oldest saved session is too old
func (c *Contexts) Save(slot int) (uint64, tcg.TPMRC) {
	oldest := uint64(0)
	for _, n := range c.slots {
		if n > slotLoaded && (oldest == 0 || n < oldest) {
			oldest = n
		}
	}
	if oldest != 0 && c.counter+slotLoaded-oldest >= ContextGap {
		return 0, tcg.TPMRCContextGap
	}
	c.counter++
	c.slots[slot] = c.counter + slotLoaded
	return c.slots[slot], tcg.TPMRCSuccess
}

// Release makes a slot free.
func (c *Contexts) Release(slot int) { c.slots[slot] = slotFree }

// Startup gives up the sessions that were loaded when power went: only saved ones
// outlive it.
func (c *Contexts) Startup() {
	for i, n := range c.slots {
		if n == slotLoaded {
			c.slots[i] = slotFree
		}
	}
}

// Active returns how many sessions are loaded or saved.
func (c *Contexts) Active() (n uint32) {
	for _, s := range c.slots {
		if s != slotFree {
			n++
		}
	}
	return n
}

// Encode writes c as a state has it.
func (c *Contexts) Encode(w *tcg.Writer) {
	w.Uint64(c.counter)
	for _, n := range c.slots {
		w.Uint64(n)
	}
}

// Decode reads what Encode wrote.
func (c *Contexts) Decode(r *tcg.Reader) {
	c.counter = r.Uint64()
	for i := range c.slots {
		c.slots[i] = r.Uint64()
	}
}
