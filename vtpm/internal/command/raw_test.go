package command

import (
	"encoding/binary"
	"testing"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
)

// A rawTPM sends commands that go-tpm has no types for. Every authorization is
// the empty password.
type rawTPM struct {
	t *testing.T
	d *engine.Device
}

// send returns the response code, and the handle and parameters of a response
// to a command that succeeded.
func (x rawTPM) send(cc tcg.TPMCC, handles []tcg.TPMHandle, params func(w *tcg.Writer)) (tcg.TPMRC, tcg.TPMHandle, tcg.Reader) {
	x.t.Helper()
	spec := tcg.CommandByCode(cc)
	if spec == nil || len(handles) != len(spec.Handles) {
		x.t.Fatalf("command %#x has not %d handles", cc, len(handles))
	}
	var w tcg.Writer
	tag := tcg.TPMSTNoSessions
	if spec.AuthCount() != 0 {
		tag = tcg.TPMSTSessions
	}
	w.Uint16(uint16(tag))
	w.Uint32(0)
	w.Uint32(uint32(cc))
	for _, h := range handles {
		w.Uint32(uint32(h))
	}
	if n := spec.AuthCount(); n != 0 {
		w.Uint32(uint32(9 * n))
		for range n {
			w.Uint32(uint32(tcg.TPMRSPW))
			w.Sized(nil)
			w.Uint8(0)
			w.Sized(nil)
		}
	}
	if params != nil {
		params(&w)
	}
	copy(w.B[2:], binary.BigEndian.AppendUint32(nil, uint32(len(w.B))))
	resp, err := execute(x.d, 0, w.B)
	if err != nil {
		x.t.Fatal(err)
	}
	r := tcg.NewReader(resp, nil)
	r.Uint16()
	r.Uint32()
	rc := tcg.TPMRC(r.Uint32())
	if rc != tcg.TPMRCSuccess {
		return rc, 0, r
	}
	var h tcg.TPMHandle
	if spec.ResponseHandle != nil {
		h = tcg.TPMHandle(r.Uint32())
	}
	if tag == tcg.TPMSTSessions {
		r = tcg.NewReader(r.Bytes(int(r.Uint32())), nil)
	}
	return rc, h, r
}

// want sends a command that has to be answered with rc.
func (x rawTPM) want(rc tcg.TPMRC, cc tcg.TPMCC, handles []tcg.TPMHandle, params func(w *tcg.Writer)) tcg.Reader {
	x.t.Helper()
	got, _, r := x.send(cc, handles, params)
	if got != rc {
		x.t.Fatalf("%s: %#x, not %#x", tcg.CommandByCode(cc).Name, uint32(got), uint32(rc))
	}
	return r
}

// eccKey makes a primary key on P-256 with these attributes, besides those of
// every key, and scheme. It is of the storage hierarchy.
func (x rawTPM) eccKey(attrs tcg.TPMAObject, scheme tcg.TPMTAsymScheme, sym tcg.TPMTSymDefObject) (tcg.TPMHandle, tcg.TPMTPublic, []byte) {
	x.t.Helper()
	rc, h, r := x.send(tcg.TPMCCCreatePrimary, []tcg.TPMHandle{tcg.TPMRHOwner}, func(w *tcg.Writer) {
		w.Sized([]byte{0, 0, 0, 0})
		p := tcg.TPMTPublic{
			Type: tcg.TPMAlgECC, NameAlg: tcg.TPMAlgSHA256,
			ObjectAttributes: attrs | tcg.TPMAObjectUserWithAuth | tcg.TPMAObjectSensitiveDataOrigin | tcg.TPMAObjectNoDA,
		}
		p.ECC.Symmetric, p.ECC.Scheme, p.ECC.CurveID = sym, scheme, tcg.TPMECCNistP256
		p.ECC.KDF.Scheme = tcg.TPMAlgNull
		p.Marshal2B(w)
		w.Sized(nil)
		w.Uint32(0)
	})
	if rc != tcg.TPMRCSuccess {
		x.t.Fatalf("CreatePrimary: %#x", uint32(rc))
	}
	var p tcg.TPMTPublic
	p.Unmarshal2B(&r)
	return h, p.Clone(), x.d.Object(h).Name
}

var (
	noScheme  = tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgNull}
	noSym     = tcg.TPMTSymDefObject{Algorithm: tcg.TPMAlgNull}
	aes128CFB = tcg.TPMTSymDefObject{Algorithm: tcg.TPMAlgAES, KeyBits: 128, Mode: tcg.TPMAlgCFB}
)

func handles(h ...tcg.TPMHandle) []tcg.TPMHandle { return h }

// capability asks for a list, and returns the reader at its first entry.
func (x rawTPM) capability(rc tcg.TPMRC, capability tcg.TPMCap, property, count uint32) (more bool, n int, r tcg.Reader) {
	x.t.Helper()
	r = x.want(rc, tcg.TPMCCGetCapability, nil, func(w *tcg.Writer) {
		w.Uint32(uint32(capability))
		w.Uint32(property)
		w.Uint32(count)
	})
	if rc == tcg.TPMRCSuccess {
		more = r.YesNo()
		if got := r.Uint32(); got != uint32(capability) {
			x.t.Fatalf("capability %#x, not %#x", got, uint32(capability))
		}
		n = int(r.Uint32())
	}
	return more, n, r
}
