package command

import (
	"bytes"
	"encoding/binary"
	"testing"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
)

// cycle is what the TPM is told at the end of a power cycle and at the start of
// the next one. The response code is that of the start.
func (x rawTPM) cycle(shutdown, startup []byte, locality uint8) tcg.TPMRC {
	x.t.Helper()
	if shutdown != nil {
		if r := x.d.Execute(0, shutdown); !ok(r) {
			x.t.Fatalf("TPM2_Shutdown: %x", r)
		}
	}
	x.d.Init()
	return tcg.TPMRC(binary.BigEndian.Uint32(x.d.Execute(locality, startup)[6:]))
}

func (x rawTPM) define(h tcg.TPMHandle, size uint16, attrs tcg.TPMANV) {
	x.t.Helper()
	x.want(tcg.TPMRCSuccess, tcg.TPMCCNVDefineSpace, handles(tcg.TPMRHOwner), func(w *tcg.Writer) {
		w.Sized(nil)
		p := tcg.TPMSNVPublic{NVIndex: h, NameAlg: tcg.TPMAlgSHA256, DataSize: size,
			Attributes: attrs | tcg.TPMANVOwnerWrite | tcg.TPMANVOwnerRead | tcg.TPMANVNoDA}
		p.Marshal2B(w)
	})
}

func (x rawTPM) write(rc tcg.TPMRC, h tcg.TPMHandle, data []byte) {
	x.t.Helper()
	x.want(rc, tcg.TPMCCNVWrite, handles(tcg.TPMRHOwner, h), func(w *tcg.Writer) { w.Sized(data); w.Uint16(0) })
}

func (x rawTPM) read(rc tcg.TPMRC, h tcg.TPMHandle, size uint16) []byte {
	x.t.Helper()
	r := x.want(rc, tcg.TPMCCNVRead, handles(tcg.TPMRHOwner, h), func(w *tcg.Writer) { w.Uint16(size); w.Uint16(0) })
	if rc != tcg.TPMRCSuccess {
		return nil
	}
	return bytes.Clone(r.Sized(int(size)))
}

// TestResumePlatform: every TPM2_Startup enables the platform hierarchy (Part 3,
// 9.3).
func TestResumePlatform(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	disable := func(h tcg.TPMHandle) {
		x.want(tcg.TPMRCSuccess, tcg.TPMCCHierarchyControl, handles(tcg.TPMRHPlatform), func(w *tcg.Writer) {
			w.Uint32(uint32(h))
			w.YesNo(false)
		})
	}
	disable(tcg.TPMRHOwner)
	disable(tcg.TPMRHPlatform)
	x.want(tcg.TPMRCHierarchy.H(1), tcg.TPMCCClear, handles(tcg.TPMRHPlatform), nil)
	if rc := x.cycle(shutdownState, startupState, 0); rc != tcg.TPMRCSuccess {
		t.Fatalf("TPM2_Startup(STATE): %#x", uint32(rc))
	}
	if d.Clear.Hierarchies.OwnerEnable {
		t.Error("a resume enables the storage hierarchy")
	}
	x.want(tcg.TPMRCSuccess, tcg.TPMCCClear, handles(tcg.TPMRHPlatform), nil)
}

// TestResumeMethod: a resume has to come as the start before it came (Part 3,
// 9.3, TPM_RC_LOCALITY).
func TestResumeMethod(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	want := func(got, rc tcg.TPMRC) {
		t.Helper()
		if got != rc {
			t.Fatalf("TPM2_Startup: %#x, not %#x", uint32(got), uint32(rc))
		}
	}
	want(x.cycle(shutdownState, startupState, 3), tcg.TPMRCLocality)
	want(x.cycle(nil, startupState, 0), tcg.TPMRCSuccess) // nothing was lost by that
	want(x.cycle(shutdownState, startupClear, 3), tcg.TPMRCSuccess)
	want(x.cycle(shutdownState, startupState, 0), tcg.TPMRCLocality)
	want(x.cycle(nil, startupState, 3), tcg.TPMRCSuccess)
	d.Execute(0, shutdownState)
	d.Init()
	d.HashStart()
	d.HashData([]byte("an H-CRTM"))
	d.HashEnd()
	want(tcg.TPMRC(binary.BigEndian.Uint32(d.Execute(3, startupState)[6:])), tcg.TPMRCLocality)
	want(tcg.TPMRC(binary.BigEndian.Uint32(d.Execute(3, startupClear)[6:])), tcg.TPMRCSuccess)
}

