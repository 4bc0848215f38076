package verify

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"stubtpm/vtpmmgr/cert"
	"stubtpm/vtpmmgr/evidence"
)

// A statement is one that a hardware quote of the host is over, about a vTPM and
// in answer to the verifier's question.
type statement struct {
	vtpm     *vtpm
	is       *evidence.Statement
	raw      []byte
	hardware *quoted
}

// A guest is what a key that the statement names has quoted.
type guest struct {
	statement *statement
	quote     *quoted
}

var (
	measurers = map[evidence.Measurer]string{evidence.Unmeasured: "nobody", evidence.Host: "host", evidence.Administrator: "administrator"}
	guards    = map[evidence.Guard]string{evidence.Strict: "strict", evidence.Bounded: "bounded", evidence.Budget: "budget"}
)

// verifyStatement verifies the hardware quote and the statement below it.
func (v *vtpm) verifyStatement(e *evidence.Evidence, q Question, p *Policy) (*statement, error) {
	st, err := evidence.ParseStatement(e.Statement)
	if err != nil {
		return nil, refuse(Malformed, "%v", err)
	}
	s := &statement{vtpm: v, is: st, raw: e.Statement}
	if err := s.verifyHardware(e, p); err != nil {
		return nil, err
	}
	if err := s.checkIdentity(q, p); err != nil {
		return nil, err
	}
	return s, s.check(p)
}

func (s *statement) verifyHardware(e *evidence.Evidence, p *Policy) error {
	proof, err := evidence.ParseProof(e.Proof)
	if err != nil {
		return refuse(Proof, "%v", err)
	}
	root, err := proof.Root(evidence.Leaf(e.Statement))
	if err != nil {
		return refuse(Proof, "%v", err)
	}
	l := hardwareLayer()
	claims := s.vtpm.host.claims
	if s.hardware, err = l.verifyQuote(e.Hardware, claims.AK, evidence.HardwareNonce(claims.Manager, proof.Size, root)); err != nil {
		return err
	}
	if err := l.checkPCRs(s.hardware, p.HardwarePCRs); err != nil {
		return err
	}
	return l.checkLog(s.hardware, e.HardwareLog, p.RequireHardwareLog)
}

// checkIdentity holds the statement against question and EK certificate.
func (s *statement) checkIdentity(q Question, p *Policy) error {
	st, c := s.is, s.vtpm.claims
	hash, err := cert.KeyHash(s.vtpm.ek.PublicKey)
	if err != nil {
		return refuse(EKCertificate, "%v", err)
	}
	switch {
	case !bytes.Equal(st.Nonce, q.Nonce):
		return refuse(Nonce, "it answers %x", st.Nonce)
	case st.Manager != c.Manager:
		return refuse(OtherManager, "manager %x, certificate of %x", st.Manager, c.Manager)
	case st.UUID != c.UUID || st.Group != c.Group:
		return refuse(OtherVTPM, "vTPM %x of group %d, certificate of %x of group %d", st.UUID, st.Group, c.UUID, c.Group)
	case st.LedgerEpoch != c.LedgerEpoch || st.Epoch != c.Epoch:
		return refuse(OtherEpoch, "epochs %d and %d, certificate of %d and %d", st.LedgerEpoch, st.Epoch, c.LedgerEpoch, c.Epoch)
	case !slices.Contains(st.EKs, hash):
		return refuse(OtherEK, "the key of %s", s.vtpm.ek.Subject)
	}
	if age := q.Now.Sub(time.Unix(int64(min(st.Time, 1<<40)), 0)); p.maxAge != 0 && age.Abs() > p.maxAge {
		return refuse(Stale, "it was made %v ago", age.Round(time.Second))
	}
	return nil
}

// check appraises what the statement says.
func (s *statement) check(p *Policy) error {
	st, c := s.is, s.vtpm.claims
	switch {
	case !allowed(p.Managers, st.Manager[:]):
		return refuse(Manager, "manager %x", st.Manager)
	case !allowed(p.ManagerImages, st.ManagerImage[:]):
		return refuse(ManagerImage, "image %x", st.ManagerImage)
	case st.ManagerSecurityVersion < p.ManagerMinVersion:
		return refuse(ManagerVersion, "version %d, the policy wants %d", st.ManagerSecurityVersion, p.ManagerMinVersion)
	case !allowed(p.UUIDs, st.UUID[:]):
		return refuse(UUID, "vTPM %x", st.UUID)
	case len(p.Groups) > 0 && !slices.Contains(p.Groups, st.Group):
		return refuse(Group, "group %d", st.Group)
	case len(p.MeasuredBy) > 0 && !slices.Contains(p.MeasuredBy, measurers[st.Measurer]):
		return refuse(Unmeasured, "measured by %s", measurers[st.Measurer])
	case !allowed(p.Images, st.Image[:]):
		return refuse(Image, "image %x", st.Image)
	case c.Image != [32]byte{} && c.Image != st.Image:
		return refuse(Image, "image %x, certificate of %x", st.Image, c.Image)
	case min(st.SecurityVersion, c.SecurityVersion) < p.MinVersion:
		return refuse(Version, "version %d, the policy wants %d", min(st.SecurityVersion, c.SecurityVersion), p.MinVersion)
	}
	return s.checkState(p)
}

