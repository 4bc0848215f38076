package hwtpm

import (
	"bytes"
	"slices"

	"github.com/google/go-tpm/tpm2/transport"
)

// Lend runs f with the TPM to itself and nothing loaded, after the commits that wait
// now. Like all uses it may run f twice, so f must be harmless to repeat; f must leave
// nothing loaded.
func (t *TPM) Lend(what string, f func(bus transport.TPM) error) error {
	t.mu.lockLater()
	defer t.mu.Unlock()
	return t.twice(what, func() error {
		t.drop()
		return f(t.bus)
	})
}

// PCRs are those to which the root key is sealed.
func (r *Record) PCRs() []uint { return slices.Clone(r.seals[0].pcrs) }

// StorageName is the Name of the TPM's storage key.
func (r *Record) StorageName() []byte { return bytes.Clone(r.srkName) }
