package vtpmmgr

import (
	"fmt"
	"time"

	"stubtpm/vtpmmgr/evidence"
	"stubtpm/vtpmmgr/proto"
)

// A guest is what the manager knows of the domains that have a vTPM. Whether one was
// just created only the host can tell: a domain that is restored has a new number, and
// numbers come back.
type guest struct {
	created creation
	told    time.Time // when the host told of the creation; zero if no creation counts

	// asked is the session in which the vTPM was last told of the creation, or restoration.
	// Only that vTPM made its TPM ready for the domain.
	asked *Session

	served uint16
	serves bool // served is valid

	// started is the session in which the domain that is served was found to be just
	// created. A vTPM that starts again has another, and its PCRs are gone.
	started *Session
	start   creation // of the domain that is served; valid with started
}

// startedIn reports whether the PCRs that a guest finds are those of its own start.
func (g guest) startedIn(s *Session) bool { return g.serves && g.started == s }

// creationLife is for how long a creation counts. A domain that ended before it had its
// TPM must not leave one behind for a restored domain of the same number: Xen's numbers
// do not go round in that time.
const creationLife = 15 * time.Minute

// isTold reports whether the host told of a domain, which did not have the TPM since.
func (g *guest) isTold(domain uint16) bool {
	return !g.told.IsZero() && g.created.domain == domain && time.Since(g.told) < creationLife
}

// isCreated reports whether a domain was just created, and did not have the TPM yet.
func (g *guest) isCreated(domain uint16) bool { return g.isTold(domain) && g.created.token == nil }

// isRestored reports whether a domain was just restored, and did not have the TPM yet.
func (g *guest) isRestored(domain uint16) bool { return g.isTold(domain) && g.created.token != nil }

// startOf returns what the host reported of a domain's start, as long as that counts.
func (g *guest) startOf(domain uint16) proto.Start {
	if g.isRestored(domain) {
		return proto.Start{Restored: true, Token: *g.created.token}
	}
	created := g.isCreated(domain)
	return proto.Start{Created: created, Measured: created && g.created.program != nil}
}

// mayHave returns whether a domain may have the TPM by what the record requires of its
// start. The domain that has it keeps it, whatever the record requires since: a vTPM that
// outlives its manager says which one that is.
func (g *guest) mayHave(r *record, domain uint16, served bool) proto.Code {
	switch {
	case g.isCreated(domain):
		return r.mayStart(g.created.program)
	case g.isRestored(domain):
		return proto.OK // if it fits, which the vTPM finds out
	case g.serves && g.served == domain, served && !g.serves:
		return proto.OK
	}
	return r.mayStart(nil)
}

// forgetCreation has what the host told count no more.
func (g *guest) forgetCreation() { g.created, g.told, g.asked = creation{}, time.Time{}, nil }

// ask notes that a vTPM was told of a domain's start, and makes its TPM ready for it: the
// PCRs that were in it are gone.
func (g *guest) ask(s *Session, domain uint16) {
	if g.isTold(domain) {
		g.asked = s
	}
	g.started, g.start = nil, creation{}
}

// serve notes that a domain has the TPM now, and uses its creation up: from here on the
// domain's life is known. The creation of another domain waits for that. The PCRs are
// those of the start only if the vTPM knew of the creation before: one that finds the
// number of the domain that it served last keeps its TPM as it is.
func (g *guest) serve(s *Session, domain uint16) {
	switch {
	case g.isCreated(domain) && g.asked == s:
		g.started, g.start = s, g.created
	case g.isCreated(domain) || g.served != domain || g.started != s:
		g.started, g.start = nil, creation{}
	}
	if g.created.domain == domain {
		g.forgetCreation()
	}
	g.served, g.serves = domain, true
}

// creation is what the host tells of a domain that did not run yet: that it was created, or
// restored.
type creation struct {
	domain  uint16
	program *proto.Program         // nil if it was not measured
	token   *[proto.TokenSize]byte // that is in the image that was restored; nil for a new domain
	by      evidence.Measurer
}

// how returns which of both it is, for a message.
func (c creation) how() string {
	if c.token != nil {
		return "restored"
	}
	return "created"
}

// String returns what was measured, for a message.
func (c creation) String() string {
	if c.program == nil {
		return ""
	}
	return fmt.Sprintf(", and starts %x, measured by %s", c.program.Hash, c.program.Measurer)
}
