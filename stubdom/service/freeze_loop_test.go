package service

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/stubdom/statedisk"
	"stubtpm/vtpm"
	"stubtpm/vtpmmgr/proto"
)

// A freezeLoop is a vTPM that its host freezes and thaws, while the manager and the disk fail
// now and then.
type freezeLoop struct {
	*savedWorld
	r    *rand.Rand
	disk *faultyDisk
	calm bool // nothing fails
	odds int
	pcr8 string
	seen map[string]int

	// may and must say whether a start after a crash now may go on where the TPM was
	// suspended, and whether it must; version and token are what a freeze answered.
	may, must bool
	version   statedisk.Version
	token     token
}

// A faultyDisk fails to write, having written a part.
type faultyDisk struct {
	*blocktest.Mem
	fails func() bool
}

var errDisk = errors.New("the disk fails")

func (d *faultyDisk) WriteAt(b []byte, off int64) (int, error) {
	if d.fails() {
		n := len(b) / 1024 * 512
		d.Mem.WriteAt(b[:n], off)
		return n, errDisk
	}
	return d.Mem.WriteAt(b, off)
}

func (d *faultyDisk) Flush() error {
	if d.fails() {
		return errDisk
	}
	return nil
}

// now reports whether something fails now: each time in so many, another number in each step.
func (l *freezeLoop) now() bool { return !l.calm && l.r.IntN(l.odds) == 0 }

// boot starts the vTPM's domain, and reports whether the TPM goes on.
func (l *freezeLoop) boot() (resumed bool, v proto.State) {
	l.t.Helper()
	l.calm = true
	defer func() { l.calm = false }()
	l.disconnect()
	if l.session != nil {
		l.session.Close()
	}
	l.h = nil
	l.link()
	c := l.client()
	working := c.Transact
	c.Transact = func(b []byte) ([]byte, error) {
		if l.now() {
			return nil, errLink
		}
		answer, err := working(b)
		if l.now() {
			return nil, errLink
		}
		return answer, err
	}
	grant, err := c.Load()
	l.ok(err)
	v = grant.State
	o, err := openDevice(&Environment{Log: func(string, ...any) {}}, l.disk, c, &grant)
	l.ok(err)
	l.h = &guestHandler{device: o.device, log: func(string, ...any) {}, manager: c, uuid: campaignUUID, attested: true, store: o.store}
	l.ok(l.h.begin(&o))
	l.h.clean = false // as when a guest is connected
	if o.resumed {
		if o.token != l.token {
			l.t.Errorf("it goes on with another token")
		}
		if p := l.read(); p != l.pcr8 {
			l.t.Errorf("it goes on with another PCR 8")
		}
	}
	return o.resumed, v
}

func (l *freezeLoop) ok(err error) {
	l.t.Helper()
	l.savedWorld.must(err)
}

// read reads PCR 8, with no token for it.
func (l *freezeLoop) read() string {
	v, err := pcrValue(l.h.device, 8)
	l.ok(err)
	return v
}

// use has a guest use its TPM, if it is not frozen.
func (l *freezeLoop) use() {
	if l.h.isFrozen() {
		return
	}
	l.number++
	l.h.execute(0, pcrExtend(8, l.number))
	l.pcr8 = l.read()
	l.seen["used"]++
}

func (l *freezeLoop) step() error {
	l.odds = []int{1000, 6, 3, 2}[l.r.IntN(4)]
	switch l.r.IntN(8) {
	case 0, 1:
		l.use()
	case 2, 3:
		if l.h.isFrozen() {
			return nil
		}
		v, t, err := l.h.freeze()
		l.may, l.must, l.version, l.token = true, err == nil, v, t
		if last := l.h.token.Load(); last != nil {
			l.token = *last
		}
		l.seen[fmt.Sprintf("frozen: %v", err == nil)]++
	case 4, 5:
		if !l.h.isFrozen() {
			return nil
		}
		err := l.h.thaw()
		if err == nil {
			l.may = false
			l.use()
		}
		l.must = false
		l.seen[fmt.Sprintf("thawed: %v", err == nil)]++
	case 6: // the domain ends, its manager is there
		l.calm = true
		l.h.leave()
		l.h.end()
		l.calm = false
		if last := l.h.token.Load(); last != nil {
			l.token = *last
		} else {
			l.token = token{}
		}
		asleep := l.must // as the freeze answered
		l.may, l.must = true, true
		l.seen["ended"]++
		return l.check(asleep)
	case 7:
		l.seen["crashed"]++
		return l.check(l.must)
	}
	return nil
}

// check starts the vTPM again. asleep: the state must be that of the freeze's answer.
func (l *freezeLoop) check(asleep bool) error {
	may, must, want := l.may, l.must, l.version
	resumed, v := l.boot()
	l.may, l.must = false, false
	l.seen[fmt.Sprintf("goes on: %v", resumed)]++
	switch {
	case resumed && !may:
		return errors.New("it goes on with what was taken back")
	case !resumed && must:
		return errors.New("it does not go on")
	case asleep && (v.Sequence != want.Sequence || v.Hash != want.Hash):
		return errors.New("the state is not the one that was answered")
	}
	l.use()
	return nil
}

// TestFreezeLoop: whatever fails, a TPM that is said to be frozen goes on after a crash, with
// the state that was answered, and one that is thawed does not; after an orderly end it goes
// on, however the freezes before went.
func TestFreezeLoop(t *testing.T) {
	t.Parallel()
	streams, steps := uint64(24), 400
	if testing.Short() {
		streams = 8
	}
	seen := map[string]int{}
	for seed := range streams {
		l := &freezeLoop{savedWorld: newSavedWorld(t, seed), r: rand.New(rand.NewPCG(seed, 15)), odds: 1, seen: seen}
		l.disk = &faultyDisk{l.savedWorld.disk, l.now}
		l.boot()
		l.pcr8 = l.read()
		for n := range steps {
			if err := l.step(); err != nil {
				t.Fatalf("stream %d, step %d: %v", seed, n, err)
			}
		}
	}
	t.Log(seen)
	for _, what := range []string{"frozen: true", "frozen: false", "thawed: true", "thawed: false", "goes on: true", "goes on: false", "ended", "crashed", "used"} {
		if seen[what] == 0 {
			t.Errorf("never: %s", what)
		}
	}
}

// pcrValue reads a PCR of the SHA-256 bank.
func pcrValue(d *vtpm.Device, pcr int) (string, error) {
	b := []byte{0x80, 1, 0, 0, 0, 20, 0, 0, 1, 0x7E, 0, 0, 0, 1, 0, 0x0B, 3, 0, 0, 0}
	b[17+pcr/8] = 1 << (pcr % 8)
	answer := d.Execute(0, b)
	if len(answer) < 32 || answer[9] != 0 {
		return "", fmt.Errorf("TPM2_PCR_Read: %x", answer)
	}
	return string(answer[len(answer)-32:]), nil
}
