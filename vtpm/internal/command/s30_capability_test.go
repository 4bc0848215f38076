package command_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// A list is a capability whose entries begin with their property.
type list struct {
	capability tcg.TPMCap
	first      uint32 // a property that no entry of this list is below
	size       int    // of an entry
	property   func(entry []byte) uint32
}

func long(entry []byte) uint32  { return binary.BigEndian.Uint32(entry) }
func short(entry []byte) uint32 { return uint32(binary.BigEndian.Uint16(entry)) }
func code(entry []byte) uint32  { return long(entry) & 0xFFFF } // commandIndex of TPMA_CC
func slot(entry []byte) uint32  { return long(entry) & 0xFFFFFF }

var lists = map[string]list{
	"algorithms":         {tcg.TPMCapAlgs, 0, 6, short},
	"PCRs":               {tcg.TPMCapHandles, 0, 4, long},
	"indices":            {tcg.TPMCapHandles, uint32(tcg.TPMHTNVIndex) << 24, 4, long},
	"loaded sessions":    {tcg.TPMCapHandles, uint32(tcg.TPMHTHMACSession) << 24, 4, slot},
	"saved sessions":     {tcg.TPMCapHandles, uint32(tcg.TPMHTPolicySession) << 24, 4, slot},
	"permanent":          {tcg.TPMCapHandles, uint32(tcg.TPMHTPermanent) << 24, 4, long},
	"transient objects":  {tcg.TPMCapHandles, uint32(tcg.TPMHTTransient) << 24, 4, long},
	"persistent objects": {tcg.TPMCapHandles, uint32(tcg.TPMHTPersistent) << 24, 4, long},
	"external indices":   {tcg.TPMCapHandles, uint32(tcg.TPMHTExternalNV) << 24, 4, long},
	"permanent indices":  {tcg.TPMCapHandles, uint32(tcg.TPMHTPermanentNV) << 24, 4, long},
	"components":         {tcg.TPMCapHandles, uint32(tcg.TPMHTAC) << 24, 4, long},
	"commands":           {tcg.TPMCapCommands, 0, 4, code},
	"commands for PP":    {tcg.TPMCapPPCommands, 0, 4, long},
	"audited commands":   {tcg.TPMCapAuditCommands, 0, 4, long},
	"fixed properties":   {tcg.TPMCapTPMProperties, uint32(tcg.TPMPTFamilyIndicator), 8, long},
	"variable":           {tcg.TPMCapTPMProperties, uint32(tcg.TPMPTPermanent), 8, long},
	"PCR properties":     {tcg.TPMCapPCRProperties, 0, 8, long},
	"curves":             {tcg.TPMCapECCCurves, 0, 2, short},
	"timers":             {tcg.TPMCapACT, uint32(owner), 12, long},
}

// get returns the entries from a property on.
func (l list) get(t *testing.T, tpm *tpmtest.TPM, property, count uint32) (more bool, entries [][]byte) {
	t.Helper()
	r := tpm.Do(tcg.TPMCCGetCapability, nil, nil, l.capability, property, count)
	more = r.YesNo()
	if got := tcg.TPMCap(r.Uint32()); got != l.capability {
		t.Fatalf("capability %d, not %d", got, l.capability)
	}
	for range r.Uint32() {
		entries = append(entries, bytes.Clone(r.Bytes(l.size)))
	}
	if r.Err() != tcg.TPMRCSuccess || r.Len() != 0 {
		t.Fatalf("capability %d: %d bytes after %d entries", l.capability, r.Len(), len(entries))
	}
	return more, entries
}

// all returns the whole list, asked for so many entries at a time.
func (l list) all(t *testing.T, tpm *tpmtest.TPM, count uint32) (entries [][]byte) {
	t.Helper()
	for from := l.first; ; {
		more, some := l.get(t, tpm, from, count)
		entries = append(entries, some...)
		if !more {
			return entries
		}
		if len(some) == 0 || uint32(len(some)) > count {
			t.Fatalf("capability %d from %#x: %d entries, and there are more", l.capability, from, len(some))
		}
		from = l.first&0xFF000000 | l.property(some[len(some)-1]) + 1
	}
}

