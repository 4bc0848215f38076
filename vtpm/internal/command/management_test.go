package command

import (
	"testing"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/pcr"
	"stubtpm/vtpm/tcg"
)

// TestAbsentCommands: a command that the device has not, or its profile has
// not, is unknown, and not in the list of commands.
func TestAbsentCommands(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	for code := engine.FirstCommand; code <= engine.LastCommand; code++ {
		spec := tcg.CommandByCode(code)
		if spec == nil || d.Implements(code) {
			continue
		}
		x.want(tcg.TPMRCCommandCode, code, make([]tcg.TPMHandle, len(spec.Handles)), nil)
	}
	r := x.want(tcg.TPMRCSuccess, tcg.TPMCCGetCapability, nil, func(w *tcg.Writer) {
		w.Uint32(uint32(tcg.TPMCapCommands))
		w.Uint32(0)
		w.Uint32(254)
	})
	r.Bytes(5)
	listed := 0
	for n := r.Uint32(); n > 0; n-- {
		const index = 0xFFFF
		if code := tcg.TPMCC(r.Uint32() & index); !d.Implements(code) {
			t.Errorf("%#x is listed", code)
		}
		listed++
	}
	for code := engine.FirstCommand; code <= engine.LastCommand; code++ {
		if d.Implements(code) {
			listed--
		}
	}
	if r.Err() != tcg.TPMRCSuccess || listed != 0 {
		t.Fatalf("%d commands too many are listed, %#x", listed, uint32(r.Err()))
	}
}

// TestNotLimited: a device that was given no secret of its firmware has no
// limited hierarchies, and must not take them for another.
func TestNotLimited(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	for _, h := range []tcg.TPMHandle{
		tcg.TPMRHFWOwner, tcg.TPMRHFWEndorsement, tcg.TPMRHFWPlatform, tcg.TPMRHFWNull,
		tcg.TPMRHSVNOwnerBase, tcg.TPMRHSVNEndorsementBase + 1, tcg.TPMRHSVNPlatformBase, tcg.TPMRHSVNNullBase,
	} {
		for _, c := range []struct {
			cc     tcg.TPMCC
			params func(w *tcg.Writer)
			at     int // 0: the handle, else the parameter
		}{
			{tcg.TPMCCCreatePrimary, nil, 0},
			{tcg.TPMCCCreateLoaded, nil, 0},
			{tcg.TPMCCLoadExternal, func(w *tcg.Writer) {
				w.Sized(nil)
				p := tcg.TPMTPublic{Type: tcg.TPMAlgKeyedHash, NameAlg: tcg.TPMAlgSHA256, ObjectAttributes: tcg.TPMAObjectUserWithAuth}
				p.KeyedHash.Scheme.Scheme = tcg.TPMAlgNull
				p.Marshal2B(w)
				w.Uint32(uint32(h))
			}, 3},
			{tcg.TPMCCHash, func(w *tcg.Writer) {
				w.Sized([]byte("data"))
				w.Uint16(uint16(tcg.TPMAlgSHA256))
				w.Uint32(uint32(h))
			}, 3},
		} {
			var hs []tcg.TPMHandle
			if len(tcg.CommandByCode(c.cc).Handles) == 1 {
				hs = handles(h)
			}
			rc, _, _ := x.send(c.cc, hs, c.params)
			place := func(rc tcg.TPMRC) tcg.TPMRC {
				if c.at == 0 {
					return rc.H(1)
				}
				return rc.P(c.at)
			}
			if rc != place(tcg.TPMRCValue) && rc != place(tcg.TPMRCHierarchy) {
				t.Errorf("%s with hierarchy %#x: %#x", tcg.CommandByCode(c.cc).Name, uint32(h), uint32(rc))
			}
		}
	}
}

// TestPCRAllocate: the banks change at the next reset, and not before.
func TestPCRAllocate(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	allocate := func(alg tcg.TPMAlgID, bits ...byte) func(w *tcg.Writer) {
		return func(w *tcg.Writer) {
			w.Uint32(1)
			w.Uint16(uint16(alg))
			w.Uint8(uint8(len(bits)))
			w.Bytes(bits)
		}
	}
	read := func() int {
		r := x.want(tcg.TPMRCSuccess, tcg.TPMCCPCRRead, nil, allocate(tcg.TPMAlgSHA256, 1, 0, 0))
		r.Uint32()
		var sel tcg.TPMLPCRSelection
		sel.Unmarshal(&r)
		return int(r.Uint32())
	}
	if read() != 1 {
		t.Fatal("no PCR 0 of SHA-256 to begin with")
	}
	r := x.want(tcg.TPMRCSuccess, tcg.TPMCCPCRAllocate, handles(tcg.TPMRHPlatform), allocate(tcg.TPMAlgSHA256, 0, 0, 0))
	if !r.YesNo() || r.Uint32() != pcr.Count {
		t.Fatal("the allocation was not made")
	}
	if read() != 1 {
		t.Fatal("the bank changed at once")
	}
	// TPM2_GetCapability tells what is, not what will be (Part 3, 30.2.1).
	banks := func() (all int) {
		_, n, r := x.capability(tcg.TPMRCSuccess, tcg.TPMCapPCRs, 0, 1)
		for range n {
			var s tcg.TPMSPCRSelection
			s.Unmarshal(&r)
			for p := range pcr.Count {
				if s.Hash == tcg.TPMAlgSHA256 && s.Has(p) {
					all++
				}
			}
		}
		return all
	}
	if n := banks(); n != pcr.Count {
		t.Fatalf("%d PCRs of SHA-256 are told before the reset", n)
	}
	d.Init()
	x.want(tcg.TPMRCSuccess, tcg.TPMCCStartup, nil, func(w *tcg.Writer) { w.Uint16(uint16(tcg.TPMSUClear)) })
	if read() != 0 {
		t.Fatal("the bank is still there after a reset")
	}
	if n := banks(); n != 0 {
		t.Fatalf("%d PCRs of SHA-256 are told after it", n)
	}
}
