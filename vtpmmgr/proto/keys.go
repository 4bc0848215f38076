package proto

import "encoding/binary"

// A KeyRole is the role of one of the manager's keys.
type KeyRole uint8

// Roles of the keys that SetKey replaces.
const (
	AdminKey KeyRole = 1 // signs orders
	HostKey  KeyRole = 2 // signs Measured and Created
)

// A NewKey replaces one of the manager's keys. The order is signed by the current
// administrator; Proof is the new key's signature of SignedProof.
type NewKey struct {
	Role  KeyRole
	Key   [32]byte // Ed25519
	Proof [64]byte
}

// SignedProof returns what a new key signs to prove possession.
func SignedProof(manager [16]byte, role KeyRole, key [32]byte) []byte {
	b := append([]byte("stubtpm new key\x00"), manager[:]...)
	return append(append(b, byte(role)), key[:]...)
}

// Append appends the encoding.
func (k *NewKey) Append(b []byte) []byte {
	b = append(append(b, byte(k.Role)), k.Key[:]...)
	return append(b, k.Proof[:]...)
}

// ParseNewKey decodes a NewKey.
func ParseNewKey(b []byte) (k NewKey, err error) {
	r := reader{b: b}
	k.Role = KeyRole(r.u8())
	k.Key, k.Proof = [32]byte(r.take(32)), [64]byte(r.take(64))
	if k.Role != AdminKey && k.Role != HostKey {
		return k, errMessage
	}
	return k, r.done()
}

// A Recovery replaces the administrator's key on behalf of the operator, after it was lost
// or compromised. The order is signed by the new key; Signature is the operator's (ECDSA
// P-256 with SHA-256, r and s) of SignedRecovery.
type Recovery struct {
	Key       [32]byte // Ed25519
	Signature [64]byte
}

// SignedRecovery returns what the operator signs. It names the manager, both keys, and how
// often the administrator's key was replaced before (admin-number of STATUS), so that it is
// valid for this change only, and once.
func SignedRecovery(manager [16]byte, old [32]byte, number uint64, key [32]byte) []byte {
	b := append([]byte("stubtpm recover administrator 2\x00"), manager[:]...)
	b = binary.BigEndian.AppendUint64(append(b, old[:]...), number)
	return append(b, key[:]...)
}

// Append appends the encoding.
func (r *Recovery) Append(b []byte) []byte { return append(append(b, r.Key[:]...), r.Signature[:]...) }

// ParseRecovery decodes a Recovery.
func ParseRecovery(b []byte) (v Recovery, err error) {
	r := reader{b: b}
	v.Key, v.Signature = [32]byte(r.take(32)), [64]byte(r.take(64))
	return v, r.done()
}
