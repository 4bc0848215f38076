package engine

import (
	"fmt"
	"slices"

	"stubtpm/vtpm/internal/nv"
	"stubtpm/vtpm/tcg"
)

// AskIndex and AnswerIndex are in no NV memory: they are made at _TPM_Init, where
// Config has Attest, and a new pair takes the place of the old one. So undo has only
// to go back to the old pair, and nothing of them is saved.

// isPair reports whether h is AskIndex or AnswerIndex.
func isPair(h tcg.TPMHandle) bool { return h == AskIndex || h == AnswerIndex }

// Index returns the NV index h, be it in NV memory or of the pair, or nil.
func (d *Device) Index(h tcg.TPMHandle) *nv.Index {
	switch h {
	case AskIndex:
		return d.Vol.Ask
	case AnswerIndex:
		return d.Vol.Answer
	}
	return d.Perm.NV.Indices[h]
}

// IndexHandles returns the handles of all NV indices, in no order.
func (d *Device) IndexHandles() []tcg.TPMHandle {
	var hs []tcg.TPMHandle
	for h := range d.Perm.NV.Indices {
		hs = append(hs, h)
	}
	if d.Vol.Ask != nil {
		hs = append(hs, AskIndex, AnswerIndex)
	}
	return hs
}

// noPair removes what a guest defined at the pair's indices with an earlier version.
func (d *Device) noPair() {
	for _, h := range []tcg.TPMHandle{AskIndex, AnswerIndex} {
		if d.Perm.NV.Indices[h] != nil {
			d.Cfg.Log("vtpm: NV index %#08x is removed: it is of the TPM's manufacturer", uint32(h))
			d.Perm.NV.Remove(h)
		}
	}
}

// Attest has Config.Attest answer a question about a key, and keeps both. Where it
// fails the earlier answer is dropped.
func (d *Device) Attest(ask []byte, key *tcg.TPMTPublic) error {
	d.Vol.Answer = nv.NewAnswer(AnswerIndex, nil)
	answer, err := d.Cfg.Attest(slices.Clone(ask), tcg.Marshal(key))
	if err == nil && (len(answer) == 0 || len(answer) > MaxAnswer) {
		err = fmt.Errorf("%d bytes, not 1 to %d", len(answer), MaxAnswer)
	}
	if err != nil {
		d.Cfg.Log("vtpm: evidence: %v", err)
		return err
	}
	d.Vol.Ask, d.Vol.Answer = nv.NewAsk(AskIndex, MaxAsk, ask), nv.NewAnswer(AnswerIndex, answer)
	return nil
}
