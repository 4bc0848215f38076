package nv

import (
	"bytes"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// A Space is all NV indices.
type Space struct {
	Indices map[tcg.TPMHandle]*Index

	// MaxCounter is the largest value that a deleted counter had, at which a new one
	// starts, so that no counter goes back.
	MaxCounter uint64
}

// NewSpace returns NV memory without an index.
func NewSpace() Space { return Space{Indices: map[tcg.TPMHandle]*Index{}} }

// Used returns how many bytes of NV memory the indices and a number of persistent
// objects take, by a rule that does not depend on the encoding of the state.
func (s *Space) Used(objects int) int {
	n := 0
	for _, x := range s.Indices {
		n += Overhead + int(x.Public.DataSize) + len(x.Public.AuthPolicy) + len(x.Auth)
	}
	return n + objects*PersistentSize
}

const (
	Overhead       = 64   // bytes an index takes besides its data
	PersistentSize = 1500 // bytes a persistent object takes at most
)

// Define adds an index, beside a number of persistent objects. It keeps auth.
//
//	TPM_RC_NV_DEFINED  the index exists
//	TPM_RC_NV_SPACE    no room
func (s *Space) Define(p tcg.TPMSNVPublic, auth []byte, objects int) tcg.TPMRC {
	if s.Indices[p.NVIndex] != nil {
		return tcg.TPMRCNVDefined
	}
	size := Overhead + int(p.DataSize) + len(p.AuthPolicy) + len(auth)
	if len(s.Indices) >= MaxIndices || s.Used(objects)+size > MaxBytes {
		return tcg.TPMRCNVSpace
	}
	p.AuthPolicy = bytes.Clone(p.AuthPolicy)
	x := &Index{Public: p, Auth: auth, Data: make([]byte, p.DataSize)}
	x.blank()
	s.Indices[p.NVIndex] = x
	return tcg.TPMRCSuccess
}

// Remove deletes an index. A deleted counter leaves its value in MaxCounter.
func (s *Space) Remove(h tcg.TPMHandle) {
	x := s.Indices[h]
	if x.Kind() == tcg.TPMNTCounter && x.Written() {
		s.MaxCounter = max(s.MaxCounter, x.Number())
	}
	tpmcrypto.Zero(x.Auth)
	tpmcrypto.Zero(x.Data)
	delete(s.Indices, h)
}

// ClearOwner is the part of TPM2_Clear: indices that the platform did not make go.
func (s *Space) ClearOwner() {
	for h, x := range s.Indices {
		if !x.Has(tcg.TPMANVPlatformCreate) {
			s.Remove(h)
		}
	}
}

// Startup sets the indices at TPM2_Startup (Part 3, 9.3).
func (s *Space) Startup(resume, reset, orderly bool) {
	for _, x := range s.Indices {
		a := x.Public.Attributes
		counter := a.NT() == tcg.TPMNTCounter
		if a&tcg.TPMANVOrderly != 0 {
			x.Data = append(x.Data[:0], x.Saved...)
			if counter && !orderly {
				// The value may have been counted up to the next save.
				x.SetNumber(x.Number() | OrderlyCount)
			}
		}
		if !counter && (!resume && a&tcg.TPMANVClearSTClear != 0 || reset && a&tcg.TPMANVOrderly != 0) {
			a &^= tcg.TPMANVWritten
			x.blank()
		}
		if !resume {
			a &^= tcg.TPMANVReadLocked
			if a&tcg.TPMANVWritten == 0 || a&tcg.TPMANVWriteDefine == 0 {
				a &^= tcg.TPMANVWriteLocked
			}
		}
		if a != x.Public.Attributes {
			x.SetAttributes(a)
		}
	}
}

// Shutdown keeps the data of orderly indices.
func (s *Space) Shutdown() {
	for _, x := range s.Indices {
		if x.Has(tcg.TPMANVOrderly) {
			x.Saved = append(x.Saved[:0], x.Data...)
		}
	}
}
