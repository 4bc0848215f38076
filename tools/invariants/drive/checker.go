package drive

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"stubtpm/vtpm"
	"stubtpm/vtpm/tcg"
)

// A Violation is an invariant that did not hold. It is an error.
type Violation struct {
	Invariant string // one of Invariants
	Detail    string
	At        int // index of the event, from 0
}

func (v *Violation) Error() string { return v.Invariant + ": " + v.Detail }

func violated(invariant, format string, args ...any) *Violation {
	return &Violation{Invariant: invariant, Detail: fmt.Sprintf(format, args...)}
}

// A Checker drives one device with events and checks the invariants after each.
type Checker struct {
	mk   *Maker
	seed uint64
	m    *machine
	last snapshot

	twin *machine // another device that must give the same responses, or nil
	left int      // events until the twin is dropped

	asserted map[uint32][]pcrValues // of policy sessions, by handle
	valued   map[uint32]bool        // policy sessions that need the value of what they authorize
	pins     map[uint32]*pin        // PIN indices

	saved   bool // by the last command
	started bool // since the last _TPM_Init
	held    bool // the store failed when time passed last

	Stats Stats
}

// Stats count what was checked, so that a test sees that it was.
type Stats struct {
	Events, Commands, Succeeded, Refused    int
	Loaded, Resumed, Contexts, Twins, Tries int
	Oracles, Looks, PolicyUses, FailedSaves int
}

// NewChecker manufactures a device. seed determines its random numbers.
func NewChecker(mk *Maker, seed uint64) (*Checker, error) {
	m, err := manufacture(mk, seed)
	if err != nil {
		return nil, err
	}
	c := &Checker{mk: mk, seed: seed, m: m, asserted: map[uint32][]pcrValues{}, valued: map[uint32]bool{}, pins: map[uint32]*pin{}}
	c.last, err = m.snapshot()
	return c, err
}

// Replay applies events to a new device. It returns the response to the last command,
// and a *Violation if an invariant was violated.
func Replay(mk *Maker, seed uint64, events []Event) (answer []byte, err error) {
	c, err := NewChecker(mk, seed)
	if err != nil {
		return nil, err
	}
	for i, e := range events {
		if answer, err = c.Apply(e); err != nil {
			if v, ok := err.(*Violation); ok {
				v.At = i
			}
			return answer, err
		}
	}
	return answer, nil
}

// Apply carries out one event and returns the response, if it is a command. Its error
// is a *Violation.
func (c *Checker) Apply(e Event) (answer []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = violated(NoPanic, "%v", p)
		}
	}()
	c.Stats.Events++
	switch e.Kind {
	case Run:
		return c.run(e)
	case Look:
		return c.look(e)
	case Wait:
		c.m.now += e.wait()
		if c.twin != nil {
			c.twin.now += e.wait()
		}
		if c.last, err = c.m.snapshot(); err != nil {
			return nil, violated(NoFailure, "%v", err)
		}
		// What time makes due is done before a command is looked at. Where that
		// fails it is tried again after some minutes, by a device that was resumed at
		// once: their Clocks may differ until then.
		c.held = c.m.store.fails != 0 || c.held && e.wait() < houseRetry
		e.Command = command(tcg.TPMCCGetTestResult)
		return c.run(e)
	case Fail:
		c.m.store.fails, c.m.store.late = e.N, e.Late
		if c.twin != nil {
			c.twin.store.fails, c.twin.store.late = e.N, e.Late
		}
		return nil, nil
	}
	return nil, c.power(e)
}