// populated returns a TPM that has something of each kind.
func populated(t *testing.T) (tpm *tpmtest.TPM, loaded, saved tcg.TPMHandle) {
	tpm = tpmtest.New(t)
	for _, h := range []tcg.TPMHandle{owner, endorsement} {
		settle(tpm, h)
	}
	loaded, saved = tpm.StartPolicy().Handle, tpm.StartPolicy().Handle
	save(tpm, saved)
	tpm.StartSession(tpmtest.SessionParams{})
	return tpm, loaded, saved
}

// TestGetCapability: each list is the same whatever it is asked for in, ascends,
// and says at its end that there is no more (Part 3, 30.2).
func TestGetCapability(t *testing.T) {
	t.Parallel()
	tpm, _, _ := populated(t)
	for name, l := range lists {
		want := l.all(t, tpm, 1000)
		for _, count := range []uint32{1, 2, 7} {
			if got := l.all(t, tpm, count); !slices.EqualFunc(got, want, bytes.Equal) {
				t.Errorf("%s, %d at a time: %x, not %x", name, count, got, want)
			}
		}
		for i := range want {
			if i > 0 && l.property(want[i]) <= l.property(want[i-1]) {
				t.Errorf("%s: %x comes after %x", name, want[i], want[i-1])
			}
			if l.capability == tcg.TPMCapTPMProperties && long(want[i])>>8 != l.first>>8 {
				t.Errorf("%s: property %x is of another group", name, want[i][:4])
			}
		}
		if more, got := l.get(t, tpm, l.first, 0); more != (len(want) != 0) || len(got) != 0 {
			t.Errorf("%s, none asked for: %x, and more: %v", name, got, more)
		}
	}
}

// TestHandlesOfCapability: the lists of handles have what is there.
func TestHandlesOfCapability(t *testing.T) {
	t.Parallel()
	tpm, loaded, saved := populated(t)
	has := func(name string, want ...tcg.TPMHandle) {
		t.Helper()
		var got []tcg.TPMHandle
		for _, e := range lists[name].all(t, tpm, 100) {
			got = append(got, tcg.TPMHandle(long(e)))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %x, not %x", name, got, want)
		}
	}
	has("indices", 0x01800001)
	has("persistent objects", 0x81000001, 0x81000002)
	has("transient objects", 0x80000000, 0x80000001)
	// Of a saved session the type is not known.
	has("loaded sessions", loaded, tcg.TPMHandle(tcg.TPMHTHMACSession)<<24|2)
	has("saved sessions", saved&0x00FFFFFF|tcg.TPMHandle(tcg.TPMHTHMACSession)<<24)
	has("timers", tcg.TPMRHACT0, tcg.TPMRHACT0+1)
	has("audited commands", tcg.TPMHandle(tcg.TPMCCSetCommandCodeAuditStatus))
	for _, empty := range []string{"external indices", "permanent indices", "components"} {
		has(empty)
	}
	if n := len(lists["PCRs"].all(t, tpm, 100)); n != 24 {
		t.Errorf("%d PCRs", n)
	}
	if got := len(lists["commands"].all(t, tpm, 100)); uint32(got) != property(tpm, tcg.TPMPTTotalCommands) {
		t.Errorf("%d commands, not as TPM_PT_TOTAL_COMMANDS", got)
	}
}

// TestPoliciesOfCapability: each permanent handle that may have a policy is
// listed, with the policy if there is one.
func TestPoliciesOfCapability(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	tpm.Do(tcg.TPMCCSetPrimaryPolicy, handles{endorsement}, nil, someHash, tcg.TPMAlgSHA256)
	r := tpm.Do(tcg.TPMCCGetCapability, nil, nil, tcg.TPMCapAuthPolicies, owner, 100)
	var want []byte
	for _, h := range []tcg.TPMHandle{owner, lockout, endorsement, platform, tcg.TPMRHACT0, tcg.TPMRHACT0 + 1} {
		if want = append(want, be(h)...); h == endorsement {
			want = append(want, be(tcg.TPMAlgSHA256, someHash)...)
		} else {
			want = append(want, be(tcg.TPMAlgNull)...)
		}
	}
	if got := r.Params[9:]; !bytes.Equal(got, want) {
		t.Errorf("the policies are %x, not %x", got, want)
	}
}

