package service

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"stubtpm/drivers/block"
	"stubtpm/drivers/tpmif"
	"stubtpm/drivers/xen"
	"stubtpm/stubdom/statedisk"
	"stubtpm/vtpm"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpmmgr/proto"
)

// managerTimeout is how long the manager may take for an answer: it may wait
// for the hardware TPM behind others.
const managerTimeout = 60 * time.Second

// VTPM runs the vTPM of one guest until the toolstack stops the domain. Words
// of the command line:
//
//	ping=200     measure so many round trips to the manager and say their median
func VTPM(ctx context.Context, e *Environment) error {
	e = e.limited()
	start, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	// Not ctx: the last save comes after the domain was told to stop.
	linkCtx, unlink := context.WithCancel(context.WithoutCancel(ctx))
	defer unlink()
	l, err := connectLink(linkCtx, start, e)
	if err != nil {
		return fmt.Errorf("manager: %w", err)
	}
	defer func() {
		unlink()
		<-l.ended
		l.ring.Close(context.WithoutCancel(ctx))
	}()
	manager := &proto.Client{Transact: func(b []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(linkCtx, managerTimeout)
		defer cancel()
		return l.transact(ctx, b)
	}}
	grant, err := manager.Load()
	if err != nil {
		return fmt.Errorf("manager: %w", err)
	}
	e.Seed(grant.Entropy[:])
	e.Log("manager knows this vTPM: state %d, epoch %d.%d", grant.State.Sequence, grant.Ledger, grant.Epoch)
	if n, ok := e.option("ping"); ok {
		if err := ping(e, manager, &grant, n); err != nil {
			return err
		}
	}
	disk, err := e.Disk(start)
	if err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	device, err := openDevice(e, disk, manager, &grant)
	if err != nil {
		return err
	}
	h := &guestHandler{device: device, log: e.Log, manager: manager, uuid: grant.UUID, attested: grant.Attested, clean: true}
	if err := h.powerOn(); err != nil {
		return err
	}
	l.onOpen(h.tellManager)
	server := tpmif.Server{Domain: e.Domain, Handler: h, Log: e.Log}
	e.Log("ready")
	e.Tell(ctx, "ready")
	defer device.Execute(0, shutdownClear)
	serving, served := context.WithCancel(ctx)
	defer served()
	go finishSelfTests(serving, device)
	return e.until(ctx, server.Run)
}

// selfTestPause is how long the device rests between two self-tests, so that
// the first commands after power-on find the processor free.
const selfTestPause = 20 * time.Millisecond

// finishSelfTests runs the self-tests that no command needed yet.
func finishSelfTests(ctx context.Context, d *vtpm.Device) {
	for more := true; more; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(selfTestPause):
			more = d.SelfTestStep()
		}
	}
}

// openDevice loads the TPM from its image, or makes a new one where the
// manager was told to have one made.
func openDevice(e *Environment, disk block.Device, manager *proto.Client, grant *proto.Grant) (*vtpm.Device, error) {
	image, err := statedisk.Open(disk, grant.UUID)
	if err != nil {
		return nil, err
	}
	last := &grant.State
	store := &committed{image: image, manager: manager, sequence: last.Sequence}
	cfg := vtpm.Config{Store: store, Log: e.Log, Floors: vtpm.Floors(last.Floors),
		Epoch: &vtpm.Epoch{Ledger: grant.Ledger, Restores: grant.Epoch}}
	if grant.Firmware != [proto.KeySize]byte{} {
		cfg.Firmware = &vtpm.Firmware{Secret: grant.Firmware[:], SVNSecret: grant.SVN[:]}
	}
	if grant.Manufacture {
		if err := claim(e, image, grant.Replace); err != nil {
			return nil, err
		}
		if cfg.Profile, err = profileOf(grant); err != nil {
			return nil, fmt.Errorf("manufacture: %w", err)
		}
		e.Log("manufacturing a new TPM")
		return vtpm.Manufacture(cfg)
	}
	state, _, err := image.Load(last.Key[:], &statedisk.Version{Sequence: last.Sequence, Hash: last.Hash})
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	return vtpm.Load(cfg, state)
}

// profileOf returns what the order that enrolled this vTPM says that it offers;
// nil if it says nothing.
func profileOf(grant *proto.Grant) (*tcg.Profile, error) {
	if grant.Profile == "" {
		return nil, nil
	}
	var p tcg.Profile
	r := tcg.NewReader([]byte(grant.Profile), nil)
	err := p.Unmarshal(&r)
	if err == nil && len(r.Rest()) != 0 {
		err = errors.New("profile of the enrollment: more than a profile")
	}
	if err == nil {
		err = p.Check()
	}
	return &p, err
}