// power carries out an event that restarts or replaces the device.
func (c *Checker) power(e Event) error {
	m := c.m
	c.started = c.started && e.Kind == Resume
	switch e.Kind {
	case Init:
		// In the same process or in another one. Both must behave alike, except for
		// counts that could not be saved.
		c.twin = nil
		m.Init()
		if !m.store.owing && bytes.Equal(m.store.kept, m.store.known) {
			t, err := load(c.mk, m.store.kept, m.now)
			if err != nil {
				return violated(Loads, "%v", err)
			}
			c.pair(t)
		}
	case Reload:
		c.twin = nil
		// Counts that could not be saved go with the process, and what was saved
		// although the store said that it was not comes up in the next one.
		if m.store.owing || !bytes.Equal(m.store.kept, m.store.known) {
			for _, p := range c.pins {
				p.known = false
			}
		}
		t, err := load(c.mk, m.store.kept, m.now)
		if err != nil {
			return violated(Loads, "%v", err)
		}
		c.m = t
	case Resume:
		t, err := c.last.resume(c.mk)
		if err != nil && slices.Contains(c.mk.Without, Resumes) {
			return nil
		}
		if err != nil {
			return violated(Resumes, "%v", err)
		}
		t.store.fails, t.store.late, t.store.owing = m.store.fails, m.store.late, m.store.owing
		c.m, c.twin = t, nil
	default:
		return fmt.Errorf("drive: event of kind %q", e.Kind)
	}
	var err error
	if c.last, err = c.m.snapshot(); err != nil {
		return violated(NoFailure, "%v", err)
	}
	return nil
}

// pair makes another device execute the same commands for some events.
func (c *Checker) pair(t *machine) {
	t.store.fails, t.store.late = c.m.store.fails, c.m.store.late
	c.twin, c.left = t, twinEvents
	c.Stats.Twins++
}

const twinEvents = 25

// sometimes returns a random choice that depends only on the event and the check, so
// that it is the same if other events are left out.
func (c *Checker) sometimes(e Event, check uint64, oneIn int) bool {
	return rand.New(rand.NewPCG(c.seed^check, uint64(e.ID))).IntN(oneIn) == 0
}

func (c *Checker) run(e Event) ([]byte, error) {
	before := c.last
	c.Stats.Commands++
	saves := c.m.store.saves
	c.m.rand.Seed(seedOf(c.seed, e.ID))
	answer := c.m.Execute(e.Locality, e.Command)
	if err := wellFormed(answer); err != nil {
		return answer, err
	}
	rc := rcOf(answer)
	if rc == 0 {
		c.Stats.Succeeded++
	} else {
		c.Stats.Refused++
	}
	var err error
	c.last, err = c.m.snapshot()
	if rc == tcg.TPMRCFailure || err != nil && strings.Contains(err.Error(), "failure mode") {
		return answer, violated(NoFailure, "answered 0x%03X: %v", uint32(rc), err)
	}
	if err != nil {
		return answer, violated(Resumes, "%v", err)
	}
	w := parse(e.Command)
	c.started = c.started || w.code == tcg.TPMCCStartup && rc == 0
	c.saved = c.m.store.saves != saves
	for _, check := range []func(*snapshot, Event, *wire, []byte) error{
		c.loads, c.refused, c.resumes, c.contextLoads, c.triesCount, c.policyHolds, c.pinsCount, c.guess, c.twinAgrees,
	} {
		if err := check(&before, e, &w, answer); err != nil && !c.without(err) {
			return answer, err
		}
	}
	return answer, nil
}

// without reports whether an error is a violation that is to be ignored.
func (c *Checker) without(err error) bool {
	v, ok := err.(*Violation)
	return ok && slices.Contains(c.mk.Without, v.Invariant)
}

// wellFormed checks the header of a response (Part 1, 18.9, "Response Header").
func wellFormed(r []byte) error {
	if len(r) < 10 || len(r) > vtpm.MaxResponseSize || int(be32(r[2:])) != len(r) {
		return violated(WellFormed, "%x", r)
	}
	if rcOf(r) != 0 && len(r) != 10 {
		return violated(WellFormed, "an error of %d bytes: %x", len(r), r)
	}
	return nil
}

