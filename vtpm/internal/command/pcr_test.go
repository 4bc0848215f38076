package command

import (
	"testing"

	"stubtpm/vtpm/internal/pcr"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// TestPCRUpdateCounter: it counts each bank that is extended, and a reset once
// (Part 3, 22.1).
func TestPCRUpdateCounter(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	counter := func() uint32 {
		r := x.want(tcg.TPMRCSuccess, tcg.TPMCCPCRRead, nil, func(w *tcg.Writer) { w.Uint32(0) })
		return r.Uint32()
	}
	banks := uint32(len(d.Vol.PCRs.Banks()))
	extend := func(algs ...tcg.TPMAlgID) func(w *tcg.Writer) {
		return func(w *tcg.Writer) {
			w.Uint32(uint32(len(algs)))
			for _, alg := range algs {
				w.Uint16(uint16(alg))
				w.Bytes(make([]byte, tpmcrypto.MustSize(alg)))
			}
		}
	}
	sequence := func() tcg.TPMHandle {
		rc, h, _ := x.send(tcg.TPMCCHashSequenceStart, nil, func(w *tcg.Writer) { w.Sized(nil); w.Uint16(uint16(tcg.TPMAlgNull)) })
		if rc != tcg.TPMRCSuccess {
			t.Fatalf("%#x", uint32(rc))
		}
		return h
	}
	data := func(w *tcg.Writer) { w.Sized([]byte("event")) }
	for _, c := range []struct {
		name    string
		cc      tcg.TPMCC
		handles []tcg.TPMHandle
		params  func(w *tcg.Writer)
		want    uint32
	}{
		{"extend of no bank", tcg.TPMCCPCRExtend, handles(7), extend(), 0},
		{"extend of one bank", tcg.TPMCCPCRExtend, handles(7), extend(tcg.TPMAlgSHA256), 1},
		{"extend of two banks", tcg.TPMCCPCRExtend, handles(7), extend(tcg.TPMAlgSHA256, tcg.TPMAlgSHA384), 2},
		{"extend of a PCR that does not count", tcg.TPMCCPCRExtend, handles(16), extend(tcg.TPMAlgSHA256), 0},
		{"extend of no PCR", tcg.TPMCCPCRExtend, handles(tcg.TPMRHNull), extend(tcg.TPMAlgSHA256), 0},
		{"event", tcg.TPMCCPCREvent, handles(7), data, banks},
		{"event of no PCR", tcg.TPMCCPCREvent, handles(tcg.TPMRHNull), data, 0},
		{"event sequence", tcg.TPMCCEventSequenceComplete, handles(7, sequence()), data, banks},
		{"event sequence of no PCR", tcg.TPMCCEventSequenceComplete, handles(tcg.TPMRHNull, sequence()), data, 0},
		{"clear", tcg.TPMCCClear, handles(tcg.TPMRHPlatform), nil, 1},
	} {
		before := counter()
		x.want(tcg.TPMRCSuccess, c.cc, c.handles, c.params)
		if got := counter() - before; got != c.want {
			t.Errorf("%s: counted %d, not %d", c.name, got, c.want)
		}
	}
	// Those that a dynamic launch resets cannot be reset from here, nor can
	// those that nothing resets (Part 3, 22.8).
	for _, n := range []tcg.TPMHandle{0, 15, 17, 20} {
		x.want(tcg.TPMRCLocality, tcg.TPMCCPCRReset, handles(n), nil)
	}
	x.want(tcg.TPMRCValue.H(1), tcg.TPMCCPCRReset, handles(pcr.Count), nil)
	x.want(tcg.TPMRCValue.H(1), tcg.TPMCCPCRReset, handles(tcg.TPMRHNull), nil)
}

// TestPCRAuthorizations: no PCR may have one (Part 3, 22.6 and 22.7).
func TestPCRAuthorizations(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	policy := func(size int, alg tcg.TPMAlgID, n tcg.TPMHandle) func(w *tcg.Writer) {
		return func(w *tcg.Writer) {
			w.Sized(make([]byte, size))
			w.Uint16(uint16(alg))
			w.Uint32(uint32(n))
		}
	}
	platform := handles(tcg.TPMRHPlatform)
	x.want(tcg.TPMRCValue.P(3), tcg.TPMCCPCRSetAuthPolicy, platform, policy(32, tcg.TPMAlgSHA256, 16))
	x.want(tcg.TPMRCValue.P(3), tcg.TPMCCPCRSetAuthPolicy, platform, policy(32, tcg.TPMAlgSHA256, pcr.Count))
	x.want(tcg.TPMRCSize.P(1), tcg.TPMCCPCRSetAuthPolicy, platform, policy(31, tcg.TPMAlgSHA256, 16))
	x.want(tcg.TPMRCSize.P(1), tcg.TPMCCPCRSetAuthPolicy, platform, policy(1, tcg.TPMAlgNull, 16))
	x.want(tcg.TPMRCHash.P(2), tcg.TPMCCPCRSetAuthPolicy, platform, policy(32, tcg.TPMAlgAES, 16))
	x.want(tcg.TPMRCValue.H(1), tcg.TPMCCPCRSetAuthValue, handles(16), func(w *tcg.Writer) { w.Sized(nil) })
	x.want(tcg.TPMRCValue.H(1), tcg.TPMCCPCRSetAuthValue, handles(tcg.TPMRHNull), func(w *tcg.Writer) { w.Sized(nil) })
}
