package tpmtest

import (
	"fmt"
	"math/rand/v2"
	"time"

	"stubtpm/vtpm"
	"stubtpm/vtpm/tcg"
)

// A TB is the part of testing.TB that the kit needs.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
}

// A TPM is a device, and the world that it is in. It is not safe for concurrent
// use.
type TPM struct {
	*vtpm.Device // replaced by another when the power is lost

	Store    *Store
	Clock    *Clock
	Locality uint8 // that commands come from

	tb  TB
	cfg vtpm.Config
}

// An Option changes what a TPM is made from. Store and Now are the TPM's own.
type Option func(*vtpm.Config)

// Profile is the option for a profile, given as its text: a name, or JSON (see
// tcg.ParseProfile).
func Profile(text string) Option {
	return func(c *vtpm.Config) {
		p, err := tcg.ParseProfile([]byte(text))
		if err != nil {
			panic(fmt.Sprintf("tpmtest: profile: %v", err))
		}
		c.Profile = p
	}
}

// Seed is the option for random numbers that are the same in each run: keys,
// nonces and all. Without it they come from crypto/rand.
func Seed(seed byte) Option {
	return func(c *vtpm.Config) { c.Rand = rand.NewChaCha8([32]byte{seed}) }
}

// New manufactures a TPM and starts it with TPM2_Startup(CLEAR). A tb of nil is
// for examples: what would fail a test panics.
func New(tb TB, options ...Option) *TPM {
	t := newTPM(tb, options)
	t.tb.Helper()
	d, err := vtpm.Manufacture(t.cfg)
	if err != nil {
		t.tb.Fatalf("tpmtest: %v", err)
	}
	t.Device = d
	t.Do(tcg.TPMCCStartup, nil, nil, tcg.TPMSUClear)
	return t
}

// Load returns the TPM of a state that a Store was given, powered on but not
// started.
func Load(tb TB, state []byte, options ...Option) *TPM {
	t := newTPM(tb, options)
	t.tb.Helper()
	t.Store.state = state
	t.PowerCycle()
	return t
}

func newTPM(tb TB, options []Option) *TPM {
	if tb == nil {
		tb = panics{}
	}
	t := &TPM{Store: new(Store), Clock: &Clock{now: time.Hour}, tb: tb}
	for _, o := range options {
		o(&t.cfg)
	}
	t.cfg.Store, t.cfg.Now = t.Store, t.Clock.Now
	return t
}

// Send runs a command's bytes. It makes a TPM a transport.TPM of
// github.com/google/go-tpm; the error is always nil.
func (t *TPM) Send(command []byte) ([]byte, error) {
	return t.Execute(t.Locality, command), nil
}

// panics is the TB of a nil.
type panics struct{}

func (panics) Helper() {}

func (panics) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
