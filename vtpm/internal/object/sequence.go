package object

import (
	"bytes"
	"encoding/binary"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// A Sequence is a hash, HMAC, event or signature that is computed over several
// commands (Part 1, "Hash, MAC, Event, and Signature Sequences"). Exactly one kind is
// in use.
type Sequence struct {
	Auth []byte

	Hash  tpmcrypto.Running // of a hash, MAC or signature sequence
	Alg   tcg.TPMAlgID      // of the digest that hash makes
	MAC   bool              // hash is an HMAC or CMAC
	Cmac  tcg.TPMAlgID      // cipher, if it is a CMAC
	Key   []byte            // of a CMAC: its state does not have it
	Event []EventHash       // of an event sequence, one for each bank

	Signature *Signature // of a signature sequence

	// first has the first bytes: a digest of data that begins like a TPM
	// structure gets no ticket.
	first []byte
}

// An EventHash is the part of an event sequence for one PCR bank.
type EventHash struct {
	Alg tcg.TPMAlgID
	H   tpmcrypto.Running
}

// Write adds b to the data of the sequence.
func (s *Sequence) Write(b []byte) {
	if s.Signature != nil {
		s.Signature.write(s, b)
	} else if s.first == nil {
		s.first = binary.BigEndian.AppendUint32(nil, uint32(tcg.TPMGeneratedValue)) // as unsafe as too few bytes
		if len(b) >= 4 {
			s.first = bytes.Clone(b[:4])
		}
	}
	if s.Hash != nil {
		s.Hash.Write(b)
	}
	for _, e := range s.Event {
		e.H.Write(b)
	}
}

// LooksGenerated reports whether b begins with TPM_GENERATED_VALUE: such data
// only the TPM itself may sign with a restricted key.
func LooksGenerated(b []byte) bool {
	return len(b) >= 4 && tcg.TPMGenerated(binary.BigEndian.Uint32(b)) == tcg.TPMGeneratedValue
}

// Safe reports whether the data seen allows a ticket: known to be no TPM
// structure. A first buffer of fewer than four bytes leaves that open (Part 3,
// 17.8.1), but not for a signature, which comes without a ticket.
func (s *Sequence) Safe() bool {
	return (len(s.first) >= 4 || s.Signature != nil) && !LooksGenerated(s.first)
}

// Wipe overwrites the secrets of s.
func (s *Sequence) Wipe() {
	tpmcrypto.Zero(s.Auth)
	tpmcrypto.Zero(s.Key)
	tpmcrypto.Zero(s.first)
	if m, ok := s.Hash.(*tpmcrypto.HMAC); ok {
		m.Zero()
	}
	if s.Signature != nil && s.Signature.Ticket != nil {
		s.Signature.Ticket.Zero()
	}
}

// Fork returns a copy that shares nothing with s, for a computation that may fail.
func (s *Sequence) Fork() *Sequence {
	var w tcg.Writer
	s.Encode(&w)
	defer func() { tpmcrypto.Zero(w.B) }()
	r := tcg.NewReader(w.B, nil)
	return DecodeSequence(&r)
}

// Encode writes s as a context and a volatile state have it.
func (s *Sequence) Encode(w *tcg.Writer) {
	w.Sized(tcg.PadAuth(s.Auth, tcg.MaxDigestSize)) // the size of a context must not tell its length
	w.Uint16(uint16(s.Alg))
	w.Flags(s.Hash != nil, s.MAC, s.Cmac != 0, s.Signature != nil)
	w.Sized(s.first)
	if s.Signature != nil {
		s.Signature.encode(w)
	}
	if s.Hash != nil {
		switch h := s.Hash.(type) {
		case *tpmcrypto.Mu:
			b, err := h.Save()
			tpmcrypto.Must(err)
			w.Sized(b)
		case *tpmcrypto.CMAC:
			w.Uint16(uint16(s.Cmac))
			w.Sized(s.Key)
			w.Sized(h.Save())
		case *tpmcrypto.HMAC:
			b, err := h.Save()
			tpmcrypto.Must(err)
			w.Sized(b)
		default:
			w.Sized(tpmcrypto.MustSave(h))
		}
	}
	w.Uint8(uint8(len(s.Event)))
	for _, e := range s.Event {
		w.Uint16(uint16(e.Alg))
		w.Sized(tpmcrypto.MustSave(e.H))
	}
}

// DecodeSequence reads what Encode wrote.
func DecodeSequence(r *tcg.Reader) *Sequence {
	s := new(Sequence)
	s.Auth = bytes.Clone(tcg.TrimAuth(r.Sized(tcg.MaxStored)))
	s.Alg = tcg.TPMAlgID(r.Uint16())
	var hasHash, isCMAC, isSignature bool
	r.Flags(&hasHash, &s.MAC, &isCMAC, &isSignature)
	if s.first = bytes.Clone(r.Sized(4)); len(s.first) == 0 {
		s.first = nil
	}
	var err error
	if isSignature {
		if s.Signature, err = decodeSignature(r); !hasHash {
			err = tpmcrypto.ErrState
		}
	}
	if hasHash && err == nil {
		switch {
		case isSignature && s.Signature.Scheme == tcg.TPMAlgMLDSA:
			s.Hash, err = tpmcrypto.RestoreMu(r.Sized(tcg.MaxStored))
		case isCMAC:
			s.Cmac = tcg.TPMAlgID(r.Uint16())
			s.Key = bytes.Clone(r.Sized(tcg.MaxStored))
			s.Hash, err = tpmcrypto.RestoreCMAC(s.Cmac, s.Key, r.Sized(tcg.MaxStored))
		case s.MAC:
			s.Hash, err = tpmcrypto.RestoreHMAC(s.Alg, r.Sized(tcg.MaxStored))
		default:
			s.Hash, err = tpmcrypto.RestoreHash(s.Alg, r.Sized(tcg.MaxStored))
		}
	}
	for n := r.Uint8(); n > 0 && err == nil && r.Err() == tcg.TPMRCSuccess; n-- {
		e := EventHash{Alg: tcg.TPMAlgID(r.Uint16())}
		e.H, err = tpmcrypto.RestoreHash(e.Alg, r.Sized(tcg.MaxStored))
		s.Event = append(s.Event, e)
	}
	if err != nil {
		r.Fail(tcg.TPMRCIntegrity)
	}
	return s
}
