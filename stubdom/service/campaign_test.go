package service

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/block"
	"stubtpm/drivers/block/blocktest"
	"stubtpm/stubdom/statedisk"
	"stubtpm/vtpm"
	"stubtpm/vtpmmgr"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// The campaign: a machine of a hardware TPM, a manager, a vTPM and a guest,
// each of them the real code but for the rings, that has an accident at every
// step that can be told from outside: a sector written to one of the disks, a
// flush, a command to the hardware TPM.

// A fate is the accident.
type fate int

const (
	none      fate = iota
	cutBefore      // power is cut before the step
	cutAfter       // power is cut when the TPM has carried out a command, and not answered
	tpmReset       // the TPM alone is reset before a command
	tpmLost        // the TPM carries out a command, and its answer is lost
	tpmBusy        // the TPM says "again later", three times
	tpmDead        // the TPM does not answer from here on, until it is back
)

func (f fate) String() string {
	return [...]string{"", "power cut before", "power cut after", "TPM reset before", "answer lost of", "TPM busy at", "TPM dead from"}[f]
}

// fatesOf returns what can happen at a step.
func fatesOf(event string) []fate {
	if event != eventTPM {
		return []fate{cutBefore}
	}
	return []fate{cutBefore, cutAfter, tpmReset, tpmLost, tpmBusy, tpmDead}
}

// What a step is.
const (
	eventTPM = "a TPM command"
	mgrDisk  = "the manager's disk"
	vtpmDisk = "the vTPM's disk"
)

// A plan counts the steps of a machine, and has the accident happen.
type plan struct {
	mu     sync.Mutex
	events []string
	at     int
	fate   fate
	off    bool // no power
	dead   bool // no TPM
	busy   int  // how often the TPM is still busy
}

// step notes one and returns what happens at it.
func (p *plan) step(event string) fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.off {
		return cutBefore
	}
	p.events = append(p.events, event)
	if p.fate == none || len(p.events)-1 != p.at {
		return none
	}
	switch p.fate {
	case cutBefore, cutAfter:
		p.off = true
	case tpmDead:
		p.dead = true
	case tpmBusy:
		p.busy = 3
	}
	return p.fate
}

// happened reports whether the accident did.
func (p *plan) happened() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.events) > p.at
}

func (p *plan) disk(name string, data []byte) *blocktest.Power {
	d := blocktest.NewPower(bytes.Clone(data))
	d.Before = func(flush bool) bool {
		event := "a sector of " + name
		if flush {
			event = "a flush of " + name
		}
		return p.step(event) != cutBefore
	}
	return d
}

// A chip is the hardware TPM, as the manager's driver has it.
type chip struct {
	plan *plan
	d    silicon
}

// own is this project's own device as the chip. A reset loses what a reset
// loses; what it saved is saved.
type own struct {
	*vtpm.Device
	state []byte
}

func (o *own) Save(b []byte) error { o.state = bytes.Clone(b); return nil }
func (o *own) cut() []byte         { return bytes.Clone(o.state) }

// newOwn makes it, or one that had power before.
func newOwn(state []byte) (o *own, err error) {
	o = &own{state: state}
	cfg := vtpm.Config{Store: o}
	if state == nil {
		o.Device, err = vtpm.Manufacture(cfg)
	} else {
		o.Device, err = vtpm.Load(cfg, state)
	}
	return o, err
}

var errChip = errors.New("the hardware TPM does not answer")

// tpmRetry is TPM_RC_RETRY, as a whole response.
var tpmRetry = []byte{0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x09, 0x22}

func (c *chip) Send(command []byte) ([]byte, error) {
	p := c.plan
	p.mu.Lock()
	dead := p.off || p.dead
	busy := p.busy > 0
	if busy && !dead {
		p.busy--
	}
	p.mu.Unlock()
	if dead {
		return nil, errChip
	}
	if busy {
		return bytes.Clone(tpmRetry), nil
	}
	switch p.step(eventTPM) {
	case cutBefore, tpmDead:
		return nil, errChip
	case cutAfter, tpmLost:
		c.d.Execute(0, command)
		return nil, errChip
	case tpmReset:
		c.d.Init()
	case tpmBusy:
		p.mu.Lock()
		p.busy--
		p.mu.Unlock()
		return bytes.Clone(tpmRetry), nil
	}
	return c.d.Execute(0, command), nil
}