// claim makes a disk ready for a new TPM. What it holds is lost only if the
// record says so.
func claim(e *Environment, image *statedisk.Disk, replace bool) error {
	if !replace {
		err := image.Claim()
		if errors.Is(err, statedisk.ErrInUse) {
			err = fmt.Errorf("%w; a TPM that is on it can be had back by a backup of its record "+
				"(stubtpm mgr restore), and is lost for good with stubtpm mgr amend --replace", err)
		}
		if err != nil {
			return fmt.Errorf("manufacture: %w", err)
		}
		return nil
	}
	held, err := image.Replace()
	if held != nil && err == nil {
		e.Log("what was on this disk is replaced: %v", held)
	}
	return err
}

// A committed store is an image whose newest version the manager knows: a
// state counts once the manager has written that down.
type committed struct {
	image    *statedisk.Disk
	manager  *proto.Client
	sequence uint64

	// unsure is a version of which the manager was told, but did not answer:
	// whether it wrote that down has to be asked before the next one.
	unsure *statedisk.Version
}

// errOtherState says that the manager has written down a state that is neither
// the last one nor the one in doubt.
var errOtherState = errors.New("the manager knows another state than this vTPM's")

// settle finds out what became of a commit that was not answered.
func (s *committed) settle() error {
	if s.unsure == nil {
		return nil
	}
	g, err := s.manager.Load()
	if err != nil {
		return err
	}
	switch {
	case g.State.Sequence == s.unsure.Sequence && g.State.Hash == s.unsure.Hash:
		s.image.Confirm()
		s.sequence = s.unsure.Sequence
	case g.State.Sequence != s.sequence:
		return fmt.Errorf("%w: %d, not %d", errOtherState, g.State.Sequence, s.sequence)
	}
	s.unsure = nil
	return nil
}

// commitTries bounds how often a state is offered to managers that end before
// they answer.
const commitTries = 4

// Save seals the state with a key of its own, so that an image of before and
// the key of before open nothing once the manager has forgotten that key.
func (s *committed) Save(state []byte) error { return s.save(state, s.manager.Commit) }

// SaveIdle is Save of a state that nobody would miss.
func (s *committed) SaveIdle(state []byte) error { return s.save(state, s.manager.CommitIdle) }

func (s *committed) save(state []byte, commit func(*proto.State) error) error {
	if err := s.settle(); err != nil {
		return err
	}
	floors, err := vtpm.ReadFloors(state)
	if err != nil {
		return err
	}
	next := proto.State{Floors: proto.Floors(floors)}
	rand.Read(next.Key[:])
	defer clear(next.Key[:])
	v, err := s.image.Save(next.Key[:], s.sequence+1, state)
	if err != nil {
		return err
	}
	next.Sequence, next.Hash = v.Sequence, v.Hash
	for range commitTries {
		if err = commit(&next); err == nil {
			s.image.Confirm()
			s.sequence++
			return nil
		}
		if errors.Is(err, proto.Rate) {
			return fmt.Errorf("%w: %w", vtpm.ErrRate, err) // it was not looked at
		}
		s.unsure = &v
		// An order, such as for another image, may have made the manager forget
		// that this domain was admitted: settle loads anew, if that is allowed.
		if !errors.Is(err, errLink) && !errors.Is(err, proto.NotConnected) {
			return err
		}
		// The next manager tells whether this one had written it down.
		if err = s.settle(); err != nil && !errors.Is(err, errLink) {
			return err
		}
		if s.unsure == nil && s.sequence == v.Sequence {
			return nil
		}
	}
	return err
}

// A guestHandler gives the TPM to one guest at a time.
type guestHandler struct {
	device  *vtpm.Device
	log     func(format string, args ...any)
	manager *proto.Client
	uuid    proto.UUID // of this vTPM

	attested bool // its record asks for the host's word on each guest

	mu    sync.Mutex
	taken bool
	clean bool       // the TPM is as it is after power-on: no guest used it, and its PCRs are not capped
	ready *xen.DomID // domain that the TPM is ready for, of which the manager may not know yet

	last atomic.Pointer[xen.DomID] // domain that had the TPM last; nil for none
}

var (
	errTaken     = errors.New("the TPM is another guest's")
	errOtherUUID = errors.New("the guest's vtpm line names another vTPM's uuid")
)

