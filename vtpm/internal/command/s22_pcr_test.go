package command_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// allBanks are those of the default profile.
var allBanks = []tcg.TPMAlgID{tcg.TPMAlgSHA1, tcg.TPMAlgSHA256, tcg.TPMAlgSHA384, tcg.TPMAlgSHA512}

// extended is what a PCR of the SHA-256 bank is after it was extended.
func extended(old string, digest []byte) string {
	b, err := hex.DecodeString(old)
	if err != nil {
		return err.Error()
	}
	return hex.EncodeToString(hash(b, digest))
}

// checkEvent takes a TPML_DIGEST_VALUES that has digests of an event, and returns
// of which algorithms.
func checkEvent(t *testing.T, r *tpmtest.Response, event string) (algs []tcg.TPMAlgID) {
	t.Helper()
	for range r.Uint32() {
		alg := tcg.TPMAlgID(r.Uint16())
		algs = append(algs, alg)
		want := sum(alg, []byte(event))
		if got := r.Bytes(len(want)); !bytes.Equal(got, want) {
			t.Errorf("%v: %x, not %x", alg, got, want)
		}
	}
	if r.Len() != 0 {
		t.Errorf("%d bytes after the digests", r.Len())
	}
	return algs
}

// digestValues is a TPML_DIGEST_VALUES of zeros for each algorithm.
func digestValues(algs ...tcg.TPMAlgID) tcg.TPMLDigestValues {
	var l tcg.TPMLDigestValues
	for _, alg := range algs {
		l.Append(tcg.TPMTHA{HashAlg: alg, Digest: make([]byte, alg.DigestSize())})
	}
	return l
}

// read returns the PCRs of a selection as TPM2_PCR_Read does: the update counter,
// pcrSelectionOut and pcrValues.
func read(tpm *tpmtest.TPM, selection any) (counter uint32, out tcg.TPMLPCRSelection, values [][]byte) {
	r := tpm.Do(tcg.TPMCCPCRRead, nil, nil, selection)
	counter = r.Uint32()
	profile := tpm.Profile()
	in := tcg.NewReader(r.Rest(), &profile)
	out.Unmarshal(&in)
	for range in.Uint32() {
		values = append(values, bytes.Clone(in.Sized(64)))
	}
	return counter, out, values
}

// one reads a PCR of any bank; nil if the bank does not have it.
func one(tpm *tpmtest.TPM, alg tcg.TPMAlgID, n int) []byte {
	if _, _, v := read(tpm, bank(alg, n)); len(v) == 1 {
		return v[0]
	}
	return nil
}

// TestPCRExtend: only the banks that have a digest are extended, in the order of
// the list, and only the PCR; TPM_RH_NULL is none (Part 3, 22.2).
func TestPCRExtend(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	extend := func(h tcg.TPMHandle, l tcg.TPMLDigestValues) { tpm.Do(tcg.TPMCCPCRExtend, handles{h}, nil, l) }
	zeros := make([]byte, 48)
	extend(7, digestValues(tcg.TPMAlgSHA256))
	if got, want := one(tpm, tcg.TPMAlgSHA256, 7), sum(tcg.TPMAlgSHA256, make([]byte, 64)); !bytes.Equal(got, want) {
		t.Errorf("PCR 7 is %x, not %x", got, want)
	}
	if got := one(tpm, tcg.TPMAlgSHA384, 7); !bytes.Equal(got, zeros) {
		t.Errorf("a bank without a digest was extended: %x", got)
	}
	if got := one(tpm, tcg.TPMAlgSHA256, 8); !bytes.Equal(got, zeros[:32]) {
		t.Errorf("PCR 8 was extended: %x", got)
	}
	twice := digestValues(tcg.TPMAlgSHA384)
	twice.Append(tcg.TPMTHA{HashAlg: tcg.TPMAlgSHA384, Digest: bytes.Repeat([]byte{1}, 48)})
	extend(7, twice)
	first := sum(tcg.TPMAlgSHA384, make([]byte, 96))
	if got, want := one(tpm, tcg.TPMAlgSHA384, 7), sum(tcg.TPMAlgSHA384, append(first, twice.At(1).Digest...)); !bytes.Equal(got, want) {
		t.Errorf("extended twice: %x, not %x", got, want)
	}
	before := pcr(tpm, 7)
	extend(null, digestValues(tcg.TPMAlgSHA256))
	extend(7, digestValues())
	if after := pcr(tpm, 7); after != before {
		t.Errorf("PCR 7 was %s and is %s", before, after)
	}
}