// A snapshot is what a machine without power has.
type snapshot struct{ tpm, manager, vtpm []byte }

// A campaignManager is one that runs; connect opens a vTPM's connection.
type campaignManager interface {
	enroll(u vtpmmgr.UUID, profile string) error
	connect(u vtpmmgr.UUID) (func(message []byte) []byte, error)
}

// A computer is a machine that runs.
type computer struct {
	plan     *plan
	chip     *chip
	mgr, img *blocktest.Power
	manager  campaignManager
	mode     ledger.Mode
	device   *vtpm.Device
	log      func(string, ...any)
	kept     []byte // what the TPM has without power
}

// A maker makes hardware TPMs, or gives one power that had it before.
type maker func(state []byte) (silicon, error)

func (s *snapshot) computer(p *plan, make maker, mode ledger.Mode, log func(string, ...any)) (*computer, error) {
	c := &computer{plan: p, mode: mode, chip: &chip{plan: p}, log: log}
	c.mgr, c.img = p.disk(mgrDisk, s.manager), p.disk(vtpmDisk, s.vtpm)
	var err error
	if c.chip.d, err = make(s.tpm); err != nil {
		return nil, fmt.Errorf("the hardware TPM itself: %w", err)
	}
	return c, nil
}

// boot starts manager and vTPM.
func (c *computer) boot() error {
	var err error
	if c.manager, err = openManager(c.chip, c.mgr, c.mode, c.log); err != nil {
		return fmt.Errorf("manager: %w", err)
	}
	return c.bootVTPM()
}

func (c *computer) bootVTPM() (err error) {
	c.device, err = startVTPM(c.manager, campaignUUID, c.img, c.log)
	return err
}

// startVTPM starts a vTPM, as its domain does but for the rings.
func startVTPM(m campaignManager, u vtpmmgr.UUID, disk block.Device, log func(string, ...any)) (*vtpm.Device, error) {
	execute, err := m.connect(u)
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	client := &proto.Client{Transact: func(b []byte) ([]byte, error) { return execute(b), nil }}
	grant, err := client.Load()
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	o, err := openDevice(&Environment{Log: log}, disk, client, &grant)
	if err != nil {
		return nil, fmt.Errorf("vTPM: %w", err)
	}
	return o.device, startupClear(o.device)
}

// cut takes the power away and returns what is left.
func (c *computer) cut(how blocktest.Loss, seed uint64) *snapshot {
	c.plan.mu.Lock()
	c.plan.off = true
	c.plan.mu.Unlock()
	return &snapshot{c.tpm(), c.mgr.Cut(how, seed), c.img.Cut(how, seed+1)}
}

// tpm takes the power from the TPM, once, and returns what it keeps.
func (c *computer) tpm() []byte {
	if c.kept == nil {
		c.plan.mu.Lock()
		c.plan.off = true
		c.plan.mu.Unlock()
		c.kept = c.chip.d.cut()
		if m, ok := c.manager.(*realManager); ok {
			m.Close() // fails without power, and ends its timer, which holds all of it
		}
	}
	return c.kept
}

// guest is the guest's way to its TPM.
func (c *computer) guest() transport.TPM { return hardware{c.device} }

var campaignUUID = vtpmmgr.UUID{0x6f, 0x3b, 0x2a, 0x10, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, 1}

// newSnapshot is a machine that was set up: a manager with one vTPM.
func newSnapshot(t testing.TB, make maker, mode ledger.Mode) *snapshot {
	t.Helper()
	blank := &snapshot{nil, bytes.Repeat([]byte{0}, 256<<10), bytes.Repeat([]byte{0}, statedisk.MinDisk)}
	c, err := blank.computer(&plan{}, make, mode, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	if c.manager, err = newManager(c.chip, c.mgr, mode, t.Logf); err != nil {
		t.Fatal(err)
	}
	if err := c.manager.enroll(campaignUUID, storedProfile("default-v2")); err != nil {
		t.Fatal(err)
	}
	if err := c.bootVTPM(); err != nil {
		t.Fatal(err)
	}
	if err := defineIndices(c.guest()); err != nil {
		t.Fatal(err)
	}
	return c.cut(blocktest.Keep, 0)
}
