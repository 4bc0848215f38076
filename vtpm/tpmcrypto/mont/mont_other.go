//go:build !amd64

package mont

// Available tells that there is no such arithmetic for this processor.
func Available() bool { return false }

func montSquare(z, x, m *Nat, k uint64) { panic("mont: internal error: not available") }

func montMul(z, x, y, m *Nat, k uint64) { panic("mont: internal error: not available") }

func montDouble(z, m *Nat, bit uint64) { panic("mont: internal error: not available") }