// loads checks that the saved state can be loaded.
func (c *Checker) loads(*snapshot, Event, *wire, []byte) error {
	if !c.saved {
		return nil
	}
	c.Stats.Loaded++
	s := &c.m.store
	if s.fails != 0 {
		c.Stats.FailedSaves++
	}
	if _, err := load(c.mk, s.kept, c.m.now); err != nil {
		return violated(Loads, "%v", err)
	}
	return nil
}

// resumes checks that a suspended device resumes in the same state.
func (c *Checker) resumes(before *snapshot, e Event, w *wire, answer []byte) error {
	if bytes.Equal(before.volatile, c.last.volatile) && !c.sometimes(e, 1, 20) {
		return nil
	}
	c.Stats.Resumed++
	t, err := c.last.resume(c.mk)
	if err != nil {
		return violated(Resumes, "%v", err)
	}
	s, err := t.snapshot()
	if err != nil {
		return violated(Resumes, "%v", err)
	}
	if !bytes.Equal(s.volatile, c.last.volatile) {
		return violated(Resumes, "volatile state differs at byte %d of %d", differAt(s.volatile, c.last.volatile), len(s.volatile))
	}
	if c.twin == nil && !c.held && c.sometimes(e, 2, 12) {
		c.pair(t)
		c.left++ // not this event
	}
	return nil
}

// houseRetry is how long a device rests after such a save.
const houseRetry = 10 * time.Minute

func differAt(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// unstable lists the commands whose responses depend on the process: on its random
// source, because the standard library accepts no other for ECDSA, RSAPSS, OAEP and
// RSAES, and on the self-tests that it has run.
func unstable(code tcg.TPMCC) bool {
	switch code {
	case tcg.TPMCCSign, tcg.TPMCCSignDigest, tcg.TPMCCSignSequenceComplete, tcg.TPMCCEncapsulate, tcg.TPMCCQuote, tcg.TPMCCCertify, tcg.TPMCCCertifyCreation, tcg.TPMCCCertifyX509, tcg.TPMCCGetTime, tcg.TPMCCNVCertify,
		tcg.TPMCCGetCommandAuditDigest, tcg.TPMCCGetSessionAuditDigest, tcg.TPMCCRSAEncrypt, tcg.TPMCCMakeCredential, tcg.TPMCCDuplicate, tcg.TPMCCRewrap,
		tcg.TPMCCIncrementalSelfTest, tcg.TPMCCGetTestResult:
		return true
	}
	return false
}

// twinAgrees sends the command to the twin too.
func (c *Checker) twinAgrees(before *snapshot, e Event, w *wire, answer []byte) error {
	if c.twin == nil {
		return nil
	}
	if c.left--; c.left == twinEvents {
		return nil // the twin was created after this event
	}
	t := c.twin
	t.rand.Seed(seedOf(c.seed, e.ID))
	got := t.Execute(e.Locality, e.Command)
	if unstable(w.code) {
		if rcOf(got) != rcOf(answer) {
			return violated(SameAnswers, "answered 0x%03X, restored 0x%03X", uint32(rcOf(answer)), uint32(rcOf(got)))
		}
		if !bytes.Equal(got, answer) {
			c.twin = nil // an audit digest may contain its response
			return nil
		}
	}
	if !bytes.Equal(got, answer) {
		return violated(SameAnswers, "answered %x, restored %x", answer, got)
	}
	s, err := t.snapshot()
	if err != nil {
		return violated(NoFailure, "restored: %v", err)
	}
	if !bytes.Equal(s.state, c.last.state) {
		return violated(SameAnswers, "permanent state differs at byte %d of %d", differAt(s.state, c.last.state), len(s.state))
	}
	// Up to TPM2_Startup, a device may still have what it will lose then.
	if c.started && !bytes.Equal(s.volatile, c.last.volatile) {
		return violated(SameAnswers, "volatile state differs at byte %d of %d", differAt(s.volatile, c.last.volatile), len(s.volatile))
	}
	if c.left <= 0 {
		c.twin = nil
	}
	return nil
}
