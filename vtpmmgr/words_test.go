package vtpmmgr

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// An event is what has happened to words, which are what the host tells of starts.
type event struct {
	kind    string // told, refused, served, restart, destroyed, aged
	vtpm    UUID
	domain  uint16
	program *proto.Program // of told
}

// A wordWorld has a manager, vTPMs that ask about any domain at any time, and a host that
// tells of domains whose numbers come back at once.
type wordWorld struct {
	t    *testing.T
	r    *rand.Rand
	cfg  Config
	m    *Manager
	past []event

	vtpms    [3]UUID
	clients  map[UUID]*proto.Client
	sessions map[UUID]*Session
	requires map[UUID]*proto.Enrollment

	order []byte // the last one that told of a start

	fault string // what the manager does wrong; see faults
}

// faults are what a manager could do wrong with words.
var faults = []string{"serving does not use it up", "a start of the manager keeps it", "all vTPMs have it", "it counts forever",
	"it counts for a domain of another number", "its program is another's", "a refused one is kept"}

// words returns what the manager keeps of words.
func (w *wordWorld) words() map[UUID]guest {
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	return maps.Clone(w.m.guests)
}

// keep has the manager keep words, as a fault.
func (w *wordWorld) keep(words map[UUID]guest, to ...UUID) {
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	for _, u := range to {
		g, from := w.m.guests[u], words[u]
		if w.fault == "all vTPMs have it" {
			from = words[to[0]]
		}
		g.created, g.told = from.created, from.told
		w.m.guests[u] = g
	}
}

func newWordWorld(t *testing.T, seed uint64) *wordWorld {
	t.Helper()
	w := &wordWorld{t: t, r: rand.New(rand.NewPCG(seed, 11)), vtpms: [3]UUID{{1}, {2}, {3}}, clients: map[UUID]*proto.Client{},
		sessions: map[UUID]*Session{}, requires: map[UUID]*proto.Enrollment{}}
	w.cfg = Config{TPM: hardwareTPM(t), Disk: blocktest.NewMem(testDisk), Log: func(string, ...any) {},
		Mode: ledger.Budget(ledger.DefaultEndurance, ledger.DefaultYears)}
	var err error
	if w.m, err = Initialize(w.cfg, testSetup()); err != nil {
		t.Fatal(err)
	}
	for _, u := range w.vtpms {
		w.enroll(u)
		w.connect(u)
	}
	return w
}

