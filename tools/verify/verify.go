// Package verify appraises evidence of a vTPM: it follows one chain from a root
// that the policy names to the guest's PCRs, and refuses with a reason of its
// own at the first link that does not hold.
//
// docs/evidence-format.md has the format and the argument; docs/verifier.md, the
// policy and the reasons. What one step has verified is what the next one uses:
// no key, certificate or statement is looked up a second time.
package verify

import (
	"bytes"
	"encoding/hex"
	"time"

	"stubtpm/vtpmmgr/evidence"
)

// A Question is what the verifier knows itself.
type Question struct {
	Nonce []byte    // that it sent
	Now   time.Time // its clock
}

// A Result is what accepted evidence says. All fields are verified.
type Result struct {
	Site    string `json:"site"` // subject of the root
	Manager string `json:"manager"`
	UUID    string `json:"uuid"`
	Group   uint32 `json:"group"`

	LedgerEpoch uint32 `json:"ledgerEpoch"`
	Epoch       uint32 `json:"epoch"`
	Time        string `json:"time"` // of the statement, RFC 3339

	Image           string `json:"image,omitempty"`
	MeasuredBy      string `json:"measuredBy"`
	SecurityVersion uint32 `json:"securityVersion"`
	Label           string `json:"label,omitempty"`
	Profile         string `json:"profile,omitempty"`
	Migratable      bool   `json:"migratable"`
	XSM             bool   `json:"xsm"`
	StartMeasured   bool   `json:"startMeasured"` // the guest's PCRs are those of a start
	StartImage      string `json:"startImage,omitempty"`
	StartReportedBy string `json:"startReportedBy"`
	StartMeasurer   string `json:"startMeasurer,omitempty"`
	Guard           string `json:"guard"`

	ManagerImage           string `json:"managerImage,omitempty"`
	ManagerSecurityVersion uint32 `json:"managerSecurityVersion"`

	HardwarePCRs []PCR `json:"hardwarePCRs"`
	GuestPCRs    []PCR `json:"guestPCRs"`

	HardwareEvents int `json:"hardwareEvents"` // events of a log that was replayed
	GuestEvents    int `json:"guestEvents"`

	// ValidUntil is when the first of the certificates ends.
	ValidUntil string `json:"validUntil"`

	// NotCovered says what nobody vouched for.
	NotCovered []string `json:"notCovered"`
}

// A PCR is a value that a quote vouches for.
type PCR struct {
	Bank  string `json:"bank"`
	Index int    `json:"index"`
	Value string `json:"value"`
}

// Verify appraises evidence. An error is a *Refusal.
func Verify(b []byte, q Question, p *Policy) (*Result, error) {
	e, err := evidence.Parse(b)
	if err != nil {
		return nil, refuse(Malformed, "%v", err)
	}
	if err := complete(e); err != nil {
		return nil, err
	}
	if p.HardwareOnly {
		return nil, refuse(Virtual, "the policy wants a hardware TPM")
	}
	lists, err := revocationLists(e.CRLs, p)
	if err != nil {
		return nil, err
	}
	h, err := verifyHost(e.Chain, lists, q.Now, p)
	if err != nil {
		return nil, err
	}
	v, err := h.verifyVTPM(e.EK, lists, q.Now, p)
	if err != nil {
		return nil, err
	}
	s, err := v.verifyStatement(e, q, p)
	if err != nil {
		return nil, err
	}
	g, err := s.verifyGuest(e, p)
	if err != nil {
		return nil, err
	}
	return g.result(p), nil
}

// complete refuses evidence without the parts that every appraisal needs.
func complete(e *evidence.Evidence) error {
	for _, part := range []struct {
		name string
		b    []byte
	}{{"chain", e.Chain}, {"EK certificate", e.EK}, {"statement", e.Statement}, {"proof", e.Proof},
		{"hardware quote", e.Hardware}, {"guest quote", e.Guest}} {
		if part.b == nil {
			return refuse(Incomplete, "there is no %s", part.name)
		}
	}
	return nil
}

// result collects what was verified.
func (g *guest) result(p *Policy) *Result {
	s, st := g.statement, g.statement.is
	v, h := s.vtpm, s.vtpm.host
	r := &Result{
		Site: h.root, Manager: hex.EncodeToString(st.Manager[:]), UUID: hex.EncodeToString(st.UUID[:]), Group: st.Group,
		LedgerEpoch: st.LedgerEpoch, Epoch: st.Epoch, Time: time.Unix(int64(st.Time), 0).UTC().Format(time.RFC3339),
		Image: hashText(st.Image), MeasuredBy: measurers[st.Measurer], SecurityVersion: st.SecurityVersion,
		Label: st.Label, Profile: v.claims.Profile, Migratable: st.Flags&evidence.Migratable != 0,
		XSM: st.Flags&evidence.XSMEnforcing != 0, StartMeasured: st.Flags&evidence.StartMeasured != 0,
		StartImage: hashText(st.Start.Program), StartReportedBy: measurers[st.Start.Reporter], StartMeasurer: st.Start.Measurer,
		Guard: guards[st.Guard], ManagerImage: hashText(st.ManagerImage), ManagerSecurityVersion: st.ManagerSecurityVersion,
		HardwarePCRs: s.hardware.list(), GuestPCRs: g.quote.list(),
		HardwareEvents: s.hardware.events, GuestEvents: g.quote.events,
		ValidUntil: v.until.UTC().Format(time.RFC3339), NotCovered: []string{},
	}
	r.NotCovered = notCovered(r, h.alone, p)
	return r
}

// notCovered lists what the evidence leaves open.
func notCovered(r *Result, alone bool, p *Policy) []string {
	list := []string{}
	add := func(open bool, text string) {
		if open {
			list = append(list, text)
		}
	}
	add(alone, "no site vouches that the host's keys are in a genuine hardware TPM")
	add(!r.XSM, "the toolstack's domain can read the vTPM's memory: no XSM policy is enforced")
	add(r.Image == "", "nobody measured the image of the vTPM's domain")
	add(r.ManagerImage == "", "the manager's image is not known")
	add(!r.StartMeasured, "the guest's PCRs may not be those of its start")
	add(r.StartImage == "", "nobody measured what the guest started with")
	add(r.Guard != "strict", "commits of the last moments before a loss of power may be rolled back (guard "+r.Guard+")")
	add(len(r.HardwarePCRs) == 0 || len(p.HardwarePCRs) == 0, "the policy names no values of the host's PCRs")
	add(len(p.GuestPCRs) == 0 && len(p.GuestEvents) == 0, "the policy names no values of the guest's PCRs")
	add(len(p.UUIDs) == 0, "the policy takes any vTPM of the site")
	return list
}

// hashText returns a hash in hexadecimal, and "" for zeros.
func hashText(h [32]byte) string {
	if bytes.Equal(h[:], make([]byte, 32)) {
		return ""
	}
	return hex.EncodeToString(h[:])
}