// TestAllocateThenState: a new allocation of PCRs, and a new set of algorithms,
// need a start that clears (Part 3, 22.5 and 26.3).
func TestAllocateThenState(t *testing.T) {
	t.Parallel()
	d, s, _ := newTestDevice(t)
	x := rawTPM{t, d}
	x.want(tcg.TPMRCSuccess, tcg.TPMCCPCRAllocate, handles(tcg.TPMRHPlatform), func(w *tcg.Writer) { w.Uint32(0) })
	shutdown := func(rc tcg.TPMRC) {
		t.Helper()
		x.want(rc, tcg.TPMCCShutdown, nil, func(w *tcg.Writer) { w.Uint16(uint16(tcg.TPMSUState)) })
	}
	shutdown(tcg.TPMRCType.P(1))
	if rc := x.cycle(shutdownClear, startupClear, 0); rc != tcg.TPMRCSuccess {
		t.Fatalf("%#x", uint32(rc))
	}
	shutdown(tcg.TPMRCSuccess)
	x.want(tcg.TPMRCSuccess, tcg.TPMCCSetAlgorithmSet, handles(tcg.TPMRHPlatform), func(w *tcg.Writer) { w.Uint32(0) })
	shutdown(tcg.TPMRCSuccess)
	d, err := Load(engine.Config{Store: s}, s.state)
	if err != nil {
		t.Fatal(err)
	}
	x.d = d
	if rc := x.cycle(nil, startupState, 0); rc != tcg.TPMRCValue.P(1) {
		t.Fatalf("TPM2_Startup(STATE): %#x", uint32(rc))
	}
	for _, startup := range [][]byte{startupClear, startupState} {
		if rc := x.cycle(nil, startup, 0); rc != tcg.TPMRCSuccess {
			t.Fatalf("%#x", uint32(rc))
		}
		shutdown(tcg.TPMRCSuccess)
	}
}

// TestIndicesAtStartup: what each kind of start leaves of what was written
// (Part 3, 9.3), and that no byte of it shows later.
func TestIndicesAtStartup(t *testing.T) {
	t.Parallel()
	const plain, orderly, stclear, locked = 0x01800001, 0x01800002, 0x01800003, 0x01800004
	for _, c := range []struct {
		name              string
		shutdown, startup []byte
		orderly, stclear  bool // still written
	}{
		{"resume", shutdownState, startupState, true, true},
		{"restart", shutdownState, startupClear, true, false},
		{"reset", shutdownClear, startupClear, false, false},
		{"disorderly reset", nil, startupClear, false, false},
	} {
		d, _, _ := newTestDevice(t)
		x := rawTPM{t, d}
		x.define(plain, 8, 0)
		x.define(orderly, 8, tcg.TPMANVOrderly)
		x.define(stclear, 8, tcg.TPMANVClearSTClear)
		x.define(locked, 8, tcg.TPMANVOrderly|tcg.TPMANVWriteDefine)
		for _, h := range []tcg.TPMHandle{plain, orderly, stclear, locked} {
			x.write(tcg.TPMRCSuccess, h, []byte("contents"))
		}
		x.want(tcg.TPMRCSuccess, tcg.TPMCCNVWriteLock, handles(tcg.TPMRHOwner, locked), nil)
		if rc := x.cycle(c.shutdown, c.startup, 0); rc != tcg.TPMRCSuccess {
			t.Fatalf("%s: %#x", c.name, uint32(rc))
		}
		x.read(tcg.TPMRCSuccess, plain, 8)
		for h, written := range map[tcg.TPMHandle]bool{orderly: c.orderly, stclear: c.stclear, locked: c.orderly} {
			rc := tcg.TPMRCSuccess
			if !written {
				rc = tcg.TPMRCNVUninitialized
			}
			x.read(rc, h, 8)
			if h == locked && written {
				x.write(tcg.TPMRCNVLocked, h, []byte("C"))
				continue
			}
			x.write(tcg.TPMRCSuccess, h, []byte("C"))
			want := append([]byte("C"), bytes.Repeat([]byte{0xFF}, 7)...)
			if written {
				want = []byte("Contents")
			}
			if got := x.read(tcg.TPMRCSuccess, h, 8); !bytes.Equal(got, want) {
				t.Errorf("%s: index %#x has %q, not %q", c.name, uint32(h), got, want)
			}
		}
	}
}
