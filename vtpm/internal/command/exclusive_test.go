package command

import (
	"testing"

	"stubtpm/vtpm/tcg"
)

// startSession starts an HMAC session that is neither salted nor bound.
func (x rawTPM) startSession() tcg.TPMHandle {
	x.t.Helper()
	rc, h, _ := x.send(tcg.TPMCCStartAuthSession, handles(tcg.TPMRHNull, tcg.TPMRHNull), func(w *tcg.Writer) {
		w.Sized(make([]byte, 16))
		w.Sized(nil)
		w.Uint8(uint8(tcg.TPMSEHMAC))
		w.Uint16(uint16(tcg.TPMAlgNull))
		w.Uint16(uint16(tcg.TPMAlgSHA256))
	})
	if rc != tcg.TPMRCSuccess {
		x.t.Fatalf("StartAuthSession: %#x", uint32(rc))
	}
	return h
}

// A session stays exclusive over commands that take no sessions, its own
// TPM2_ContextSave and TPM2_ContextLoad among them; a new session of its
// handle does not begin so.
func TestExclusiveSaved(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	h := x.startSession()
	d.Vol.Exclusive = h
	rc, _, saved := x.send(tcg.TPMCCContextSave, handles(h), nil)
	if rc != tcg.TPMRCSuccess {
		t.Fatalf("ContextSave: %#x", uint32(rc))
	}
	if rc, _, _ = x.send(tcg.TPMCCContextLoad, nil, func(w *tcg.Writer) { w.Bytes(saved.Rest()) }); rc != tcg.TPMRCSuccess {
		t.Fatalf("ContextLoad: %#x", uint32(rc))
	}
	if d.Vol.Exclusive != h {
		t.Error("not exclusive after its context was saved and loaded")
	}
	x.want(tcg.TPMRCSuccess, tcg.TPMCCContextSave, handles(h), nil)
	x.want(tcg.TPMRCSuccess, tcg.TPMCCFlushContext, nil, func(w *tcg.Writer) { w.Uint32(uint32(h)) })
	if d.Vol.Exclusive != 0 || x.startSession() != h || d.Vol.Exclusive != 0 {
		t.Error("another session of its handle is exclusive")
	}
}
