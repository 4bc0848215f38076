package verify

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"stubtpm/vtpmmgr/evidence"
)

// A pool has what mutants are put together of, and what may be accepted.
type pool struct {
	parts []*evidence.Evidence // sound evidence first, then that of forgers
	certs [][]byte
	truth map[string]bool // see truth
}

func newPool(w *world, policies []*Policy) *pool {
	now, again := making{w: w, of: w.va}.make(), making{w: w, of: w.va}.make()
	other := making{w: w, of: w.va, statement: func(s *evidence.Statement) { s.Nonce = flip(s.Nonce, 3) }}.make()
	restored := making{w: w, of: w.va, statement: func(s *evidence.Statement) { s.Epoch++ }}.make()
	b, c := making{w: w, of: w.vb}.make(), making{w: w, of: w.other}.make()
	p := &pool{parts: []*evidence.Evidence{now, again, other, restored, b, c}, truth: map[string]bool{}}
	for _, e := range p.parts {
		e.CRLs = w.crls(nil, nil, days(2))
	}
	p.addForged(w)
	b.CRLs = w.crls(w.a.issuer.Certificate, nil, days(2))
	p.certs = [][]byte{w.site.Certificate.Raw, w.a.issuer.Certificate.Raw, w.b.issuer.Certificate.Raw, w.va.cert, w.vb.cert, w.other.cert,
		w.stranger().Raw, w.forgedHost(), w.unlimited(), w.plainEK()}
	for _, e := range []*evidence.Evidence{now, again, b, c} {
		whole := *e
		whole.CRLs = now.CRLs
		without := whole
		without.GuestLog = nil
		for _, policy := range policies {
			p.allow(w, &whole, policy)
			p.allow(w, &without, policy)
		}
	}
	return p
}

// addForged adds the tampered evidence that is to be refused by every policy:
// forgers quote with keys of their own and have a host certify keys that are none
// of its vTPM's.
func (p *pool) addForged(w *world) {
	asked := []Reason{NoRevocation, ManagerImage, ManagerVersion, Stale, Unmeasured, Version, Migratable, Guard, XSM, NotStart, StartUnmeasured, StartImage}
	for _, c := range tamperings(w) {
		if c.p != nil || c.q != nil || slices.Contains(asked, c.want) {
			continue
		}
		e := *p.parts[0]
		if m := c.steps; m.changes() {
			m.w, m.of = w, w.va
			e = *m.make()
		}
		if c.e != nil {
			c.e(w, &e)
		}
		p.parts = append(p.parts, &e)
	}
}

func (p *pool) allow(w *world, e *evidence.Evidence, policy *Policy) {
	if r, err := Verify(marshal(w.t, e), w.question(), policy); err == nil {
		p.truth[w.truth(e, r)] = true
	}
}

// truth is what evidence that is accepted must have in common with sound
// evidence: what the verifier says of it, and all that is signed.
func (w *world) truth(e *evidence.Evidence, r *Result) string {
	said, _ := json.Marshal(r)
	certs, err := x509.ParseCertificates(e.Chain)
	if err != nil {
		w.t.Fatal(err)
	}
	s := fmt.Sprintf("%s, log %t, certificates %x, %x, statement %x", said, e.GuestLog != nil, certs[0].Raw, e.EK, e.Statement)
	for _, b := range [][]byte{e.Hardware, e.Guest} {
		q, err := evidence.ParseQuote(b)
		if err != nil {
			w.t.Fatal(err)
		}
		s += fmt.Sprintf(", quote %x by %x", q.Attest, q.Key)
	}
	return s
}

// field returns one section of evidence, by a number below 9.
func field(e *evidence.Evidence, i int) *[]byte {
	return []*[]byte{&e.Chain, &e.EK, &e.Statement, &e.Proof, &e.Hardware, &e.Guest, &e.GuestLog, &e.HardwareLog, &e.CRLs}[i]
}

