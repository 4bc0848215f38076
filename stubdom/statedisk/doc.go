// Package statedisk keeps a vTPM's state on a disk that is not trusted.
//
// The state is sealed with a key that the manager keeps, and saved into one of
// two slots: the slot of the last confirmed state is never written, so a power
// cut at any moment leaves that state whole.
//
//	Claim    makes the disk ready for the first state of a new TPM
//	Save     writes the slot that is not in use
//	Confirm  makes the saved state the current one, once the manager knows it
//	Load     finds the state that the manager knows
//
// docs/image-format.md has the format. The package has no build tag and runs
// anywhere.
package statedisk
