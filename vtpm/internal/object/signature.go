package object

import (
	"bytes"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// A Signature is what a sequence has besides that ends with a signature, or with the
// verification of one (Part 1, 29.4.5).
type Signature struct {
	Verify  bool
	Scheme  tcg.TPMAlgID
	Key     []byte // tells the key with which the sequence began from others
	Context []byte // that was given; at most 255 bytes

	// Ticket is the digest of TPM_ST_MESSAGE_VERIFIED so far, or nil for a
	// signature that gets none.
	Ticket *tpmcrypto.HMAC
}

// Prefix adds to the sequence what is hashed before the message, and is judged like
// it: a hash that begins like a TPM structure makes the whole unsafe.
func (s *Sequence) Prefix(b []byte) {
	if LooksGenerated(b) {
		s.first = bytes.Clone(b[:4])
	}
	s.Hash.Write(b)
}

// write is the part of Write that only signature sequences need: the first bytes of
// the message are known, in whatever pieces it comes, and the ticket covers it all.
func (g *Signature) write(s *Sequence, b []byte) {
	s.first = append(s.first, b[:min(len(b), 4-len(s.first))]...)
	if g.Ticket != nil {
		g.Ticket.Write(b)
	}
}

func (g *Signature) encode(w *tcg.Writer) {
	w.Flags(g.Verify, g.Ticket != nil)
	w.Uint16(uint16(g.Scheme))
	w.Sized(g.Key)
	w.Sized(g.Context)
	if g.Ticket != nil {
		b, err := g.Ticket.Save()
		tpmcrypto.Must(err)
		w.Sized(b)
		tpmcrypto.Zero(b)
	}
}

func decodeSignature(r *tcg.Reader) (*Signature, error) {
	g := new(Signature)
	var hasTicket bool
	r.Flags(&g.Verify, &hasTicket)
	g.Scheme = tcg.TPMAlgID(r.Uint16())
	g.Key = bytes.Clone(r.Sized(tcg.MaxDigestSize))
	g.Context = bytes.Clone(r.SignatureCtx())
	if !hasTicket {
		return g, nil
	}
	var err error
	g.Ticket, err = tpmcrypto.RestoreHMAC(tcg.TPMAlgSHA256, r.Sized(tcg.MaxStored))
	return g, err
}