// TestPCREvent: the digests that are returned are those that the PCR is extended
// with (Part 3, 22.3).
func TestPCREvent(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	for _, event := range []string{"", "event", string(make([]byte, 1024))} {
		for _, n := range []tcg.TPMHandle{23, null} {
			before := pcr(tpm, 23)
			if algs := checkEvent(t, tpm.Do(tcg.TPMCCPCREvent, handles{n}, nil, event), event); !slices.Equal(algs, allBanks) {
				t.Errorf("digests of %v", algs)
			}
			want := before
			if n == 23 {
				want = extended(before, hash([]byte(event)))
			}
			if after := pcr(tpm, 23); after != want {
				t.Errorf("after an event of %d bytes PCR 23 is %s, not %s", len(event), after, want)
			}
		}
	}
}

// localityRows are the rows of a command that extends a PCR: may has the PCRs that
// each locality may extend, of those that a dynamic launch resets (PC Client
// Platform TPM Profile, "PCR Attributes").
func localityRows(c *codes, h func(n tcg.TPMHandle) handles, params ...any) {
	c.t.Helper()
	may := map[uint8][]tcg.TPMHandle{0: {}, 1: {20}, 2: {17, 18, 19, 20, 21, 22}, 3: {17, 18, 19, 20}, 4: {17, 18}}
	defer func() { c.tpm.Locality = 0 }()
	for locality, pcrs := range may {
		c.tpm.Locality = locality
		for n := tcg.TPMHandle(17); n <= 22; n++ {
			rc := tcg.TPMRCLocality
			if slices.Contains(pcrs, n) {
				rc = tcg.TPMRCSuccess
			}
			c.row(rc, fmt.Sprintf("PCR %d from locality %d", n, locality), h(n), params...)
		}
		c.row(tcg.TPMRCSuccess, "PCR 0", h(0), params...)
	}
}

func TestPCRExtendCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCPCRExtend)
	localityRows(c, func(n tcg.TPMHandle) handles { return handles{n} }, digestValues(tcg.TPMAlgSHA256))
	c.row(tcg.TPMRCValue.H(1), "no such PCR", handles{24}, digestValues())
	c.row(tcg.TPMRCHash.P(1), "a digest of no hash algorithm", handles{16}, tpmtest.Raw{0, 0, 0, 1, 0, byte(tcg.TPMAlgAES)})
	c.row(tcg.TPMRCHash.P(1), "the same without a PCR", handles{null}, tpmtest.Raw{0, 0, 0, 1, 0, byte(tcg.TPMAlgAES)})
	c.row(tcg.TPMRCInsufficient.P(1), "a digest that is cut", handles{16}, tpmtest.Raw{0, 0, 0, 1, 0, byte(tcg.TPMAlgSHA256), 1})
	c.row(tcg.TPMRCSize.P(1), "more digests than algorithms", handles{16}, tpmtest.Raw{0, 0, 0, 17})
	c.by(tcg.TPMRCBadAuth.S(1), "a password for a PCR without one", handles{16}, auths{tpmtest.Password("a")}, digestValues())
}

func TestPCREventCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCPCREvent)
	localityRows(c, func(n tcg.TPMHandle) handles { return handles{n} }, "event")
	c.row(tcg.TPMRCValue.H(1), "no such PCR", handles{24}, "event")
	c.row(tcg.TPMRCSize.P(1), "an event of more than 1024 bytes", handles{16}, make([]byte, 1025))
}

// TestPCRRead: the PCRs are returned by banks and in ascending order, eight at a
// time, and pcrSelectionOut tells which (Part 3, 22.4).
func TestPCRRead(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	tpm.Do(tcg.TPMCCPCRExtend, handles{9}, nil, digestValues(tcg.TPMAlgSHA256))
	all := make([]int, 24)
	for n := range all {
		all[n] = n
	}
	for left, got := all, 0; len(left) > 0; left = left[8:] {
		_, out, values := read(tpm, bank(tcg.TPMAlgSHA256, left...))
		if len(values) != 8 {
			t.Fatalf("%d values", len(values))
		}
		for n := range all {
			if s := out.At(0); s.Has(n) != (n >= got && n < got+8) {
				t.Errorf("asked for %v: PCR %d is in pcrSelectionOut: %v", left, n, s.Has(n))
			}
		}
		for i, v := range values {
			if n := got + i; n == 9 != (hex.EncodeToString(v) == pcr(tpm, 9)) || len(v) != 32 {
				t.Errorf("value %d is %x", n, v)
			}
		}
		got += 8
	}
	_, out, values := read(tpm, bank(tcg.TPMAlgSHA256))
	if len(values) != 0 || out.At(0).Hash != tcg.TPMAlgSHA256 {
		t.Errorf("none: %d values of %v", len(values), out)
	}
	// A PCR that no launch has set is all ones.
	if got := one(tpm, tcg.TPMAlgSHA256, 17); !bytes.Equal(got, bytes.Repeat([]byte{0xFF}, 32)) {
		t.Errorf("PCR 17 is %x", got)
	}
}

func TestPCRReadCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCPCRRead)
	c.row(tcg.TPMRCHash.P(1), "a bank of no hash algorithm", nil, bank(tcg.TPMAlgAES, 0))
	c.row(tcg.TPMRCSize.P(1), "more banks than algorithms", nil, tpmtest.Raw{0, 0, 0, 17})
	c.row(tcg.TPMRCValue.P(1), "a bitmap of one byte", nil, tpmtest.Raw{0, 0, 0, 1, 0, byte(tcg.TPMAlgSHA256), 1, 1})
}

// TestPCRReset: PCRs 16 and 23 are zero again in all banks, from each locality but
// the fourth (Part 3, 22.8).
func TestPCRReset(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	for locality := range uint8(4) {
		for _, n := range []int{16, 23} {
			tpm.Locality = locality
			tpm.Do(tcg.TPMCCPCREvent, handles{tcg.TPMHandle(n)}, nil, "event")
			tpm.Do(tcg.TPMCCPCRReset, handles{tcg.TPMHandle(n)}, nil)
			for _, alg := range []tcg.TPMAlgID{tcg.TPMAlgSHA256, tcg.TPMAlgSHA384} {
				if got := one(tpm, alg, n); !bytes.Equal(got, make([]byte, alg.DigestSize())) {
					t.Errorf("from locality %d: PCR %d is %x", locality, n, got)
				}
			}
		}
	}
}

func TestPCRResetCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCPCRReset)
	c.row(tcg.TPMRCLocality, "a PCR that nothing resets", handles{0})
	c.row(tcg.TPMRCLocality, "a PCR that a dynamic launch resets", handles{17})
	c.row(tcg.TPMRCValue.H(1), "no such PCR", handles{24})
	c.row(tcg.TPMRCValue.H(1), "none", handles{null})
	tpm.Locality = 2
	c.row(tcg.TPMRCSuccess, "PCR 20 from locality 2", handles{20})
	c.row(tcg.TPMRCLocality, "PCR 17 from locality 2", handles{17})
	tpm.Locality = 4
	c.row(tcg.TPMRCSuccess, "PCR 17 from locality 4", handles{17})
	c.row(tcg.TPMRCLocality, "PCR 16 from locality 4", handles{16})
}

// TestPCRUpdateCounter: it counts each bank that is extended, and a reset once,
// but for the PCRs that do not count (Part 3, 22.1).
func TestPCRUpdateCounter(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	counter := func() uint32 { n, _, _ := read(tpm, nil); return n }
	banks := tpm.Do(tcg.TPMCCPCREvent, handles{null}, nil, "").Uint32()
	event := func() tcg.TPMHandle { return start(tpm, "", tcg.TPMAlgNull) }
	for _, c := range []struct {
		why    string
		cc     tcg.TPMCC
		h      handles
		params []any
		want   uint32
	}{
		{"extend of no bank", tcg.TPMCCPCRExtend, handles{7}, []any{digestValues()}, 0},
		{"extend of one bank", tcg.TPMCCPCRExtend, handles{7}, []any{digestValues(tcg.TPMAlgSHA256)}, 1},
		{"extend of two banks", tcg.TPMCCPCRExtend, handles{7}, []any{digestValues(tcg.TPMAlgSHA256, tcg.TPMAlgSHA384)}, 2},
		{"extend of a PCR that does not count", tcg.TPMCCPCRExtend, handles{16}, []any{digestValues(tcg.TPMAlgSHA256)}, 0},
		{"extend of no PCR", tcg.TPMCCPCRExtend, handles{null}, []any{digestValues(tcg.TPMAlgSHA256)}, 0},
		{"event", tcg.TPMCCPCREvent, handles{7}, []any{"event"}, banks},
		{"event of no PCR", tcg.TPMCCPCREvent, handles{null}, []any{"event"}, 0},
		{"event sequence", tcg.TPMCCEventSequenceComplete, handles{7, event()}, []any{"event"}, banks},
		{"event sequence of no PCR", tcg.TPMCCEventSequenceComplete, handles{null, event()}, []any{"event"}, 0},
		{"reset of a PCR that does not count", tcg.TPMCCPCRReset, handles{16}, nil, 0},
		{"clear", tcg.TPMCCClear, handles{platform}, nil, 1},
	} {
		before := counter()
		tpm.Do(c.cc, c.h, nil, c.params...)
		if got := counter() - before; got != c.want {
			t.Errorf("%s: counted %d, not %d", c.why, got, c.want)
		}
	}
	tpm.Locality = 4
	before := counter()
	tpm.Do(tcg.TPMCCPCRReset, handles{17}, nil)
	if got := counter() - before; got != 1 {
		t.Errorf("reset of PCR 17 in all banks: counted %d", got)
	}
}
