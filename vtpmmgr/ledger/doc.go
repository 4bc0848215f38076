// Package ledger keeps many small items, sealed, on an untrusted disk, and ties
// them to a value in a hardware TPM that can only go forward: an old copy of the
// disk, whole or in part, is refused.
//
// Changes are transactions. After a loss of power at any moment the ledger is that
// of the last acknowledged commit, or of the commit that was under way. The amount
// that a commit writes does not depend on the number of items. Damage of the disk
// in one place affects at most one item, which is then named.
//
// Structure on the disk (docs/ledger-format.md has the format and the reasons):
//
//	root    names up to 123 leaves by their hashes    2 slots of 2 copies
//	leaf    names 168 items by their hashes           2 slots
//	item    body of up to 428 bytes, sealed           2 slots
//
// A commit writes the slots that the current root does not need, and is anchored
// in one of three ways, chosen by the Mode:
//
//	checkpoint   the NV index is extended by the root's hash
//	link         a PCR is extended by the root's hash (budget mode)
//	deferred     a later checkpoint covers it (bounded mode)
//
// Format makes a ledger, Open opens it, Restore opens an old copy by order of its
// owner. The package depends on no TPM and no protocol, and runs on any system.
package ledger
