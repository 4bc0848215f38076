package verify

import (
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"stubtpm/vtpmmgr/cert"
)

// An Endorsement is the certificate of an endorsement key, for verifiers that
// know nothing of evidence.
type Endorsement struct {
	Certificate *x509.Certificate
	Keys        []crypto.PublicKey  // what is said to be the endorsement key; each must be
	Chain       []*x509.Certificate // may have issuers, and others; not trusted
	Now         time.Time           // the verifier's clock
}

// An EKResult is what an accepted EK certificate says. The fields from Manager on
// are those of a vTPM.
type EKResult struct {
	Virtual    bool   `json:"virtual"`
	Root       string `json:"root"` // subject of the root: a site, or a maker of TPMs
	ValidUntil string `json:"validUntil"`

	Manager         string `json:"manager,omitempty"`
	UUID            string `json:"uuid,omitempty"`
	Group           uint32 `json:"group"`
	LedgerEpoch     uint32 `json:"ledgerEpoch"`
	Epoch           uint32 `json:"epoch"`
	Image           string `json:"image,omitempty"`
	SecurityVersion uint32 `json:"securityVersion"`
	Profile         string `json:"profile,omitempty"`
	Migratable      bool   `json:"migratable"`
}

// VerifyEK appraises the certificate of an endorsement key: that of a vTPM by the
// roots of the policy, that of a hardware TPM by its makers. An error is a
// *Refusal, but for that of a policy that asks what no certificate says.
func VerifyEK(e *Endorsement, p *Policy) (*EKResult, error) {
	if err := p.checkEKPolicy(); err != nil {
		return nil, err
	}
	if err := checkCertificates(append(e.Chain[:len(e.Chain):len(e.Chain)], e.Certificate)...); err != nil {
		return nil, refuse(Malformed, "%v", err)
	}
	for _, k := range e.Keys {
		if own, ok := e.Certificate.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !own.Equal(k) {
			return nil, refuse(EKKey, "the certificate of %s is that of another key", e.Certificate.Subject)
		}
	}
	if _, err := cert.VTPMClaimsOf(e.Certificate); err != nil {
		return e.verifyHardware(p)
	}
	if p.HardwareOnly {
		return nil, refuse(Virtual, "the policy wants a hardware TPM")
	}
	v, err := e.verifyVirtual(p)
	if err != nil {
		return nil, err
	}
	if err := v.check(p); err != nil {
		return nil, err
	}
	return v.result(), nil
}

// checkEKPolicy returns an error if the policy makes a demand that only evidence
// can meet.
func (p *Policy) checkEKPolicy() error {
	for _, demand := range []struct {
		name string
		made bool
	}{{"measuredBy", len(p.MeasuredBy) > 0}, {"guards", len(p.Guards) > 0}, {"requireXSM", p.RequireXSM}, {"requireStart", p.RequireStart}, {"requireMeasuredStart", p.RequireMeasuredStart},
		{"startImages", len(p.StartImages) > 0}, {"startReportedBy", len(p.StartReportedBy) > 0}, {"startMeasurers", len(p.StartMeasurers) > 0},
		{"maxAge", p.maxAge != 0}, {"hardwarePCRs", len(p.HardwarePCRs) > 0}, {"guestPCRs", len(p.GuestPCRs) > 0},
		{"requireHardwareLog", p.RequireHardwareLog}, {"requireGuestLog", p.RequireGuestLog}, {"guestEvents", len(p.GuestEvents) > 0}} {
		if demand.made {
			return fmt.Errorf("policy: %s: no certificate says that", demand.name)
		}
	}
	return nil
}

func (e *Endorsement) verifyHardware(p *Policy) (*EKResult, error) {
	if len(p.vendors) == 0 {
		return nil, refuse(Untrusted, "%s is not a vTPM of this kind, and the policy names no maker of TPMs", e.Certificate.Subject)
	}
	chain, err := HardwareEK(e.Certificate, e.Chain, p.vendors, e.Now)
	if err != nil {
		return nil, err
	}
	for i, c := range chain[:len(chain)-1] {
		if err := checkRevocation(c, chain[i+1], p.crls, e.Now, p); err != nil {
			return nil, err
		}
	}
	return &EKResult{Root: chain[len(chain)-1].Subject.String(), ValidUntil: earliest(chain).UTC().Format(time.RFC3339)}, nil
}

// verifyVirtual tries each certificate that may be that of the vTPM's host: one
// that was renewed has several. It returns the last refusal if none will do.
func (e *Endorsement) verifyVirtual(p *Policy) (*vtpm, error) {
	last := refuse(Untrusted, "there is no certificate of its host, %s", e.Certificate.Issuer)
	for _, c := range slices.Concat(e.Chain, p.roots) {
		if e.Certificate.CheckSignatureFrom(c) != nil {
			continue
		}
		h, err := verifyHostCertificate(c, e.Chain, p.crls, e.Now, p)
		if err != nil {
			last = err
			continue
		}
		v, err := h.verifyVTPM(e.Certificate.Raw, p.crls, e.Now, p)
		if err == nil {
			return v, nil
		}
		last = err
	}
	return nil, last
}

// check appraises what the certificate of a vTPM says.
func (v *vtpm) check(p *Policy) error {
	c := v.claims
	switch {
	case !allowed(p.UUIDs, c.UUID[:]):
		return refuse(UUID, "vTPM %x", c.UUID)
	case len(p.Groups) > 0 && !slices.Contains(p.Groups, c.Group):
		return refuse(Group, "group %d", c.Group)
	case !allowed(p.Images, c.Image[:]):
		return refuse(Image, "image %x", c.Image)
	case c.SecurityVersion < p.MinVersion:
		return refuse(Version, "version %d, the policy wants %d", c.SecurityVersion, p.MinVersion)
	case p.MaxLedgerEpoch != nil && c.LedgerEpoch > *p.MaxLedgerEpoch:
		return refuse(Restored, "the ledger's epoch is %d", c.LedgerEpoch)
	case p.MaxEpoch != nil && c.Epoch > *p.MaxEpoch:
		return refuse(Restored, "the vTPM's epoch is %d", c.Epoch)
	case c.Migratable && !p.AllowMigratable:
		return refuse(Migratable, "vTPM %x", c.UUID)
	}
	return nil
}

func (v *vtpm) result() *EKResult {
	c := v.claims
	return &EKResult{Virtual: true, Root: v.host.root, ValidUntil: v.until.UTC().Format(time.RFC3339),
		Manager: hex.EncodeToString(c.Manager[:]), UUID: hex.EncodeToString(c.UUID[:]), Group: c.Group, LedgerEpoch: c.LedgerEpoch, Epoch: c.Epoch,
		Image: hashText(c.Image), SecurityVersion: c.SecurityVersion, Profile: c.Profile, Migratable: c.Migratable}
}

// lines returns the fields as people read them.
func (r *EKResult) lines() []line {
	if !r.Virtual {
		return []line{{"TPM", "hardware"}, {"maker", r.Root}, {"valid until", r.ValidUntil}}
	}
	return []line{{"TPM", "virtual"}, {"site", r.Root}, {"manager", r.Manager}, {"vTPM", r.UUID}, {"group", fmt.Sprint(r.Group)},
		{"epochs", fmt.Sprintf("%d of the ledger, %d of the vTPM", r.LedgerEpoch, r.Epoch)}, {"image", r.Image},
		{"security version", fmt.Sprint(r.SecurityVersion)}, {"profile", r.Profile}, {"migratable", fmt.Sprint(r.Migratable)}, {"valid until", r.ValidUntil}}
}
