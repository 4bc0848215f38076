package command

import (
	"bytes"
	"testing"
	"time"

	"stubtpm/vtpm/internal/engine"
)

// keep is a Store that keeps the last state.
type keep struct{ state []byte }

func (k *keep) Save(state []byte) error {
	k.state = bytes.Clone(state)
	return nil
}

// TestFloors restores an old state of a TPM that went on.
func TestFloors(t *testing.T) {
	t.Parallel()
	now := time.Duration(0)
	k := &keep{}
	cfg := engine.Config{Store: k, Now: func() time.Duration { return now }}
	d, err := Manufacture(cfg)
	if err != nil {
		t.Fatal(err)
	}
	startup := []byte{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0}
	shutdown := []byte{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x45, 0, 0}
	cycle := func(d *engine.Device) {
		t.Helper()
		for _, c := range [][]byte{shutdown, nil, startup} {
			if c == nil {
				d.Init()
			} else if r := d.Execute(0, c); r[8] != 0 || r[9] != 0 {
				t.Fatalf("%x", r)
			}
		}
	}
	d.Execute(0, startup)
	cycle(d)
	old := k.state
	for range 3 {
		now += time.Hour
		cycle(d)
	}
	newest, err := engine.ReadFloors(k.state)
	if err != nil || newest.Clock < 3*3600*1000 || newest.ResetCount < 3 {
		t.Fatalf("%+v, %v", newest, err)
	}
	before, err := engine.ReadFloors(old)
	if err != nil || before.Clock >= newest.Clock || before.ResetCount >= newest.ResetCount {
		t.Fatalf("%+v, %v", before, err)
	}
	newest.FailedTries = 2
	cfg.Floors = newest
	d, err = Load(cfg, old)
	if err != nil {
		t.Fatal(err)
	}
	d.Execute(0, startup)
	info := d.ClockInfo()
	if info.Clock < newest.Clock || info.ResetCount <= newest.ResetCount || bool(info.Safe) || d.Perm.DA.FailedTries < 2 {
		t.Errorf("restored: %+v, %d tries; the floors were %+v", info, d.Perm.DA.FailedTries, newest)
	}
	// More tries than it takes to lock out.
	cfg.Floors.FailedTries = 1<<32 - 1
	if d, err = Load(cfg, old); err != nil || d.Perm.DA.FailedTries != d.Perm.DA.MaxTries {
		t.Errorf("floor of all tries: %d of %d, %v", d.Perm.DA.FailedTries, d.Perm.DA.MaxTries, err)
	}
	// Floors below change nothing.
	cfg.Floors = before
	if d, err = Load(cfg, k.state); err != nil || d.Floors() != func() engine.Floors { f, _ := engine.ReadFloors(k.state); return f }() {
		t.Errorf("floors below: %+v, %v", d.Floors(), err)
	}
	if _, err := engine.ReadFloors(old[:20]); err == nil {
		t.Error("half a state was read")
	}
}
