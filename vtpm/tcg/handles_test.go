package tcg

import "testing"

// Which of one handle of each kind every type takes, as its table says.
// Upper case: only with "+".
func TestHandleTypes(t *testing.T) {
	t.Parallel()
	kinds := map[byte]TPMHandle{
		'0': 0, 'p': ImplementationPCR - 1, 'q': ImplementationPCR,
		'n': 0x01800001, 'x': ExternalNVFirst, 'm': PermanentNVLast,
		'h': HMACSessionFirst, 'j': HMACSessionFirst + MaxActiveSessions, 's': PolicySessionFirst + 1,
		'o': TPMRHOwner, 'e': TPMRHEndorsement, 'f': TPMRHPlatform, 'l': TPMRHLockout, 'z': TPMRHNull,
		'w': TPMRSPW, 'v': TPMRHPlatformNV, 'a': TPMRHACTF, 'u': TPMRHFWOwner, 'y': 0x40040007,
		't': TransientFirst, '2': TPMIDHSavedTransientClear, '3': 0x80000003, 'd': PersistentLast,
		'c': ACFirst, 'i': 0x90010000, 'k': 0x40000002,
	}
	for _, c := range []struct {
		t    HandleType
		take string
	}{
		{TPMHandleAny, "0pqnxmhjsoeflzwvauyt23dcik"},
		{TPMIDHObject, "t23dZ"},
		{TPMIDHParent, "t23doefzuy"},
		{TPMIDHPersistent, "d"},
		{TPMIDHEntity, "0pnoeflt23dZ"},
		{TPMIDHPCR, "0pZ"},
		{TPMISHAuthSession, "hsW"},
		{TPMISHHMAC, "h"},
		{TPMISHPolicy, "s"},
		{TPMIDHContext, "hst23"},
		{TPMIDHSaved, "hst2"},
		{TPMIRHHierarchy, "oefzuy"},
		{TPMIRHEnables, "oefvZ"},
		{TPMIRHHierarchyAuth, "oeflZ"},
		{TPMIRHHierarchyPolicy, "oefla"},
		{TPMIRHBaseHierarchy, "oef"},
		{TPMIRHPlatform, "f"},
		{TPMIRHOwner, "oZ"},
		{TPMIRHEndorsement, "eZ"},
		{TPMIRHProvision, "of"},
		{TPMIRHClear, "lf"},
		{TPMIRHNVAuth, "ofn"},
		{TPMIRHLockout, "l"},
		{TPMIRHNVIndex, "nxm"},
		{TPMIRHNVDefinedIndex, "nx"},
		{TPMIRHNVLegacyIndex, "n"},
		{TPMIRHNVExpIndex, "x"},
		{TPMIRHAC, "c"},
		{TPMIRHACT, "a"},
	} {
		plain, plus := map[byte]bool{}, map[byte]bool{}
		for i := 0; i < len(c.take); i++ {
			k := c.take[i]
			if k >= 'A' && k <= 'Z' {
				plus[k+'a'-'A'] = true
			} else {
				plain[k], plus[k] = true, true
			}
		}
		for k, h := range kinds {
			if got := CheckHandle(c.t, h) == TPMRCSuccess; got != plain[k] {
				t.Errorf("%v takes %#x: %v, want %v", c.t, uint32(h), got, plain[k])
			}
			if got := CheckHandlePlus(c.t, h) == TPMRCSuccess; got != plus[k] {
				t.Errorf("%v+ takes %#x: %v, want %v", c.t, uint32(h), got, plus[k])
			}
		}
	}
	if CheckHandle(TPMIRHACT+1, 0) == TPMRCSuccess || CheckHandle(TPMIDHPCR, TPMRHNull) != TPMRCValue {
		t.Error("refusal")
	}
}
