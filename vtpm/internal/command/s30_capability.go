package command

import (
	"cmp"
	"encoding/binary"
	"slices"

	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/pcr"
	"stubtpm/vtpm/internal/session"
	"stubtpm/vtpm/internal/timer"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// maxCapBytes is what a capability list may take in a response (Part 2,
// MAX_CAP_DATA).
const maxCapBytes = 1024 - 4 - 4

// getCapability is TPM2_GetCapability, which returns properties and the current
// state of the TPM.
//
//	TPM_RC_HANDLE  not a handle type
//	TPM_RC_VALUE   an unknown capability, or property out of its range
func getCapability(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	capability := r.Next().Cap()
	property := r.Next().Uint32()
	count := r.Next().Uint32()
	if err := r.End(); err != nil {
		return err
	}
	at := len(c.Out.B)
	c.Out.YesNo(false)
	c.Out.Uint32(uint32(capability))
	l := capList{w: &c.Out, from: property, limit: count}
	switch capability {
	case tcg.TPMCapAlgs:
		listAlgs(d, &l)
	case tcg.TPMCapHandles:
		if rc := listHandles(d, &l); rc != tcg.TPMRCSuccess {
			return rc
		}
	case tcg.TPMCapCommands:
		listCommands(d, &l)
	case tcg.TPMCapPPCommands:
		// TPM2_PP_Commands itself needs it always.
		l.commands(append(slices.Clone(d.Perm.PhysicalPresence), tcg.TPMCCPPCommands))
	case tcg.TPMCapAuditCommands:
		l.commands(d.Perm.Audited)
	case tcg.TPMCapPCRs:
		if property != 0 {
			return tcg.TPMRCValue.P(2)
		}
		// "The TPM will always respond with the full PCR allocation", whatever
		// propertyCount is: tpm2-tools asks for one.
		l.limit = ^uint32(0)
		listBanks(d, &l)
	case tcg.TPMCapTPMProperties:
		listProperties(d, &l)
	case tcg.TPMCapPCRProperties:
		listPCRProperties(&l)
	case tcg.TPMCapECCCurves:
		l.begin(2)
		for _, id := range tpmcrypto.Curves() {
			if d.Profile.HasCurve(id) && l.want(uint32(id)) {
				l.w.Uint16(uint16(id))
			}
		}
	case tcg.TPMCapAuthPolicies:
		if tcg.TPMHandle(property).Type() != tcg.TPMHTPermanent {
			return tcg.TPMRCValue.P(2)
		}
		listPolicies(d, &l)
	case tcg.TPMCapACT:
		if tcg.TPMHandle(property).Type() != tcg.TPMHTPermanent {
			return tcg.TPMRCValue.P(2)
		}
		listACT(d, &l)
	case tcg.TPMCapPubKeys, tcg.TPMCapSPDMSessionInfo:
		l.begin(0) // commands do not come by SPDM here
	default:
		return tcg.TPMRCValue.P(1)
	}
	if l.started {
		l.end()
	}
	if l.more {
		c.Out.B[at] = 1
	}
	return nil
}

func sorted[T cmp.Ordered](s []T) []T {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}

// A capList writes a counted list: entries from a first property on, so many
// at most, and no more than a response holds.
type capList struct {
	w       *tcg.Writer
	from    uint32
	limit   uint32
	started bool
	more    bool
	at      int
	n, size int
}

// begin writes the count of entries of size bytes, to be filled in by end.
func (l *capList) begin(size int) {
	l.started, l.at, l.size = true, len(l.w.B), size
	l.w.Uint32(0)
}

// want reports whether the entry for a property is to be written now.
func (l *capList) want(property uint32) bool {
	if property < l.from {
		return false
	}
	if uint32(l.n) >= l.limit || (l.n+1)*l.size > maxCapBytes {
		l.more = true
		return false
	}
	l.n++
	return true
}

func (l *capList) add32(v uint32) {
	if l.want(v) {
		l.w.Uint32(v)
	}
}

func (l *capList) commands(codes []tcg.TPMCC) {
	l.begin(4)
	for _, cc := range sorted(codes) {
		l.add32(uint32(cc))
	}
}

func (l *capList) end() {
	copy(l.w.B[l.at:], binary.BigEndian.AppendUint32(nil, uint32(l.n)))
}

func listAlgs(d *engine.Device, l *capList) {
	l.begin(6)
	for id := tcg.TPMAlgID(1); id < 256; id++ {
		if !d.Profile.HasAlg(id) || id == tcg.TPMAlgNull {
			continue
		}
		if a := engine.AlgAttributes(id); a != 0 && l.want(uint32(id)) {
			l.w.Uint16(uint16(id))
			l.w.Uint32(uint32(a))
		}
	}
}

func listCommands(d *engine.Device, l *capList) {
	l.begin(4)
	for code := engine.FirstCommand; code <= engine.LastCommand; code++ {
		if !d.Implements(code) {
			continue
		}
		if l.want(uint32(code)) {
			l.w.Uint32(uint32(tcg.CommandByCode(code).CCAttributes()))
		}
	}
}

// listHandles lists the handles of the type that the property's first byte
// says.
func listHandles(d *engine.Device, l *capList) tcg.TPMRC {
	var hs []tcg.TPMHandle
	switch kind := tcg.TPMHT(l.from >> 24); kind {
	case tcg.TPMHTPCR:
		for n := range pcr.Count {
			hs = append(hs, tcg.TPMHandle(n))
		}
	case tcg.TPMHTNVIndex:
		hs = d.IndexHandles()
	case tcg.TPMHTHMACSession, tcg.TPMHTPolicySession:
		hs = sessionHandles(d, kind == tcg.TPMHTHMACSession)
		// Both kinds of session are in one list, in the order of their slots.
		const slot = 0x00FFFFFF
		l.begin(4)
		l.from &= slot
		for _, h := range hs {
			if l.want(uint32(h & slot)) {
				l.w.Uint32(uint32(h))
			}
		}
		return tcg.TPMRCSuccess
	case tcg.TPMHTPermanent:
		hs = permanentHandles(d)
	case tcg.TPMHTTransient:
		for i, o := range d.Vol.Objects {
			if o != nil {
				hs = append(hs, tcg.TPMHandle(tcg.TPMHTTransient)<<24|tcg.TPMHandle(i))
			}
		}
	case tcg.TPMHTPersistent:
		for h := range d.Perm.Objects {
			hs = append(hs, h)
		}
	case tcg.TPMHTExternalNV, tcg.TPMHTPermanentNV, tcg.TPMHTAC:
		// There are none of these.
	default:
		return tcg.TPMRCHandle.P(2)
	}
	l.begin(4)
	for _, h := range sorted(hs) {
		l.add32(uint32(h))
	}
	return tcg.TPMRCSuccess
}

// sessionHandles lists, by slot, the sessions that are loaded, or those that
// are saved (Part 2, "TPM_HT": the type of HMAC sessions stands for the first,
// that of policy sessions for the second).
func sessionHandles(d *engine.Device, loaded bool) (hs []tcg.TPMHandle) {
	for i := range session.MaxActive {
		switch s := d.Vol.Sessions[i]; {
		case loaded && s != nil:
			hs = append(hs, s.Handle)
		case !loaded && d.Reset.Contexts.Saved(i) != 0:
			hs = append(hs, tcg.TPMHandle(tcg.TPMHTHMACSession)<<24|tcg.TPMHandle(i))
		}
	}
	return hs
}

// permanentHandles lists the permanent handles that there are.
func permanentHandles(d *engine.Device) []tcg.TPMHandle {
	hs := []tcg.TPMHandle{
		tcg.TPMRHOwner, tcg.TPMRHNull, tcg.TPMRSPW, tcg.TPMRHLockout,
		tcg.TPMRHEndorsement, tcg.TPMRHPlatform, tcg.TPMRHPlatformNV,
	}
	for i := range tcg.TPMHandle(timer.Count) {
		hs = append(hs, tcg.TPMRHACT0+i)
	}
	// Of the SVN-limited ones version 0 stands for all (Part 3, 30.2).
	for _, h := range []tcg.TPMHandle{
		tcg.TPMRHFWOwner, tcg.TPMRHFWEndorsement, tcg.TPMRHFWPlatform, tcg.TPMRHFWNull,
		tcg.TPMRHSVNOwnerBase, tcg.TPMRHSVNEndorsementBase, tcg.TPMRHSVNPlatformBase, tcg.TPMRHSVNNullBase,
	} {
		if d.Hierarchies().Exists(h) {
			hs = append(hs, h)
		}
	}
	return hs
}

// listBanks lists the current allocation of PCRs; a new one takes its place at
// the next _TPM_Init.
func listBanks(d *engine.Device, l *capList) {
	l.begin(6)
	for _, s := range d.Perm.PCRBanks {
		if d.Vol.Started {
			b := d.Vol.PCRs.Bank(s.Hash)
			for n := range pcr.Count {
				if s.Clear(n); b != nil && b.Has(n) {
					s.Set(n)
				}
			}
		}
		if uint32(l.n) < l.limit {
			l.n++
			s.Marshal(l.w)
		} else {
			l.more = true
		}
	}
}

// listPCRProperties lists which PCRs have which property (Part 2,
// "TPM_PT_PCR").
func listPCRProperties(l *capList) {
	reset := func(loc uint8) func(int) bool {
		return func(n int) bool { return dispatch.LocalityIn(pcr.Rules(n).Reset, loc) }
	}
	extend := func(loc uint8) func(int) bool {
		return func(n int) bool { return dispatch.LocalityIn(pcr.Rules(n).Extend, loc) }
	}
	never := func(int) bool { return false }
	l.begin(4 + 1 + 3)
	for _, p := range []struct {
		tag tcg.TPMPTPCR
		has func(n int) bool
	}{
		{tcg.TPMPTPCRSave, pcr.Saved},
		{tcg.TPMPTPCRExtendL0, extend(0)}, {tcg.TPMPTPCRResetL0, reset(0)},
		{tcg.TPMPTPCRExtendL1, extend(1)}, {tcg.TPMPTPCRResetL1, reset(1)},
		{tcg.TPMPTPCRExtendL2, extend(2)}, {tcg.TPMPTPCRResetL2, reset(2)},
		{tcg.TPMPTPCRExtendL3, extend(3)}, {tcg.TPMPTPCRResetL3, reset(3)},
		{tcg.TPMPTPCRExtendL4, extend(4)}, {tcg.TPMPTPCRResetL4, reset(4)},
		{tcg.TPMPTPCRNoIncrement, func(n int) bool { return !pcr.Counted(n) }},
		{tcg.TPMPTPCRDRTMReset, pcr.IsDRTM},
		{tcg.TPMPTPCRPolicy, never},
		{tcg.TPMPTPCRAuth, never},
	} {
		if !l.want(uint32(p.tag)) {
			continue
		}
		l.w.Uint32(uint32(p.tag))
		sel := tcg.TPMSPCRSelect{Size: 3}
		for n := range pcr.Count {
			if p.has(n) {
				sel.Set(n)
			}
		}
		sel.Marshal(l.w)
	}
}

// listPolicies lists the policy of each permanent handle with an authorization:
// TPM_ALG_NULL and no digest where none is set.
func listPolicies(d *engine.Device, l *capList) {
	l.begin(4 + 2 + tcg.MaxDigestSize)
	hs := []tcg.TPMHandle{tcg.TPMRHOwner, tcg.TPMRHLockout, tcg.TPMRHEndorsement, tcg.TPMRHPlatform}
	for i := range tcg.TPMHandle(timer.Count) {
		hs = append(hs, tcg.TPMRHACT0+i)
	}
	for _, h := range hs {
		if p := d.EntityPolicy(h); l.want(uint32(h)) {
			l.w.Uint32(uint32(h))
			l.w.Uint16(uint16(p.Hash))
			l.w.Bytes(p.Digest)
		}
	}
}

// testParms is TPM2_TestParms, which reports whether parameters of algorithms
// are supported: that they unmarshal is the test.
func testParms(_ *engine.Device, c *dispatch.Call) error {
	var p tcg.TPMTPublicParms
	r := c.Reader()
	p.Unmarshal(r.Next())
	return r.End()
}

// setCapability is TPM2_SetCapability, which sets a capability. The
// specification defines no capability that can be set, and this device has none
// of its own.
//
//	TPM_RC_VALUE  always: not a capability that can be set
func setCapability(_ *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	var data tcg.TPMSSetCapabilityData
	data.Unmarshal2B(r.Next())
	if err := r.End(); err != nil {
		return err
	}
	return tcg.TPMRCValue.P(1)
}