func TestGetCapabilityCodes(t *testing.T) {
	t.Parallel()
	c := codesOf(t, tpmtest.New(t), tcg.TPMCCGetCapability)
	c.row(tcg.TPMRCValue.P(1), "no such capability", nil, 0x0D, 0, 1)
	c.row(tcg.TPMRCValue.P(1), "the vendor's", nil, tcg.TPMCapVendorProperty, 0, 1)
	c.row(tcg.TPMRCHandle.P(2), "no such type of handle", nil, tcg.TPMCapHandles, 0x7F000000, 1)
	c.row(tcg.TPMRCValue.P(2), "PCRs from a property on", nil, tcg.TPMCapPCRs, 1, 1)
	for _, capability := range []tcg.TPMCap{tcg.TPMCapAuthPolicies, tcg.TPMCapACT} {
		c.row(tcg.TPMRCValue.P(2), "not a permanent handle", nil, capability, 0, 1)
		c.row(tcg.TPMRCValue.P(2), "not a permanent handle", nil, capability, 0x81000000, 1)
	}
	c.row(tcg.TPMRCSuccess, "PCRs", nil, tcg.TPMCapPCRs, 0, 0)
	c.row(tcg.TPMRCSuccess, "keys of SPDM: an empty list", nil, tcg.TPMCapPubKeys, 0, 1)
	c.row(tcg.TPMRCSuccess, "sessions of SPDM", nil, tcg.TPMCapSPDMSessionInfo, 0, 1)
	c.row(tcg.TPMRCInsufficient.P(3), "half a number", nil, tcg.TPMCapPCRs, 0, tpmtest.Raw{0})
}

// TestTestParmsCodes: what is wrong with parameters is what unmarshalling says
// (Part 3, 30.3).
func TestTestParmsCodes(t *testing.T) {
	t.Parallel()
	c := codesOf(t, tpmtest.New(t), tcg.TPMCCTestParms)
	row := func(rc tcg.TPMRC, why string, values ...any) {
		t.Helper()
		c.row(rc, why, nil, tpmtest.Raw(be(values...)))
	}
	null := tcg.TPMAlgNull
	row(0, "P-256", tcg.TPMAlgECC, null, null, tcg.TPMECCNistP256, null)
	row(0, "RSA-2048", tcg.TPMAlgRSA, null, null, uint16(2048), uint32(0))
	row(0, "AES-256", tcg.TPMAlgSymCipher, tcg.TPMAlgAES, uint16(256), tcg.TPMAlgCFB)
	row(0, "HMAC", tcg.TPMAlgKeyedHash, tcg.TPMAlgHMAC, tcg.TPMAlgSHA384)
	row(tcg.TPMRCType.P(1), "no such type", tcg.TPMAlgAES)
	row(tcg.TPMRCCurve.P(1), "no such curve", tcg.TPMAlgECC, null, null, uint16(0x7F), null)
	row(tcg.TPMRCValue.P(1), "no such size of RSA keys", tcg.TPMAlgRSA, null, null, uint16(2047), uint32(0))
	row(tcg.TPMRCScheme.P(1), "a scheme of another type", tcg.TPMAlgECC, null, tcg.TPMAlgRSASSA, tcg.TPMAlgSHA256, tcg.TPMECCNistP256, null)
	row(tcg.TPMRCSymmetric.P(1), "no such cipher", tcg.TPMAlgSymCipher, tcg.TPMAlgSHA256)
	row(tcg.TPMRCValue.P(1), "no such size of AES keys", tcg.TPMAlgSymCipher, tcg.TPMAlgAES, uint16(129), tcg.TPMAlgCFB)
	row(tcg.TPMRCMode.P(1), "no such mode", tcg.TPMAlgSymCipher, tcg.TPMAlgAES, uint16(128), tcg.TPMAlgSHA256)
	row(tcg.TPMRCHash.P(1), "no such hash", tcg.TPMAlgKeyedHash, tcg.TPMAlgHMAC, tcg.TPMAlgAES)
	row(tcg.TPMRCInsufficient.P(1), "it is cut", tcg.TPMAlgECC, null)
}

func TestSetCapabilityCodes(t *testing.T) {
	t.Parallel()
	c := codesOf(t, tpmtest.New(t), tcg.TPMCCSetCapability)
	for _, h := range []tcg.TPMHandle{owner, endorsement, platform, lockout, null} {
		c.row(tcg.TPMRCValue.P(1), "nothing can be set", handles{h}, be(tcg.TPMCapTPMProperties, tcg.TPMPTPermanent, uint32(0)))
	}
	c.row(tcg.TPMRCSize.P(1), "no capability", handles{owner}, nil)
	c.row(tcg.TPMRCValue.H(1), "by a timer", handles{tcg.TPMRHACT0}, nil)
}