// Open connects a guest. One that comes back, such as a kernel started by a kernel,
// finds the TPM as it was. Any other domain finds it reset; and unless the manager says
// that the domain was just created, its PCRs say that they are not those of a start.
// Without the manager nobody is connected.
func (h *guestHandler) Open(p tpmif.Peer) (tpmif.Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.taken {
		return nil, errTaken
	}
	if err := h.checkUUID(p); err != nil {
		return nil, err
	}
	var err error
	if last := h.last.Load(); last == nil || *last != p.Domain {
		err = h.prepare(p.Domain)
	} else {
		// A creation that was told of this number since must not count later, in the
		// middle of a life.
		_, err = h.askManager(p.Domain, true)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", tpmif.ErrLater, err)
	}
	h.taken, h.clean = true, false
	h.last.Store(&p.Domain)
	h.log("serving domain %d", p.Domain)
	return &guestConn{h}, nil
}

// checkUUID refuses a guest whose line was written for another vTPM, where guests of
// this one have to be told of. In a line without a uuid, libxl writes a random one.
func (h *guestHandler) checkUUID(p tpmif.Peer) error {
	u, err := proto.ParseUUID(p.UUID)
	if err == nil && u == h.uuid {
		return nil
	}
	if !h.attested {
		return nil
	}
	return fmt.Errorf("%w: %q, and this one is %v", errOtherUUID, p.UUID, h.uuid)
}

// prepare makes the TPM ready for a domain that did not have it last, and has the
// manager write down that the domain has it now.
func (h *guestHandler) prepare(domain xen.DomID) error {
	if h.ready == nil || *h.ready != domain {
		created, err := h.askManager(domain, false)
		if err != nil {
			return err
		}
		h.ready = nil
		if !h.clean {
			// What the reset changes has to be saved.
			if err := h.reset(); err != nil {
				return err
			}
			h.clean = true
		}
		if !created {
			h.log("domain %d is not known to have been created: its PCRs say so", domain)
			h.clean = false
			if err := h.capPCRs(); err != nil {
				return err
			}
		}
		h.ready = &domain
	}
	if _, err := h.askManager(domain, true); err != nil {
		return err
	}
	h.ready = nil
	return nil
}

// askManager asks whether a domain was just created, or tells that it has the TPM now.
// An order, such as for another image, may have made the manager forget that this vTPM
// was admitted: then it is loaded anew, if that is allowed.
func (h *guestHandler) askManager(domain xen.DomID, served bool) (bool, error) {
	created, err := h.manager.Guest(uint16(domain), served)
	if !errors.Is(err, proto.NotConnected) {
		return created, err
	}
	if _, err := h.manager.Load(); err != nil {
		return false, err
	}
	return h.manager.Guest(uint16(domain), served)
}

// tellManager tells a manager that was started again which domain has the TPM.
func (h *guestHandler) tellManager(c *proto.Client) error {
	last := h.last.Load()
	if last == nil {
		return nil
	}
	_, err := c.Guest(uint16(*last), true)
	return err
}

// TPM commands that firmware would send: TPM2_Startup(CLEAR) and
// TPM2_Shutdown(CLEAR). A PV or PVH guest has no firmware.
var (
	startupClear  = []byte{0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 0}
	shutdownClear = []byte{0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x45, 0, 0}
)

func (h *guestHandler) powerOn() error {
	if r := h.device.Execute(0, startupClear); string(r[6:10]) != "\x00\x00\x00\x00" {
		return fmt.Errorf("TPM2_Startup: response code %#x", r[6:10])
	}
	return nil
}

// reset is a power cycle of the machine. The TPM itself lost no power, so that
// the cycle is an orderly one whatever the guest did.
func (h *guestHandler) reset() error {
	h.device.Execute(0, shutdownClear)
	h.device.Init()
	return h.powerOn()
}

// A guestConn is the guest that has the TPM now.
type guestConn struct{ h *guestHandler }

// maxLocality is the highest locality a guest may use: 3 and 4 belong to a
// dynamic launch, of which no guest can show that it is one.
const maxLocality = 2

// rcLocality is TPM_RC_LOCALITY, as a whole response.
var rcLocality = []byte{0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x09, 0x07}

func (c *guestConn) Execute(locality uint8, command []byte) []byte {
	if locality > maxLocality {
		return rcLocality
	}
	return c.h.device.Execute(locality, command)
}

func (c *guestConn) Cancel() { c.h.device.Cancel() }

func (c *guestConn) Close() {
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	c.h.taken = false
}