func (s *statement) checkState(p *Policy) error {
	st := s.is
	switch {
	case p.MaxLedgerEpoch != nil && st.LedgerEpoch > *p.MaxLedgerEpoch:
		return refuse(Restored, "the ledger's epoch is %d", st.LedgerEpoch)
	case p.MaxEpoch != nil && st.Epoch > *p.MaxEpoch:
		return refuse(Restored, "the vTPM's epoch is %d", st.Epoch)
	case (st.Flags&evidence.Migratable != 0 || s.vtpm.claims.Migratable) && !p.AllowMigratable:
		return refuse(Migratable, "vTPM %x", st.UUID)
	case len(p.Guards) > 0 && !slices.Contains(p.Guards, guards[st.Guard]):
		return refuse(Guard, "guard %s, parameter %d", guards[st.Guard], st.Parameter)
	case p.RequireXSM && st.Flags&evidence.XSMEnforcing == 0:
		return refuse(XSM, "on manager %x", st.Manager)
	case p.RequireStart && st.Flags&evidence.StartMeasured == 0:
		return refuse(NotStart, "vTPM %x", st.UUID)
	case p.asksStart():
		return s.checkStart(p)
	}
	return nil
}

// checkStart appraises what the guest started with.
func (s *statement) checkStart(p *Policy) error {
	start := s.is.Start
	switch {
	case start == evidence.Start{}:
		return refuse(StartUnmeasured, "vTPM %x", s.is.UUID)
	case len(p.StartReportedBy) > 0 && !slices.Contains(p.StartReportedBy, measurers[start.Reporter]):
		return refuse(StartUnmeasured, "reported by %s", measurers[start.Reporter])
	case len(p.StartMeasurers) > 0 && !slices.Contains(p.StartMeasurers, start.Measurer):
		return refuse(StartUnmeasured, "measured by %s", start.Measurer)
	case !allowed(p.StartImages, start.Program[:]):
		return refuse(StartImage, "program %x", start.Program)
	}
	return nil
}

// verifyGuest verifies the guest's quote.
func (s *statement) verifyGuest(e *evidence.Evidence, p *Policy) (*guest, error) {
	hardware, err := evidence.ParseQuote(e.Hardware)
	if err != nil {
		return nil, refuse(Malformed, "%v", err)
	}
	l := guestLayer()
	q, err := l.verifyQuote(e.Guest, s.is.AK, evidence.GuestNonce(s.raw, hardware.Attest))
	if err != nil {
		return nil, err
	}
	if err := l.checkPCRs(q, p.GuestPCRs); err != nil {
		return nil, err
	}
	if err := l.checkLog(q, e.GuestLog, p.RequireGuestLog || len(p.GuestEvents) > 0); err != nil {
		return nil, err
	}
	return &guest{s, q}, checkEvents(q, p.GuestEvents)
}

// checkEvents refuses a log with an event that the policy does not name, in the
// PCRs for which it names any. Separators need no name.
func checkEvents(q *quoted, want map[string][]string) error {
	for pcr := range want {
		if !slices.ContainsFunc(q.pcrs, func(p evidence.PCR) bool { return p.Bank == 0x000B && pcrNumber(int(p.Index)) == pcr }) {
			return refuse(GuestEvents, "PCR %s was not quoted", pcr)
		}
	}
	for _, e := range q.log {
		values, ok := want[pcrNumber(e.Index)]
		digest := hex.EncodeToString(e.Digest)
		if ok && !contains(values, digest) && digest != separator {
			return refuse(GuestEvents, "PCR %d: %s %s", e.Index, e.Type, strings.ToValidUTF8(digest, "?"))
		}
	}
	return nil
}

// separator is the SHA-256 digest of EV_SEPARATOR's four zero bytes.
const separator = "df3f619804a92fdb4057192dc43dd748ea778adc52bc498ce80524c014b81119"
