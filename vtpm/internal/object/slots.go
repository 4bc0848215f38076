package object

import (
	"stubtpm/vtpm/tcg"
)

// MaxTransient and MaxPersistentObjects are limits on objects
// (TPM_PT_HR_TRANSIENT_MIN, TPM_PT_HR_PERSISTENT_MIN).
const (
	MaxTransient         = 16
	MaxPersistentObjects = 64
)

// Slots are the loaded objects, by slot.
type Slots [MaxTransient]*Object

// Get returns the object with handle h, or nil.
func (t *Slots) Get(h tcg.TPMHandle) *Object {
	if i := int(h & 0x00FFFFFF); i < MaxTransient {
		return t[i]
	}
	return nil
}

// Add puts o in a free slot and returns its handle.
//
//	TPM_RC_OBJECT_MEMORY  no slot is free
func (t *Slots) Add(o *Object) (tcg.TPMHandle, tcg.TPMRC) {
	for i := range t {
		if t[i] == nil {
			t[i] = o
			return tcg.TPMHandle(tcg.TPMHTTransient)<<24 | tcg.TPMHandle(i), tcg.TPMRCSuccess
		}
	}
	return 0, tcg.TPMRCObjectMemory
}

// Room returns, before any work is done, what add will.
func (t *Slots) Room() tcg.TPMRC {
	for _, o := range t {
		if o == nil {
			return tcg.TPMRCSuccess
		}
	}
	return tcg.TPMRCObjectMemory
}

// Count returns how many objects are loaded.
func (t *Slots) Count() (n uint32) {
	for _, o := range t {
		if o != nil {
			n++
		}
	}
	return n
}