// must is for what has to succeed.
func (w *wordWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// requirement returns an enrollment that asks anything of starts.
func (w *wordWorld) requirement(u UUID) *proto.Enrollment {
	e := &proto.Enrollment{UUID: u}
	switch w.r.IntN(5) {
	case 0:
		return e
	case 1:
		e.Attested = true
		return e
	case 2:
		e.Programs = [][32]byte{kernelA.Hash}
	case 3:
		e.Programs = [][32]byte{{9}, kernelB.Hash}
	}
	e.Attested, e.Measured = true, true
	return e
}

func (w *wordWorld) enroll(u UUID) {
	w.t.Helper()
	w.requires[u] = w.requirement(u)
	w.must(as(w.t, w.m, testAdmin).Enroll(w.requires[u]))
}

// connect connects a vTPM, in place of its session so far.
func (w *wordWorld) connect(u UUID) {
	w.t.Helper()
	if s := w.sessions[u]; s != nil {
		s.Close()
	}
	w.m.mu.Lock()
	w.m.sharesOf(u).tpm = bucket{}
	w.m.mu.Unlock()
	s, err := w.m.Open(Peer{Domain: 100 + uint16(u[0]), UUID: u})
	w.must(err)
	w.sessions[u], w.clients[u] = s, &proto.Client{Transact: func(b []byte) ([]byte, error) { return s.Execute(b), nil }}
	g, err := w.clients[u].Load()
	w.must(err)
	if g.Manufacture {
		w.must(w.clients[u].Commit(testState(1)))
	}
}

func (w *wordWorld) restart() {
	w.t.Helper()
	words := w.words()
	w.m.Close()
	var err error
	w.m, err = Open(w.cfg)
	w.must(err)
	if w.fault == "a start of the manager keeps it" {
		w.keep(words, w.vtpms[:]...)
	}
	w.past = append(w.past, event{kind: "restart"})
	for _, u := range w.vtpms {
		w.connect(u)
	}
}

// word returns the word that counts for a domain and a vTPM, or nil: what was told last of
// either is about both, and that vTPM has not served that domain since.
func (w *wordWorld) word(u UUID, domain uint16) *event {
	for i := len(w.past) - 1; i >= 0; i-- {
		switch e := &w.past[i]; {
		case e.kind == "told" && e.vtpm == u && e.domain == domain:
			return e
		case e.kind == "restart", e.kind == "aged", e.kind == "destroyed" && e.vtpm == u, e.kind == "told" && e.vtpm == u,
			(e.kind == "told" || e.kind == "refused") && e.domain == domain,
			e.kind == "served" && e.vtpm == u && e.domain == domain:
			return nil
		}
	}
	return nil
}

// has returns the domain that has a TPM, as far as the manager can know.
func (w *wordWorld) has(u UUID) (domain uint16, known bool) {
	for i := len(w.past) - 1; i >= 0; i-- {
		switch e := &w.past[i]; {
		case e.kind == "served" && e.vtpm == u:
			return e.domain, true
		case e.kind == "restart", e.kind == "destroyed" && e.vtpm == u:
			return 0, false
		}
	}
	return 0, false
}

// allows returns what a record says of a domain that starts with a program.
func allows(e *proto.Enrollment, p *proto.Program) error {
	switch {
	case !e.Measured:
		return nil
	case p == nil:
		return proto.StartNotMeasured
	case len(e.Programs) == 0:
		return nil
	}
	for _, may := range e.Programs {
		if may == p.Hash {
			return nil
		}
	}
	return proto.WrongProgram
}

// tell has the host tell of a start.
func (w *wordWorld) tell(u UUID, domain uint16) error {
	key := testHost
	if w.r.IntN(4) == 0 {
		key = testAdmin
	}
	c := as(w.t, w.m, key)
	transact := c.Transact
	c.Transact = func(b []byte) ([]byte, error) {
		if _, o, _, _ := proto.Parse(b); proto.Ordinal(o) == proto.Created {
			w.order = bytes.Clone(b)
		}
		return transact(b)
	}
	program := []*proto.Program{nil, &kernelA, &kernelB}[w.r.IntN(3)]
	words := w.words()
	var err error
	if program == nil {
		err = c.Created(domain, u)
	} else {
		err = c.CreatedMeasured(domain, u, *program)
	}
	want := allows(w.requires[u], program)
	e := event{"told", u, domain, program}
	if want != nil {
		e.kind = "refused"
	}
	w.past = append(w.past, e)
	w.spoil(words, u, err)
	if !errors.Is(err, want) {
		return fmt.Errorf("told of %d with %x: %w, want %w", domain, u[0], err, want)
	}
	return nil
}

// spoil does what a fault does with a word that was told.
func (w *wordWorld) spoil(before map[UUID]guest, u UUID, err error) {
	now := w.words()
	g := now[u]
	switch {
	case w.fault == "a refused one is kept" && err != nil:
		w.keep(before, u)
	case err != nil:
	case w.fault == "all vTPMs have it":
		w.keep(now, append([]UUID{u}, w.vtpms[:]...)...)
	case w.fault == "it counts for a domain of another number":
		g.created.domain = g.created.domain%3 + 1
		w.keep(map[UUID]guest{u: g}, u)
	case w.fault == "its program is another's" && g.created.program == nil:
		g.created.program = &kernelA
		w.keep(map[UUID]guest{u: g}, u)
	}
}

// replay sends the order that told of a start last on another connection.
func (w *wordWorld) replay() error {
	if w.order == nil {
		return nil
	}
	s, err := w.m.Open(Peer{})
	w.must(err)
	defer s.Close()
	s.Execute(proto.Message(proto.TagAdmin, uint32(proto.Hello), nil))
	if _, code, _, err := proto.Parse(s.Execute(w.order)); err != nil || proto.Code(code) != proto.Unsigned {
		return fmt.Errorf("a replayed order: %v, %w", proto.Code(code), err)
	}
	return nil
}

// ask has a vTPM ask about a domain, or tell that it serves it.
func (w *wordWorld) ask(u UUID, domain uint16, served bool) error {
	word := w.word(u, domain)
	last, known := w.has(u)
	var want error
	switch {
	case word != nil:
		want = allows(w.requires[u], word.program)
	case known && last == domain, served && !known:
	default:
		want = allows(w.requires[u], nil)
	}
	words := w.words()
	start, err := w.clients[u].Guest(domain, served)
	if w.fault == "serving does not use it up" {
		w.keep(words, u)
	}
	what := fmt.Sprintf("vTPM %x, domain %d, served %v: %+v, %v", u[0], domain, served, start, err)
	if served && err == nil {
		w.past = append(w.past, event{kind: "served", vtpm: u, domain: domain})
	}
	switch {
	case !errors.Is(err, want):
		return fmt.Errorf("%s; want error %w", what, want)
	case err != nil:
	case start.Measured != (word != nil && word.program != nil):
		return fmt.Errorf("%s; the word that counts: %+v", what, word)
	case w.requires[u].Attested && start.Created != (word != nil):
		return fmt.Errorf("%s; the word that counts: %+v", what, word)
	}
	return nil
}

func (w *wordWorld) step() (what string, err error) {
	u, domain := w.vtpms[w.r.IntN(3)], uint16(1+w.r.IntN(3))
	if n := len(w.past); n > 0 && w.r.IntN(3) != 0 {
		// Where it hurts most: at what happened last.
		if last := w.past[n-1]; last.domain != 0 {
			u, domain = last.vtpm, last.domain
		}
	}
	switch n := w.r.IntN(24); {
	case n < 7:
		return fmt.Sprintf("told of %d with %x", domain, u[0]), w.tell(u, domain)
	case n < 8:
		return "replayed", w.replay()
	case n < 17:
		served := w.r.IntN(3) == 0
		return fmt.Sprintf("%x asks about %d, %v", u[0], domain, served), w.ask(u, domain, served)
	case n < 18:
		w.connect(u)
		return fmt.Sprintf("%x connects again", u[0]), nil
	case n < 19:
		w.restart()
		return "the manager starts again", nil
	case n < 22:
		w.requires[u] = w.requirement(u)
		w.must(as(w.t, w.m, testAdmin).Amend(w.requires[u]))
		return fmt.Sprintf("%x is amended", u[0]), nil
	case n < 23:
		w.m.mu.Lock()
		for u, g := range w.m.guests {
			if !g.told.IsZero() && w.fault != "it counts forever" {
				g.told = g.told.Add(-creationLife)
				w.m.guests[u] = g
			}
		}
		w.m.mu.Unlock()
		w.past = append(w.past, event{kind: "aged"})
		return "much later", nil
	}
	w.must(as(w.t, w.m, testAdmin).Destroy(u))
	w.past = append(w.past, event{kind: "destroyed", vtpm: u})
	w.enroll(u)
	w.connect(u)
	return fmt.Sprintf("%x is enrolled again", u[0]), nil
}

// run does steps, which it returns, until an answer is wrong.
func (w *wordWorld) run(steps int) (done []string, err error) {
	for range steps {
		what, err := w.step()
		if done = append(done, what); err != nil {
			return done, err
		}
	}
	return done, nil
}

// TestWordFaults: a manager that does something wrong with words does not pass TestWords.
func TestWordFaults(t *testing.T) {
	t.Parallel()
	for _, fault := range faults {
		found := false
		for seed := uint64(0); seed < 20 && !found; seed++ {
			w := newWordWorld(t, seed)
			w.fault = fault
			_, err := w.run(150)
			found = err != nil
			w.m.Close()
		}
		if !found {
			t.Errorf("%s: not found", fault)
		}
	}
}

// TestWords: whatever is told, asked, amended, lost and started again, that a start was
// measured counts for exactly the domain and the vTPM of the newest word, until that vTPM
// has served that domain, and once. A record that requires it lets no other domain have
// the TPM.
func TestWords(t *testing.T) {
	t.Parallel()
	streams, steps := uint64(60), 200
	if testing.Short() {
		streams, steps = 16, 150
	}
	measured := 0
	for seed := range streams {
		w := newWordWorld(t, seed)
		if done, err := w.run(steps); err != nil {
			t.Fatalf("stream %d: %v, after %q", seed, err, done)
		}
		for _, e := range w.past {
			if e.kind == "told" && e.program != nil {
				measured++
			}
		}
		w.m.Close()
	}
	if measured < int(streams) {
		t.Errorf("only %d words of a measured start", measured)
	}
}
