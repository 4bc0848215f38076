package ledger

import "stubtpm/drivers/block"

// An Anchor gives access to two values in a hardware TPM that can only be extended: an
// extension by d replaces a value by SHA-256(value || d). Their initial values are
// arbitrary.
//
// After an extension that returned an error its outcome is unknown until the value is
// read. The ledger calls one method at a time.
type Anchor interface {
	// Value returns the value of an NV index of type TPM_NT_EXTEND (TPM 2.0
	// Part 1, 37.2.4), authenticated by the hardware TPM.
	Value() ([32]byte, error)

	// Extend extends the NV index. Each call wears the chip's NV memory.
	Extend(d [32]byte) error

	// Chain returns the value of a PCR that only a platform reset clears, and
	// a number that changes with each reset. Both are authenticated and are
	// read atomically.
	Chain() (value [32]byte, boot uint64, err error)

	// Link extends the PCR. If the TPM was reset since Chain was called it
	// fails and changes nothing.
	Link(d [32]byte) error
}

// Config configures a Store. Only Log is optional.
type Config struct {
	// Mode is the rollback protection mode of a new ledger. Open sets it if it
	// is stronger than the ledger's own mode, unless Keep is set.
	Mode Mode
	Keep bool

	Disk    block.Device
	Offset  int64 // of the ledger's area, which extends to the end of the disk
	Manager ID    // owner of the ledger
	Key     []byte
	Anchor  Anchor
	PCR     uint32 // index of the anchor's PCR
	Log     func(format string, args ...any)
}

// A Change is one item's part of a commit. A nil Body deletes the item; deleting an item
// that does not exist is no error.
type Change struct {
	ID   ID
	Body []byte // at most MaxBody bytes
}
