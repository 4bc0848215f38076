package command

import (
	"bytes"
	"encoding/binary"
	"testing"

	"stubtpm/vtpm/tcg"
)

// TestStartAuthSessionCodes: what a session cannot be salted by or bound to
// (Part 3, 11.1.1).
func TestStartAuthSessionCodes(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	start := func(rc tcg.TPMRC, key, bind tcg.TPMHandle, nonce, salt int, sym tcg.TPMAlgID, mode tcg.TPMAlgID) {
		t.Helper()
		x.want(rc, tcg.TPMCCStartAuthSession, handles(key, bind), func(w *tcg.Writer) {
			w.Sized(make([]byte, nonce))
			w.Sized(make([]byte, salt))
			w.Uint8(uint8(tcg.TPMSEHMAC))
			w.Uint16(uint16(sym))
			if sym != tcg.TPMAlgNull {
				w.Uint16(128)
				w.Uint16(uint16(mode))
			}
			w.Uint16(uint16(tcg.TPMAlgSHA256))
		})
	}
	load := func(p tcg.TPMTPublic) tcg.TPMHandle {
		rc, h, _ := x.send(tcg.TPMCCLoadExternal, nil, func(w *tcg.Writer) {
			w.Sized(nil)
			p.Marshal2B(w)
			w.Uint32(uint32(tcg.TPMRHNull))
		})
		if rc != tcg.TPMRCSuccess {
			t.Fatalf("TPM2_LoadExternal: %#x", uint32(rc))
		}
		return h
	}
	rsa := tcg.TPMTPublic{Type: tcg.TPMAlgRSA, NameAlg: tcg.TPMAlgSHA256, ObjectAttributes: tcg.TPMAObjectDecrypt | tcg.TPMAObjectUserWithAuth}
	rsa.RSA.Symmetric, rsa.RSA.Scheme, rsa.RSA.KeyBits = noSym, noScheme, 2048
	rsa.UniqueRSA = append([]byte{0x80}, bytes.Repeat([]byte{1}, 255)...)
	public := load(rsa)
	null := tcg.TPMRHNull
	start(tcg.TPMRCHandle.H(1), public, null, 16, 256, tcg.TPMAlgNull, 0)
	start(tcg.TPMRCHandle.H(2), null, public, 16, 0, tcg.TPMAlgNull, 0)
	start(tcg.TPMRCSize.P(1), null, null, 15, 0, tcg.TPMAlgNull, 0)
	start(tcg.TPMRCSize.P(1), null, null, 33, 0, tcg.TPMAlgNull, 0)
	start(tcg.TPMRCValue.P(2), null, null, 16, 1, tcg.TPMAlgNull, 0)
	start(tcg.TPMRCMode.P(4), null, null, 16, 0, tcg.TPMAlgAES, tcg.TPMAlgCBC)
	signs, _, _ := x.eccKey(tcg.TPMAObjectSignEncrypt, noScheme, noSym)
	start(tcg.TPMRCAttributes.H(1), signs, null, 16, 68, tcg.TPMAlgNull, 0)
	decrypts, _, _ := x.eccKey(tcg.TPMAObjectDecrypt, noScheme, noSym)
	start(tcg.TPMRCValue.P(2), decrypts, null, 16, 10, tcg.TPMAlgNull, 0)
	start(tcg.TPMRCSuccess, null, decrypts, 32, 0, tcg.TPMAlgAES, tcg.TPMAlgCFB)

	// An RSA key that is for another scheme takes no salt.
	_, h, _ := x.send(tcg.TPMCCCreatePrimary, handles(tcg.TPMRHNull), func(w *tcg.Writer) {
		p := rsa
		p.ObjectAttributes |= tcg.TPMAObjectSensitiveDataOrigin
		p.RSA.Scheme = tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgRSAES}
		p.UniqueRSA = nil
		w.Bytes([]byte{0, 4, 0, 0, 0, 0})
		p.Marshal2B(w)
		w.Sized(nil)
		w.Uint32(0)
	})
	start(tcg.TPMRCValue.H(1), h, null, 16, 256, tcg.TPMAlgNull, 0)
}

// TestFlushSessionByAnyKind: of a session's handle the first byte is ignored
// (Part 3, 28.4.1).
func TestFlushSessionByAnyKind(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	flush := func(rc tcg.TPMRC, h tcg.TPMHandle) {
		t.Helper()
		x.want(rc, tcg.TPMCCFlushContext, nil, func(w *tcg.Writer) { w.Uint32(uint32(h)) })
	}
	s := x.session(tcg.TPMSEPolicy)
	other := s&0x00FFFFFF | tcg.TPMHandle(tcg.TPMHTHMACSession)<<24
	flush(tcg.TPMRCSuccess, other)
	flush(tcg.TPMRCHandle.P(1), s)
	s = x.session(tcg.TPMSEPolicy)
	x.want(tcg.TPMRCSuccess, tcg.TPMCCContextSave, handles(s), nil)
	flush(tcg.TPMRCSuccess, other)
	flush(tcg.TPMRCHandle.P(1), s)
	flush(tcg.TPMRCHandle.P(1), 0x80000000)
}

// TestSessionArea: more sessions than a command may have are an area of the
// wrong size (Part 3, 5.5, items 3 and 4.3).
func TestSessionArea(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	clear := func(area []byte, size uint32) tcg.TPMRC {
		var w tcg.Writer
		w.Uint16(uint16(tcg.TPMSTSessions))
		w.Uint32(0)
		w.Uint32(uint32(tcg.TPMCCClear))
		w.Uint32(uint32(tcg.TPMRHPlatform))
		w.Uint32(size)
		w.Bytes(area)
		copy(w.B[2:], binary.BigEndian.AppendUint32(nil, uint32(len(w.B))))
		return tcg.TPMRC(binary.BigEndian.Uint32(d.Execute(0, w.B)[6:]))
	}
	password := append(binary.BigEndian.AppendUint32(nil, uint32(tcg.TPMRSPW)), 0, 0, 0, 0, 0)
	for _, c := range []struct {
		area []byte
		size uint32
		want tcg.TPMRC
	}{
		{bytes.Repeat(password, 4), 36, tcg.TPMRCAuthSize},
		{password, 8, tcg.TPMRCAuthSize},
		{password, 10, tcg.TPMRCAuthSize},
		{nil, 0, tcg.TPMRCAuthSize},
		{bytes.Repeat(password, 2), 18, tcg.TPMRCHandle.S(2)}, // a password for nothing
		{password, 9, tcg.TPMRCSuccess},
	} {
		if got := clear(c.area, c.size); got != c.want {
			t.Errorf("%d bytes of sessions, %d said: %#x, not %#x", len(c.area), c.size, uint32(got), uint32(c.want))
		}
	}
}
