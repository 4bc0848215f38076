package command

import (
	"testing"

	"stubtpm/vtpm/internal/timer"
	"stubtpm/vtpm/tcg"
)

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

// TestCapabilityRanges: lists of handles take handles (Part 3, 30.2.1 and its
// note 3), and what there is none of is an empty list.
func TestCapabilityRanges(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	for _, c := range []tcg.TPMCap{tcg.TPMCapAuthPolicies, tcg.TPMCapACT} {
		x.capability(tcg.TPMRCValue.P(2), c, 0, 1)
		x.capability(tcg.TPMRCValue.P(2), c, 0x81000000, 1)
	}
	if _, n, _ := x.capability(tcg.TPMRCSuccess, tcg.TPMCapACT, 0x40000000, 9); n != timer.Count {
		t.Errorf("%d timers, not %d", n, timer.Count)
	}
	if _, n, _ := x.capability(tcg.TPMRCSuccess, tcg.TPMCapACT, 0x40FFFFFF, 9); n != 0 {
		t.Errorf("%d timers after the last one", n)
	}
	for _, c := range []struct {
		capability tcg.TPMCap
		property   uint32
	}{
		{tcg.TPMCapHandles, uint32(tcg.TPMHTExternalNV) << 24},
		{tcg.TPMCapHandles, uint32(tcg.TPMHTPermanentNV) << 24},
		{tcg.TPMCapHandles, uint32(tcg.TPMHTAC) << 24},
		{tcg.TPMCapPubKeys, 0},
		{tcg.TPMCapSPDMSessionInfo, 0},
	} {
		more, n, r := x.capability(tcg.TPMRCSuccess, c.capability, c.property, 100)
		if more || n != 0 || r.Len() != 0 {
			t.Errorf("capability %#x, property %#x: more %v, %d entries, %d bytes", uint32(c.capability), c.property, more, n, r.Len())
		}
	}
	x.capability(tcg.TPMRCHandle.P(2), tcg.TPMCapHandles, 0x7F000000, 1)
	x.capability(tcg.TPMRCValue.P(1), 0x0D, 0, 1)
	x.capability(tcg.TPMRCValue.P(1), tcg.TPMCapVendorProperty, 0, 1)

	// What needs presence has always TPM2_PP_Commands in it.
	if _, n, r := x.capability(tcg.TPMRCSuccess, tcg.TPMCapPPCommands, 0, 100); n != 1 || tcg.TPMCC(r.Uint32()) != tcg.TPMCCPPCommands {
		t.Errorf("%d commands need presence", n)
	}
	// A property that there is not differs from everything, and is no error.
	h, _ := x.policyFor(tcg.TPMCCGetRandom, false)
	for _, c := range []struct {
		op tcg.TPMEO
		rc tcg.TPMRC
	}{{tcg.TPMEONeq, tcg.TPMRCSuccess}, {tcg.TPMEOEq, tcg.TPMRCPolicy}} {
		x.want(c.rc, tcg.TPMCCPolicyCapability, handles(h), func(w *tcg.Writer) {
			w.Sized([]byte{1})
			w.Uint16(0)
			w.Uint16(uint16(c.op))
			w.Uint32(uint32(tcg.TPMCapPubKeys))
			w.Uint32(0)
		})
	}
}

// A capability of policies has each permanent handle with an authorization;
// properties end with their group (Part 3, 30.2.1).
func TestCapabilityGroups(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	_, n, r := x.capability(tcg.TPMRCSuccess, tcg.TPMCapAuthPolicies, uint32(tcg.TPMRHOwner), 100)
	if n != 4+timer.Count {
		t.Errorf("%d policies", n)
	}
	if h, alg := r.Uint32(), r.Uint16(); h != uint32(tcg.TPMRHOwner) || alg != uint16(tcg.TPMAlgNull) {
		t.Errorf("first policy: handle %#x, algorithm %#x", h, alg)
	}
	for _, from := range []uint32{0x100, 0x110, 0x1FF, 0x200, 0x214} {
		_, n, r := x.capability(tcg.TPMRCSuccess, tcg.TPMCapTPMProperties, from, 0xFFFF)
		for range n {
			if tag := r.Uint32(); tag>>8 != from>>8 {
				t.Errorf("from %#x: property %#x", from, tag)
			}
			r.Uint32()
		}
	}
}
