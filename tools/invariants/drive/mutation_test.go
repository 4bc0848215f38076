package drive

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"stubtpm/vtpm"
	"stubtpm/vtpm/tcg"
)

// A faulty device is ours with a deliberate fault: its functions, which may be nil.
type faulty struct {
	Device
	cfg    vtpm.Config
	before func(f *faulty, command []byte)
	after  func(f *faulty, command, answer []byte) []byte
	off    func(f *faulty) // at _TPM_Init, before it

	saved *recording
	kept  snapshot // for the fault's own use
}

// A recording is a store that keeps the last state it was given.
type recording struct {
	vtpm.Store
	state  []byte
	failed bool
}

func (r *recording) Save(state []byte) error {
	err := r.Store.Save(state)
	if r.failed = err != nil; err == nil {
		r.state = bytes.Clone(state)
	}
	return err
}

func (f *faulty) Execute(locality uint8, command []byte) []byte {
	if f.before != nil {
		f.before(f, command)
	}
	answer := f.Device.Execute(locality, command)
	if f.after != nil {
		answer = f.after(f, command, answer)
	}
	return answer
}

func (f *faulty) Init() {
	if f.off != nil {
		f.off(f)
	}
	f.Device.Init()
}

// keep takes a snapshot of the device.
func (f *faulty) keep() {
	f.kept.state = f.saved.state
	f.kept.volatile, _ = f.Volatile()
}

// back restores the snapshot of keep.
func (f *faulty) back() {
	if d, err := vtpm.Resume(f.cfg, f.kept.state, f.kept.volatile); err == nil {
		f.Device = d
		f.saved.Save(f.kept.state)
	}
}

// with returns a Maker of devices with a fault.
func with(fault faulty) Maker {
	dress := func(c vtpm.Config, state []byte, open func(vtpm.Config) (Device, error)) (Device, error) {
		f := fault
		f.saved = &recording{Store: c.Store, state: state}
		c.Store, f.cfg = f.saved, c
		f.cfg.Store = f.saved
		var err error
		f.Device, err = open(c)
		return &f, err
	}
	return Maker{
		Manufacture: func(c vtpm.Config) (Device, error) { return dress(c, nil, VTPM.Manufacture) },
		Load: func(c vtpm.Config, state []byte) (Device, error) {
			return dress(c, state, func(c vtpm.Config) (Device, error) { return VTPM.Load(c, state) })
		},
		Resume: func(c vtpm.Config, state, volatile []byte) (Device, error) {
			return dress(c, state, func(c vtpm.Config) (Device, error) { return VTPM.Resume(c, state, volatile) })
		},
	}
}

func codeOf(c []byte) tcg.TPMCC { return parse(c).code }

// extend16 is TPM2_PCR_Event of PCR 16 with an empty password.
var extend16 = []byte{0x80, 2, 0, 0, 0, 30, 0, 0, 0x01, 0x3C, 0, 0, 0, 16, 0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0, 0, 1, 7}

// TestMutations: each deliberate fault must violate the invariant for its kind.
func TestMutations(t *testing.T) {
	if testing.Short() {
		t.Skip("ten searches: not with -short")
	}
	t.Parallel()
	back := func(f *faulty, _ []byte) { f.keep() }
	noLoad := with(faulty{})
	noLoad.Load = func(c vtpm.Config, state []byte) (Device, error) {
		if len(state) > 3000 {
			return nil, errors.New("too long")
		}
		return VTPM.Load(c, state)
	}
	forgets := with(faulty{})
	forgets.Resume = func(c vtpm.Config, state, volatile []byte) (Device, error) {
		d, err := VTPM.Resume(c, state, volatile)
		if err == nil && len(volatile) > 4000 {
			d.Execute(0, extend16)
		}
		return d, err
	}
	other := with(faulty{})
	other.Resume = func(c vtpm.Config, state, volatile []byte) (Device, error) {
		d, err := VTPM.Resume(c, state, volatile)
		return &faulty{Device: d, after: func(_ *faulty, c, a []byte) []byte {
			if codeOf(c) == tcg.TPMCCPCRRead && rcOf(a) == 0 {
				a[len(a)-1] ^= 1
			}
			return a
		}}, err
	}
	for _, m := range []struct {
		name, invariant string
		mk              Maker
	}{
		{"an error with data", WellFormed, with(faulty{after: func(_ *faulty, c, a []byte) []byte {
			if of(rcOf(a), tcg.TPMRCHandle) {
				a = append(a, 0)
				a[5]++
			}
			return a
		}})},
		{"failure mode by a long hash", NoFailure, with(faulty{after: func(_ *faulty, c, a []byte) []byte {
			if codeOf(c) == tcg.TPMCCHash && len(c) > 250 {
				return []byte{0x80, 1, 0, 0, 0, 10, 0, 0, 1, 1}
			}
			return a
		}})},
		{"a state that does not load", Loads, noLoad},
		{"Resume forgets", Resumes, forgets},
		{"a refused command extends a PCR", Unchanged, with(faulty{after: func(f *faulty, c, a []byte) []byte {
			if of(rcOf(a), tcg.TPMRCValue) {
				f.Device.Execute(0, extend16)
			}
			return a
		}})},
		{"a restored device answers something else", SameAnswers, other},
		{"contexts of sessions with a wrong byte", ContextLoads, with(faulty{after: func(_ *faulty, c, a []byte) []byte {
			if codeOf(c) == tcg.TPMCCContextSave && rcOf(a) == 0 && c[10] == 3 {
				a[len(a)-1] ^= 1
			}
			return a
		}})},
		{"failed authorizations are not counted", Counted, with(faulty{before: back, after: func(f *faulty, c, a []byte) []byte {
			if of(rcOf(a), tcg.TPMRCAuthFail) {
				f.back()
			}
			return a
		}})},
		{"tries are forgotten while the store fails", NoOracle, with(faulty{before: back, after: func(f *faulty, c, a []byte) []byte {
			if rcOf(a) != 0 && f.saved.failed {
				f.back()
			}
			return a
		}})},
		{"what was counted after a shutdown is forgotten", PINCount, with(faulty{
			after: func(f *faulty, c, a []byte) []byte {
				if codeOf(c) == tcg.TPMCCShutdown && rcOf(a) == 0 {
					f.keep()
				}
				return a
			},
			off: func(f *faulty) {
				if f.kept.state != nil {
					f.back()
					f.kept.state = nil
				}
			}})},
	} {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			var found *Found
			for _, s := range Invariants {
				if s != m.invariant {
					m.mk.Without = append(m.mk.Without, s)
				}
			}
			_, err := Search(Options{Maker: m.mk, Seed: 1, Commands: 60000, Each: func(f *Found) bool {
				if f.Violation.Invariant == m.invariant {
					found = f
				}
				return found == nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			if found == nil {
				t.Fatal("not found")
			}
			short := found.Shrink(&m.mk)
			t.Logf("seed %d, %v, %d events of %d: %v", found.Seed, time.Since(begin).Round(time.Millisecond), len(short.Events), len(found.Events), found.Violation)
			if len(short.Events) > len(found.Events) {
				t.Error("it got longer")
			}
		})
	}
}
