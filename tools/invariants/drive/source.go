package drive

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"

	"stubtpm/tools/difftest/stream"
)

// A source is a stream.TPM that turns the generator's commands into events, and adds
// other events between them.
type source struct {
	c      *Checker
	r      *rand.Rand
	events []Event
	sent   []byte // the last command, and the response to it
	answer []byte
}

func (s *source) apply(e Event) ([]byte, error) {
	e.ID = len(s.events) + 1
	s.events = append(s.events, e)
	return s.c.Apply(e)
}

// Execute implements stream.TPM.
func (s *source) Execute(cmd []byte) ([]byte, error) {
	if err := s.between(); err != nil {
		return nil, err
	}
	e := Event{Kind: Run, Command: bytes.Clone(cmd)}
	if s.r.IntN(25) == 0 {
		e.Locality = uint8(s.r.IntN(6))
	}
	var err error
	s.sent = e.Command
	s.answer, err = s.apply(e)
	return bytes.Clone(s.answer), err
}

// between adds, at times, another event.
func (s *source) between() error {
	var e Event
	switch n := s.r.IntN(400); {
	case n < 8:
		e = Event{Kind: Fail, N: 1 + s.r.IntN(3), Late: s.r.IntN(3) == 0}
	case n == 8:
		e = Event{Kind: Fail, N: -1, Late: s.r.IntN(3) == 0}
	case n < 40 && s.c.m.store.fails != 0:
		e = Event{Kind: Fail}
	case n < 43:
		e = Event{Kind: Resume}
	case n < 45:
		e = Event{Kind: Wait, N: 1 << s.r.IntN(26)}
	default:
		return nil
	}
	_, err := s.apply(e)
	return err
}

// Reset implements stream.TPM.
func (s *source) Reset() error {
	e := Event{Kind: Init}
	if s.r.IntN(3) == 0 {
		e.Kind = Reload
	}
	if _, err := s.apply(Event{Kind: Fail}); err != nil {
		return err
	}
	_, err := s.apply(e)
	return err
}

// Look implements stream.Looker.
func (s *source) Look(cmd []byte) error {
	_, err := s.apply(Event{Kind: Look, Command: bytes.Clone(cmd)})
	return err
}

// An echo is the other side of the generator's pair: it returns the same responses.
type echo struct{ of *source }

func (e echo) Execute(cmd []byte) ([]byte, error) {
	if !bytes.Equal(cmd, e.of.sent) {
		return nil, fmt.Errorf("drive: the generator's sides differ: %x and %x", e.of.sent, cmd)
	}
	return bytes.Clone(e.of.answer), nil
}

func (echo) Reset() error { return nil }

// Options are the options of a search.
type Options struct {
	Maker    Maker
	Seed     uint64
	Commands int                  // approximate maximum
	Stop     func() bool          // called before each episode: reports whether to end
	Each     func(*Found) bool    // called for each violation: reports whether to continue; if nil, the search ends
	Log      func(string, ...any) // a line for each command, if set
}

// A Found is a violation with the seed and the events of its episode.
type Found struct {
	Seed      uint64
	Events    []Event
	Violation *Violation
}

// A Report is the result of a search.
type Report struct {
	Found  *Found
	Last   uint64 // seed of the last episode
	Passed int    // number of violations after which the search continued
	Stream *stream.Result
	Stats  Stats

	events []Event // of the last episode
}

// Search runs episodes until one violates an invariant or o.Commands were sent. The
// *Found is nil if there was no violation.
func Search(o Options) (*Report, error) {
	rep := new(Report)
	for seed := o.Seed; ; seed++ {
		if rep.Stats.Commands >= o.Commands || o.Stop != nil && o.Stop() {
			return rep, nil
		}
		rep.Last = seed
		found, err := episode(&o, rep, seed)
		if found != nil && o.Each != nil && o.Each(found) {
			rep.Passed++
			continue
		}
		if found != nil || err != nil {
			rep.Found = found
			return rep, err
		}
	}
}

const episodeCommands = 300

func episode(o *Options, rep *Report, seed uint64) (*Found, error) {
	c, err := NewChecker(&o.Maker, seed)
	if err != nil {
		return nil, err
	}
	s := &source{c: c, r: rand.New(rand.NewPCG(seed, 1))}
	defer func() { rep.events = s.events }()
	res, err := stream.Run(stream.Options{
		Seed: seed, Commands: episodeCommands, Episode: episodeCommands, Log: o.Log, Wild: true, V185: version185(seed),
		Open: func() (stream.TPM, stream.TPM, func(), error) { return s, echo{s}, func() {}, nil },
	})
	rep.Stats.add(&c.Stats)
	rep.Stream = stream.Merge(rep.Stream, res)
	var v *Violation
	if errors.As(err, &v) {
		v.At = len(s.events) - 1
		return &Found{seed, s.events, v}, nil
	}
	if err == nil && len(res.Divergences) > 0 {
		v = violated(Model, "%s", res.Divergences[0].What)
		v.At = len(s.events) - 1
		return &Found{seed, s.events, v}, nil
	}
	return nil, err
}
