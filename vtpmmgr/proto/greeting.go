package proto

import "encoding/binary"

// A Greeting identifies a manager. The nonce belongs to this connection.
type Greeting struct {
	Version  uint16
	Manager  [16]byte
	Nonce    [32]byte
	Recovery [32]byte // HPKE public key (X25519) to which a group's key from escrow is sealed
	Audit    [32]byte // Ed25519 key that signs the audit log
	Admin    [32]byte // Ed25519 key of the administrator
	Counter  uint64   // of the hardware TPM; counts starts and restores
}

// Append appends the encoding.
func (g *Greeting) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, g.Version)
	b = append(b, g.Manager[:]...)
	b = append(b, g.Nonce[:]...)
	b = append(b, g.Recovery[:]...)
	b = append(b, g.Audit[:]...)
	b = append(b, g.Admin[:]...)
	return binary.BigEndian.AppendUint64(b, g.Counter)
}

func parseGreeting(b []byte) (g Greeting, err error) {
	r := reader{b: b}
	g.Version = r.u16()
	g.Manager = [16]byte(r.take(16))
	g.Nonce = [32]byte(r.take(32))
	g.Recovery = [32]byte(r.take(32))
	g.Audit = [32]byte(r.take(32))
	g.Admin = [32]byte(r.take(32))
	g.Counter = r.u64()
	return g, r.done()
}
