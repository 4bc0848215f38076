package vtpm

import "stubtpm/vtpm/tcg"

// maxTransientObjects and maxPersistentObjects are limits on objects
// (TPM_PT_HR_TRANSIENT_MIN, TPM_PT_HR_PERSISTENT_MIN).
const (
	maxTransientObjects  = 16
	maxPersistentObjects = 64
)

// transientObjects are the loaded objects, by slot.
type transientObjects [maxTransientObjects]*object

// get returns the object with handle h, or nil.
func (t *transientObjects) get(h tcg.TPMHandle) *object {
	if i := int(h & 0x00FFFFFF); i < maxTransientObjects {
		return t[i]
	}
	return nil
}

// add puts o in a free slot and returns its handle.
//
//	TPM_RC_OBJECT_MEMORY  no slot is free
func (t *transientObjects) add(o *object) (tcg.TPMHandle, tcg.TPMRC) {
	for i := range t {
		if t[i] == nil {
			t[i] = o
			return tcg.TPMHandle(tcg.TPMHTTransient)<<24 | tcg.TPMHandle(i), tcg.TPMRCSuccess
		}
	}
	return 0, tcg.TPMRCObjectMemory
}

// room returns, before any work is done, what add will.
func (t *transientObjects) room() tcg.TPMRC {
	for _, o := range t {
		if o == nil {
			return tcg.TPMRCSuccess
		}
	}
	return tcg.TPMRCObjectMemory
}

// count returns how many objects are loaded.
func (t *transientObjects) count() (n uint32) {
	for _, o := range t {
		if o != nil {
			n++
		}
	}
	return n
}
