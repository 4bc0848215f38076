package vtpm

import (
	"bytes"
	"encoding/binary"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// A sequence is a hash, HMAC or event that is computed over several commands
// (Part 1, "Hash, MAC, and Event Sequences"). Exactly one kind is in use.
type sequence struct {
	auth []byte

	hash  hasher       // of a hash or MAC sequence
	alg   tcg.TPMAlgID // of the digest that hash makes
	mac   bool         // hash is an HMAC or CMAC
	cmac  tcg.TPMAlgID // cipher, if it is a CMAC
	key   []byte       // of a CMAC: its state does not have it
	event []eventHash  // of an event sequence, one for each bank

	// first has the first bytes: a digest of data that begins like a TPM
	// structure gets no ticket.
	first []byte
}

type eventHash struct {
	alg tcg.TPMAlgID
	h   hasher
}

// A hasher is what tpmcrypto's hashes, HMACs and CMACs have in common.
type hasher interface {
	Write([]byte) (int, error)
	Sum([]byte) []byte
}

func (s *sequence) write(b []byte) {
	if s.first == nil {
		s.first = binary.BigEndian.AppendUint32(nil, uint32(tcg.TPMGeneratedValue)) // as unsafe as too few bytes
		if len(b) >= 4 {
			s.first = bytes.Clone(b[:4])
		}
	}
	if s.hash != nil {
		s.hash.Write(b)
	}
	for _, e := range s.event {
		e.h.Write(b)
	}
}

// looksGenerated reports whether b begins with TPM_GENERATED_VALUE: such data
// only the TPM itself may sign with a restricted key.
func looksGenerated(b []byte) bool {
	return len(b) >= 4 && tcg.TPMGenerated(binary.BigEndian.Uint32(b)) == tcg.TPMGeneratedValue
}

// safe reports whether the data seen allows a ticket: known to be no TPM
// structure. A first buffer of fewer than four bytes leaves that open (Part 3,
// 17.8.1).
func (s *sequence) safe() bool { return len(s.first) >= 4 && !looksGenerated(s.first) }

func (d *Device) newEventSequence(auth []byte) *sequence {
	s := &sequence{auth: bytes.Clone(auth), alg: tcg.TPMAlgNull}
	banks := d.vol.pcrs.Banks()
	for i := range banks {
		alg := banks[i].Alg()
		s.event = append(s.event, eventHash{alg, newHash(alg)})
	}
	return s
}

func (s *sequence) encode(w *tcg.Writer) {
	w.Sized(padAuth(s.auth, tcg.MaxDigestSize)) // the size of a context must not tell its length
	w.Uint16(uint16(s.alg))
	w.Flags(s.hash != nil, s.mac, s.cmac != 0)
	w.Sized(s.first)
	if s.hash != nil {
		switch h := s.hash.(type) {
		case *tpmcrypto.CMAC:
			w.Uint16(uint16(s.cmac))
			w.Sized(s.key)
			w.Sized(h.Save())
		case *tpmcrypto.HMAC:
			b, err := h.Save()
			must(err)
			w.Sized(b)
		default:
			w.Sized(saveHash(h))
		}
	}
	w.Uint8(uint8(len(s.event)))
	for _, e := range s.event {
		w.Uint16(uint16(e.alg))
		w.Sized(saveHash(e.h))
	}
}

func decodeSequence(r *tcg.Reader) *sequence {
	s := new(sequence)
	s.auth = bytes.Clone(tcg.TrimAuth(r.Sized(maxBlob)))
	s.alg = tcg.TPMAlgID(r.Uint16())
	var hasHash, isCMAC bool
	r.Flags(&hasHash, &s.mac, &isCMAC)
	if s.first = bytes.Clone(r.Sized(4)); len(s.first) == 0 {
		s.first = nil
	}
	var err error
	if hasHash {
		switch {
		case isCMAC:
			s.cmac = tcg.TPMAlgID(r.Uint16())
			s.key = bytes.Clone(r.Sized(maxBlob))
			s.hash, err = tpmcrypto.RestoreCMAC(s.cmac, s.key, r.Sized(maxBlob))
		case s.mac:
			s.hash, err = tpmcrypto.RestoreHMAC(s.alg, r.Sized(maxBlob))
		default:
			s.hash, err = tpmcrypto.RestoreHash(s.alg, r.Sized(maxBlob))
		}
	}
	for n := r.Uint8(); n > 0 && err == nil && r.Err() == tcg.TPMRCSuccess; n-- {
		e := eventHash{alg: tcg.TPMAlgID(r.Uint16())}
		e.h, err = tpmcrypto.RestoreHash(e.alg, r.Sized(maxBlob))
		s.event = append(s.event, e)
	}
	if err != nil {
		r.Fail(tcg.TPMRCIntegrity)
	}
	return s
}
