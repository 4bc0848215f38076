// Package pcr is a TPM's Platform Configuration Registers (TPM 2.0 Library, Part
// 1, "Platform Configuration Registers (PCR)"), with the attributes that the PC
// Client Platform TPM Profile gives them.
//
// No value is safe for concurrent use.
package pcr

import (
	"bytes"
	"errors"
	"slices"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// A Bank has the PCRs of one hash algorithm.
type Bank struct {
	alg    tcg.TPMAlgID
	size   int
	exists uint32 // PCRs allocated, one bit each
	values [Count][tcg.MaxDigestSize]byte
}

// Alg returns the bank's algorithm.
func (b *Bank) Alg() tcg.TPMAlgID { return b.alg }

// Has reports whether PCR n is allocated.
func (b *Bank) Has(n int) bool { return n < Count && b.exists&(1<<n) != 0 }

// Value returns PCR n, which the caller must not change.
func (b *Bank) Value(n int) []byte { return b.values[n][:b.size] }

// A State is the PCRs of a TPM that is powered.
type State struct {
	banks   []Bank
	counter *uint32 // PCR update counter
	before  []was   // PCRs that were changed since Mark, oldest first
}

// A was is a PCR before it was changed. Its bank may be of an allocation that
// was replaced since.
type was struct {
	bank  *Bank
	n     int
	value [tcg.MaxDigestSize]byte
}

// New returns a state without PCRs. Changes are counted in counter.
func New(counter *uint32) State { return State{counter: counter} }

// Mark makes Undo go back to now.
func (s *State) Mark() { s.before = s.before[:0] }

// Undo makes each PCR what it was at the last Mark, in the allocation that it was
// of then.
func (s *State) Undo() {
	for _, b := range slices.Backward(s.before) {
		b.bank.values[b.n] = b.value
	}
	s.before = s.before[:0]
}

// edit returns PCR n of b to be changed.
func (s *State) edit(b *Bank, n int) []byte {
	s.before = append(s.before, was{b, n, b.values[n]})
	return b.values[n][:b.size]
}

// changed counts a change of PCR n.
func (s *State) changed(n int) {
	if Counted(n) {
		*s.counter++
	}
}

// Touch counts a change though no PCR changes, so that no policy session which
// saw the PCRs can be used any more.
func (s *State) Touch() { *s.counter++ }

// Banks returns the banks, which the caller must not change.
func (s *State) Banks() []Bank { return s.banks }

// Bank returns the bank of an algorithm, or nil.
func (s *State) Bank(alg tcg.TPMAlgID) *Bank {
	for i := range s.banks {
		if b := &s.banks[i]; b.alg == alg {
			return b
		}
	}
	return nil
}

// Extend extends PCR n of one bank (Part 1, "Extend of a PCR"); one that is not
// allocated stays as it is. The PCR update counter counts each bank (Part 3,
// 22.1).
func (s *State) Extend(alg tcg.TPMAlgID, n int, v []byte) {
	b := s.Bank(alg)
	if b == nil || !b.Has(n) {
		return
	}
	tpmcrypto.Sum(s.edit(b, n)[:0], alg, b.Value(n), v)
	s.changed(n)
}

// Set sets PCR n of every bank to all zeros or all ones. That counts as a change,
// so that a policy session that saw the old value cannot be used with the new one
// (Part 1, 16.7.7.6).
func (s *State) Set(n int, fill byte) {
	for i := range s.banks {
		b := &s.banks[i]
		copy(s.edit(b, n), bytes.Repeat([]byte{fill}, b.size))
	}
	s.changed(n)
}

// SetLast sets the last byte of PCR n of every bank, in which the start value of
// PCR 0 has the locality (Part 1, "H-CRTM before TPM2_Startup() and
// TPM2_Startup() without H-CRTM").
func (s *State) SetLast(n int, v byte) {
	for i := range s.banks {
		b := &s.banks[i]
		s.edit(b, n)[b.size-1] = v
	}
}

// Allocate makes the banks of an allocation, all PCRs zero.
func (s *State) Allocate(allocation []tcg.TPMSPCRSelection) {
	s.banks = nil
	for _, a := range allocation {
		b := Bank{alg: a.Hash, size: tpmcrypto.DigestSize(a.Hash)}
		for i, bits := range a.PCRSelect {
			b.exists |= uint32(bits) << (8 * i)
		}
		b.exists &= 1<<Count - 1
		if b.exists != 0 {
			s.banks = append(s.banks, b)
		}
	}
}

// Startup sets the PCRs at TPM2_Startup, from a locality. With saved, those that
// TPM2_Shutdown(STATE) kept come back. After an H-CRTM, PCR 0 has been set.
func (s *State) Startup(saved [][]byte, resume, hcrtm bool, locality byte) {
	for n := range Count {
		switch {
		case resume && Saved(n): // restored below
		case n == HCRTM && hcrtm:
		case IsDRTM(n):
			s.Set(n, 0xFF)
		default:
			s.Set(n, 0)
		}
	}
	if resume {
		s.restore(saved)
	} else if !hcrtm {
		s.SetLast(HCRTM, locality)
	}
}

// Save returns the PCRs that TPM2_Shutdown(STATE) keeps.
func (s *State) Save() [][]byte {
	var saved [][]byte
	for i := range s.banks {
		for n := range Count {
			if Saved(n) {
				saved = append(saved, bytes.Clone(s.banks[i].Value(n)))
			}
		}
	}
	return saved
}

func (s *State) restore(saved [][]byte) {
	for i := range s.banks {
		for n := range Count {
			if Saved(n) && len(saved) > 0 {
				copy(s.edit(&s.banks[i], n), saved[0])
				saved = saved[1:]
			}
		}
	}
}

// Filter returns a selection without the PCRs that are not there, as TPM2_PCR_Read
// and TPM2_Quote report it.
func (s *State) Filter(sel *tcg.TPMLPCRSelection) (out tcg.TPMLPCRSelection) {
	for _, one := range sel.All() {
		b := s.Bank(one.Hash)
		for n := range Count {
			if b == nil || !b.Has(n) {
				one.Clear(n)
			}
		}
		out.Append(one)
	}
	return out
}

// Digest returns the digest over the selected PCRs, in the order of the selection
// and of rising number (Part 1, "PCR Digest"). sel must come from Filter.
func (s *State) Digest(alg tcg.TPMAlgID, sel *tcg.TPMLPCRSelection) []byte {
	h := tpmcrypto.NewHash(alg)
	for i := range sel.All() {
		one := sel.At(i)
		b := s.Bank(one.Hash)
		for n := range Count {
			if one.Has(n) {
				h.Write(b.Value(n))
			}
		}
	}
	return h.Sum(nil)
}

// Encode appends the banks.
func (s *State) Encode(w *tcg.Writer) {
	w.Uint16(uint16(len(s.banks)))
	for i := range s.banks {
		b := &s.banks[i]
		w.Uint16(uint16(b.alg))
		w.Uint32(b.exists)
		for n := range Count {
			w.Bytes(b.Value(n))
		}
	}
}

// errBank is returned by Decode.
var errBank = errors.New("a PCR bank of an unknown algorithm")

// Decode replaces the banks by what Encode appended.
func (s *State) Decode(r *tcg.Reader) error {
	s.banks = nil
	for range r.Uint16() {
		b := Bank{alg: tcg.TPMAlgID(r.Uint16()), exists: r.Uint32()}
		if b.size = tpmcrypto.DigestSize(b.alg); b.size == 0 {
			return errBank
		}
		for n := range Count {
			copy(b.values[n][:], r.Bytes(b.size))
		}
		s.banks = append(s.banks, b)
	}
	return nil
}