// reasonsOf has the reasons that name a section, in the order of field.
func reasonsOf(i int) []Reason {
	span := func(from, to Reason) (list []Reason) {
		for r := from; r <= to; r++ {
			list = append(list, r)
		}
		return append(list, Malformed, Incomplete)
	}
	return [][]Reason{
		append(span(Untrusted, EKManager), HardwareKey), append(span(EKCertificate, EKManager), OtherVTPM, OtherEpoch, OtherEK), append(span(Nonce, NotStart), StartUnmeasured, StartImage), {Proof, HardwareBinding, Incomplete},
		append(span(HardwareKey, HardwareLog), GuestBinding), span(GuestKey, GuestEvents), {GuestLog, GuestEvents}, {HardwareLog},
		{Revoked, NoRevocation, Malformed},
	}[i]
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// mutate changes section i of e.
func (p *pool) mutate(r *rand.Rand, e *evidence.Evidence, i int) {
	b := field(e, i)
	switch r.IntN(8) {
	case 0, 1:
		*b = *field(pick(r, p.parts), i)
	case 2:
		*b = nil
	case 3, 4:
		*b = spoil(r, *b)
	default:
		p.mutateInside(r, b, i)
	}
	if len(*b) == 0 {
		*b = nil // as Marshal wants it
	}
}

// spoil changes bytes without a look at what they mean.
func spoil(r *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	if len(b) == 0 {
		return []byte{byte(r.Uint32())}
	}
	at := r.IntN(len(b))
	switch r.IntN(4) {
	case 0:
		b[at] ^= 1 << r.IntN(8)
	case 1:
		b[at] = pick(r, []byte{0, 1, 0x7F, 0x80, 0xFF})
	case 2:
		b = b[:at]
	default:
		b = append(b, byte(r.Uint32()))
	}
	return b
}

// mutateInside changes a field of a section, and keeps its form.
func (p *pool) mutateInside(r *rand.Rand, b *[]byte, i int) {
	switch i {
	case 0:
		*b = nil
		for range 1 + r.IntN(4) {
			*b = append(*b, pick(r, p.certs)...)
		}
	case 1:
		*b = pick(r, p.certs)
	case 2:
		*b = p.mutateStatement(r, *b)
	case 3:
		*b = mutateProof(r, *b)
	case 4, 5:
		*b = p.mutateQuote(r, *b)
	case 6, 7:
		*b = append(bytes.Clone(*b), pick(r, p.parts).GuestLog...)
	case 8:
		*b = append(bytes.Clone(*b), pick(r, p.parts).CRLs...)
	}
}

func (p *pool) mutateStatement(r *rand.Rand, b []byte) []byte {
	s, err := evidence.ParseStatement(b)
	o, err2 := evidence.ParseStatement(pick(r, p.parts).Statement)
	if err != nil || err2 != nil {
		return b
	}
	for range 1 + r.IntN(2) {
		[]func(){
			func() { s.Salt[r.IntN(16)]++ }, func() { s.Manager = o.Manager }, func() { s.UUID = o.UUID }, func() { s.Group += r.Uint32N(3) },
			func() { s.LedgerEpoch += r.Uint32N(3) }, func() { s.Epoch += r.Uint32N(3) }, func() { s.Time += r.Uint64N(100) },
			func() { s.Image[r.IntN(32)]++ }, func() { s.Measurer = evidence.Administrator }, func() { s.Flags ^= 1 << r.IntN(3) },
			func() { s.SecurityVersion++ }, func() { s.Guard, s.Parameter = evidence.Bounded, r.Uint64() }, func() { s.ManagerImage[r.IntN(32)]++ },
			func() { s.ManagerSecurityVersion++ }, func() { s.Nonce = o.Nonce }, func() { s.AK = o.AK }, func() { s.EKs = o.EKs }, func() { s.Label += "x" },
		}[r.IntN(18)]()
	}
	if b, err := s.Marshal(); err == nil {
		return b
	}
	return b
}

func mutateProof(r *rand.Rand, b []byte) []byte {
	p, err := evidence.ParseProof(b)
	if err != nil {
		return b
	}
	[]func(){
		func() { p.Index = r.Uint32N(p.Size + 2) }, func() { p.Size = 1 << r.IntN(20) },
		func() { p.Path = append(p.Path, evidence.Hash{}) }, func() { p.Path = p.Path[:r.IntN(len(p.Path)+1)] }, func() { slices.Reverse(p.Path) },
	}[r.IntN(5)]()
	return p.Marshal()
}

// mutateQuote changes a quote, also to parts of another layer's.
func (p *pool) mutateQuote(r *rand.Rand, b []byte) []byte {
	q, err := evidence.ParseQuote(b)
	from := pick(r, p.parts)
	o, err2 := evidence.ParseQuote(pick(r, [][]byte{from.Hardware, from.Guest}))
	if err != nil || err2 != nil || len(q.PCRs) == 0 {
		return b
	}
	at := r.IntN(len(q.PCRs))
	[]func(){
		func() { q.Key = o.Key }, func() { q.Attest = o.Attest }, func() { q.Signature = o.Signature }, func() { q.PCRs = o.PCRs },
		func() { q.Attest, q.Signature = o.Attest, o.Signature }, func() { *q = *o }, func() { q.Key, q.Signature = o.Key, o.Signature },
		func() { q.PCRs = slices.Delete(q.PCRs, at, at+1) }, func() { q.PCRs = append(q.PCRs, q.PCRs[at]) },
		func() { q.PCRs[at].Index = uint8(r.IntN(24)) }, func() { q.PCRs[at].Bank = uint16(0xA + r.IntN(4)) },
		func() { q.PCRs[at].Digest = spoil(r, q.PCRs[at].Digest) },
		func() { q.Key = spoil(r, q.Key) }, func() { q.Attest = spoil(r, q.Attest) }, func() { q.Signature = spoil(r, q.Signature) },
	}[r.IntN(15)]()
	if b, err := q.Marshal(); err == nil {
		return b
	}
	return b
}

// TestMutants: whatever is put together of sound evidence, certificates and
// noise, what is accepted says no more than a sound piece of evidence that
// answers the question; the rest is refused for a reason, and where a single
// section was changed for one that names it.
func TestMutants(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	noCRLs := w.strict()
	noCRLs.RequireCRLs = false
	policies := []*Policy{w.strict(), noCRLs, {roots: noCRLs.roots, AllowMigratable: true}}
	p := newPool(w, policies)
	if len(p.truth) < 5 {
		t.Fatalf("%d results of sound evidence", len(p.truth))
	}
	n, counts, accepted := 30000, map[Reason]int{}, 0
	if testing.Short() {
		n = 3000
	}
	for seed := range n {
		r := rand.New(rand.NewPCG(uint64(seed), 12))
		e, changes := *p.parts[0], []int{}
		more := 1
		if seed%3 > 0 {
			e, more = *pick(r, p.parts), r.IntN(3)
			changes = append(changes, anySection)
		}
		for range more {
			i := r.IntN(9)
			changes = append(changes, i)
			p.mutate(r, &e, i)
		}
		got, err := Verify(w.wire(&e), w.question(), pick(r, policies))
		if err == nil {
			accepted++
			if !p.truth[w.truth(&e, got)] {
				t.Fatalf("seed %d, sections %v: accepted what nobody vouched for: %+v", seed, changes, got)
			}
			continue
		}
		if err := checkRefusal(got, err, changes); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		var refusal *Refusal
		errors.As(err, &refusal)
		counts[refusal.Reason]++
	}
	t.Logf("%d mutants, %d accepted that say the same; refused: %v", n, accepted, counts)
	if accepted == 0 || len(counts) < 30 {
		t.Errorf("%d accepted, %d reasons: the generator does not reach the checks", accepted, len(counts))
	}
}

// wire returns the wire form, also of what Marshal refuses.
func (w *world) wire(e *evidence.Evidence) []byte {
	b, err := e.Marshal()
	if err != nil {
		return []byte(err.Error())
	}
	return b
}

// anySection stands for changes to more than one.
const anySection = -1

// checkRefusal returns an error unless err is a refusal that names the section
// that was changed, if it was one only.
func checkRefusal(got *Result, err error, changes []int) error {
	var refusal *Refusal
	if got != nil || !errors.As(err, &refusal) || refusal.Detail == "" || refusal.Reason < Malformed || refusal.Reason > GuestEvents {
		return fmt.Errorf("sections %v: %v, result %v", changes, err, got)
	}
	// A statement that nobody vouches for is found by the hash of the tree.
	if i := changes[0]; len(changes) == 1 && i != anySection && !slices.Contains(append(reasonsOf(i), HardwareBinding), refusal.Reason) {
		return fmt.Errorf("section %d was changed, and the reason is %w", i, err)
	}
	return nil
}
