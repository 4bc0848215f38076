package drive

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"time"

	"stubtpm/vtpm"
	"stubtpm/vtpm/tcg"
)

// A Device is the device under test: a *vtpm.Device, or one with a deliberate fault.
type Device interface {
	Execute(locality uint8, command []byte) []byte
	Init()
	Volatile() ([]byte, error)
}

// A Maker creates devices. Its functions are those of package vtpm.
type Maker struct {
	Manufacture func(vtpm.Config) (Device, error)
	Load        func(c vtpm.Config, state []byte) (Device, error)
	Resume      func(c vtpm.Config, state, volatile []byte) (Device, error)

	// Without names invariants to ignore.
	Without []string
}

// VTPM returns the Maker of package vtpm.
var VTPM = Maker{
	Manufacture: func(c vtpm.Config) (Device, error) { return device(vtpm.Manufacture(c)) },
	Load:        func(c vtpm.Config, state []byte) (Device, error) { return device(vtpm.Load(c, state)) },
	Resume: func(c vtpm.Config, state, volatile []byte) (Device, error) {
		return device(vtpm.Resume(c, state, volatile))
	},
}

func device(d *vtpm.Device, err error) (Device, error) {
	if err != nil {
		return nil, err
	}
	return d, nil
}

var errStore = errors.New("the store was told to fail")

// A store keeps a state in memory. It is a vtpm.Store.
type store struct {
	known []byte // state of the last Save that returned nil
	kept  []byte // state that a Load would find

	fails int  // number of saves that will fail; negative for all
	late  bool // a save that fails takes effect nevertheless
	saves int
	owing bool // the last save failed
}

func (s *store) Save(state []byte) error {
	s.saves++
	s.owing = s.fails != 0
	if s.fails == 0 {
		s.known = bytes.Clone(state)
		s.kept = s.known
		return nil
	}
	if s.fails > 0 {
		s.fails--
	}
	if s.late {
		s.kept = bytes.Clone(state)
	}
	return errStore
}

// A machine is a device with a store, a clock and a random source that the driver
// controls, so that its events determine its behaviour.
type machine struct {
	Device
	store store
	rand  *rand.ChaCha8
	now   time.Duration
	logs  []string
}

// start is the time of a new machine.
const start = time.Hour

func (m *machine) config() vtpm.Config {
	return vtpm.Config{
		Store: &m.store,
		Rand:  m.rand,
		Now:   func() time.Duration { return m.now },
		Log:   func(format string, args ...any) { m.logs = append(m.logs, format) },
	}
}

// seedOf returns the seed of an event's random numbers. Each event has its own, so that
// it has the same effect if earlier ones are left out.
func seedOf(seed uint64, id int) (b [32]byte) {
	for i := range 8 {
		b[i] = byte(seed >> (8 * i))
		b[8+i] = byte(uint64(id) >> (8 * i))
	}
	return b
}

func manufacture(mk *Maker, seed uint64) (*machine, error) {
	m := &machine{rand: rand.NewChaCha8(seedOf(seed, 0)), now: start}
	c := m.config()
	if version185(seed) {
		c.Profile = tcg.NamedProfile("default-v2")
	}
	var err error
	m.Device, err = mk.Manufacture(c)
	return m, err
}

// version185 reports whether the device of a seed has the keys and commands of version
// 1.85: each second one.
func version185(seed uint64) bool { return seed%2 == 0 }

// A snapshot is the complete state of a device.
type snapshot struct {
	state    []byte // as last saved
	volatile []byte
	now      time.Duration
}

func (m *machine) snapshot() (s snapshot, err error) {
	s = snapshot{state: m.store.known, now: m.now}
	s.volatile, err = m.Volatile()
	return s, err
}

// elsewhere returns the time of another process. Its clock started at another moment,
// before or after this one's.
func elsewhere(now time.Duration) time.Duration {
	const ahead = 1000 * time.Hour
	if now < ahead {
		return now + ahead
	}
	return now - ahead + time.Second
}

// resume returns another machine from a snapshot, with a store that does not fail.
func (s *snapshot) resume(mk *Maker) (*machine, error) {
	m := &machine{rand: rand.NewChaCha8([32]byte{}), now: elsewhere(s.now), store: store{known: s.state, kept: s.state}}
	var err error
	m.Device, err = mk.Resume(m.config(), s.state, s.volatile)
	return m, err
}

// load returns another machine from a saved state.
func load(mk *Maker, state []byte, now time.Duration) (*machine, error) {
	m := &machine{rand: rand.NewChaCha8([32]byte{}), now: elsewhere(now), store: store{known: state, kept: state}}
	var err error
	m.Device, err = mk.Load(m.config(), state)
	return m, err
}
