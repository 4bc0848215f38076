package service

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"stubtpm/drivers/tpmif"
	"stubtpm/drivers/xen"
	"stubtpm/vtpm"
	"stubtpm/vtpmmgr/proto"
	"sync"
	"sync/atomic"
)

// A guestHandler connects one guest at a time to the TPM, by a ring (tpmif.Handler) or by
// a control area in the guest's memory (crb.Handler).
type guestHandler struct {
	device  *vtpm.Device
	log     func(format string, args ...any)
	manager *proto.Client
	uuid    proto.UUID // of this vTPM

	attested bool // the host must report the creation of each guest
	store    *ledgerStore

	gate  gate                  // to the device, for guests
	token atomic.Pointer[token] // that the guest's memory has now; nil for none

	mu        sync.Mutex
	frozen    bool // the gate is shut
	asleep    bool // it is, and the suspended state is committed
	connected bool
	clean     bool        // the TPM is as after power-on: not used by a guest, PCRs not capped
	prepared  *xen.DomID  // domain that the TPM was prepared for; the manager may not know it yet
	told      proto.Start // what the manager said of that domain's start
	kept      bool        // that domain finds the TPM as its memory knows it

	// entered is the token with which the domain that has the TPM was restored, until it uses
	// the TPM; nil for none.
	entered atomic.Pointer[token]

	// The host measures what the domain that was connected last will run; that domain
	// does not run yet.
	firmware bool

	last atomic.Pointer[xen.DomID] // domain that was connected last; nil for none
}

var (
	errConnected = errors.New("the TPM is in use by another guest")
	errOtherUUID = errors.New("the guest's vtpm line names another vTPM's uuid")
	errFrozen    = errors.New("the TPM stands still while it is moved")
	errFirmware  = errors.New("the guest may have run before: nothing that is measured now counts")
)

// Open connects a guest by a ring. The domain that was connected last, such as one whose
// kernel started another kernel, finds the TPM as it was. For any other domain the TPM is
// reset; and unless the manager knows that the domain was just created, its PCRs show that
// they are not those of a start. Without the manager no guest is connected.
func (h *guestHandler) Open(p tpmif.Peer) (tpmif.Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.open(p); err != nil {
		return nil, err
	}
	h.device.SetBufferSize(vtpm.MaxCommandSize)
	return &guestConn{h}, nil
}

// open connects a domain that may run already.
func (h *guestHandler) open(p tpmif.Peer) error {
	if err := h.check(p); err != nil {
		return err
	}
	var err error
	if last := h.last.Load(); last == nil || *last != p.Domain {
		_, err = h.prepare(p.Domain)
	} else {
		err = h.openAgain(p.Domain)
	}
	if err != nil {
		return refusal(err)
	}
	h.connect(p.Domain)
	return nil
}

// openAgain connects the domain that was connected last, or another one of its number: of
// that one the manager says that it was restored.
func (h *guestHandler) openAgain(domain xen.DomID) error {
	// It also uses up a creation that was reported for this domain ID meanwhile, which must
	// not count later, while the guest runs.
	start, err := h.askManager(domain, true)
	switch {
	case err != nil:
		return err
	case start.Restored:
		// Whoever told so may have died before it knew that this vTPM serves the domain,
		// which has not run since.
		if t := h.entered.Load(); t != nil && *t == start.Token {
			h.token.Store(t)
		}
		h.last.Store(nil)
		_, err = h.prepare(domain)
	case h.firmware:
		err = h.dropFirmware(domain)
	}
	return err
}

// dropFirmware makes the TPM ready for a domain that the host began to measure, and did not
// end: what is in the PCRs is not all that the domain runs, and the TPM may wait for
// TPM2_Startup. The manager must not say any more that the domain's start was measured.
func (h *guestHandler) dropFirmware(domain xen.DomID) error {
	// What was reported meanwhile is used up, so that this asks about a domain of which
	// nothing counts.
	if _, err := h.askManager(domain, false); err != nil {
		return err
	}
	if err := h.reset(); err != nil {
		return err
	}
	if err := h.capPCRs(); err != nil {
		return err
	}
	h.firmware = false
	return nil
}

// refusal returns the error of a guest that cannot have the TPM: it may later, but for one
// whose start is not as the vTPM's record requires.
func refusal(err error) error {
	if errors.Is(err, proto.StartNotMeasured) || errors.Is(err, proto.WrongProgram) {
		return err
	}
	return fmt.Errorf("%w: %w", tpmif.ErrLater, err)
}

// check refuses a guest while another one is connected, or with another UUID.
func (h *guestHandler) check(p tpmif.Peer) error {
	if err := h.checkUUID(p); err != nil {
		return err
	}
	switch {
	case h.frozen:
		return fmt.Errorf("%w: %w", tpmif.ErrLater, errFrozen)
	case h.connected:
		return errConnected
	}
	return nil
}

// connect gives the TPM to a domain.
func (h *guestHandler) connect(domain xen.DomID) {
	h.connected, h.clean = true, false
	h.newToken()
	h.last.Store(&domain)
	h.log("serving domain %d", domain)
}

// newToken makes the token of what is in the TPM from now on.
func (h *guestHandler) newToken() {
	var t token
	rand.Read(t[:])
	h.token.Store(&t)
}

// fits reports whether the memory image that a domain was restored from is the one that
// belongs to what is in the TPM. It does so once: the next image has another token.
func (h *guestHandler) fits(s proto.Start) bool {
	now := h.token.Load()
	if !s.Restored || now == nil || subtle.ConstantTimeCompare(now[:], s.Token[:]) != 1 {
		return false
	}
	h.token.Store(nil)
	h.entered.Store(now)
	return true
}

// begin has the TPM of a domain that starts serve guests: a suspended one goes on.
func (h *guestHandler) begin(o *opened) error {
	if o.resumed {
		if o.token != (token{}) {
			h.token.Store(&o.token)
		}
		return nil
	}
	h.clean = true
	return startupClear(h.device)
}

// checkUUID refuses a guest whose vtpm line was written for another vTPM, if guests are
// attested. libxl writes a random UUID for a line without one.
func (h *guestHandler) checkUUID(p tpmif.Peer) error {
	u, err := proto.ParseUUID(p.UUID)
	if err == nil && u == h.uuid {
		return nil
	}
	if !h.attested {
		return nil
	}
	return fmt.Errorf("%w: %q, want %v", errOtherUUID, p.UUID, h.uuid)
}

// prepare makes the TPM ready for a domain that was not connected last, and has the
// manager record that the domain has it now. A domain that the host restored from the image
// that belongs to this TPM finds it as it was. Any other domain ID is treated as a machine
// that was powered on: the TPM is reset. It returns what the manager knows of the domain's
// start.
func (h *guestHandler) prepare(domain xen.DomID) (start proto.Start, err error) {
	if h.prepared == nil || *h.prepared != domain {
		h.told, err = h.askManager(domain, false)
		if err != nil {
			return start, err
		}
		kept := h.fits(h.told)
		if h.told.MustFit && !kept {
			return start, proto.StartNotMeasured
		}
		h.prepared, h.kept = nil, kept
		h.last.Store(nil) // the domain that was connected last finds it as any other does
		if !h.clean && !kept {
			// The reset must be saved.
			if err := h.reset(); err != nil {
				return start, err
			}
			h.clean = true
		}
		switch {
		case kept:
			h.log("domain %d was restored with the memory that belongs to this TPM", domain)
		case !h.told.Created:
			h.log("domain %d is not known to have been created: its PCRs say so", domain)
			h.clean = false
			if err := h.capPCRs(); err != nil {
				return start, err
			}
		}
		h.prepared = &domain
	}
	if _, err := h.askManager(domain, true); err != nil {
		return start, err
	}
	h.prepared, h.firmware = nil, false
	return h.told, nil
}

// askManager asks how a domain was started or, with served, records that it has the TPM
// now.
func (h *guestHandler) askManager(domain xen.DomID, served bool) (proto.Start, error) {
	return ask(h.manager, func() (proto.Start, error) { return h.manager.Guest(uint16(domain), served) })
}

// reportGuest reports the connected domain to a manager that was started again.
func (h *guestHandler) reportGuest(c *proto.Client) error {
	last := h.last.Load()
	if last == nil {
		return nil
	}
	_, err := c.Guest(uint16(*last), true)
	return err
}

// reset is a power cycle of the guest's machine. The TPM itself loses no power, so that
// the shutdown is orderly whatever the guest did.
func (h *guestHandler) reset() error {
	h.token.Store(nil) // no image belongs to what is in the TPM from here on
	h.entered.Store(nil)
	shutdownClear(h.device) // if it fails, the reset counts as a loss of power
	h.device.Init()
	return startupClear(h.device)
}

// A guestConn is the connection of the guest that has the TPM.
type guestConn struct{ h *guestHandler }

// maxLocality is the highest locality that a guest may use: 3 and 4 belong to a dynamic
// launch, which no guest can prove.
const maxLocality = 2

// rcLocality and rcRetry are responses with TPM_RC_LOCALITY and TPM_RC_RETRY, which means
// that the command was not started.
var (
	rcLocality = []byte{0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x09, 0x07}
	rcRetry    = []byte{0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x09, 0x22}
)

// execute runs a command of the guest, as soon as the TPM is not frozen.
func (h *guestHandler) execute(locality uint8, command []byte) (response []byte) {
	started := h.gate.run(func() {
		response = h.device.Execute(locality, command)
		h.newToken() // before anybody may suspend what the command left
		h.entered.Store(nil)
	})
	if !started {
		return bytes.Clone(rcRetry)
	}
	return response
}

func (c *guestConn) Execute(locality uint8, command []byte) []byte {
	if locality > maxLocality {
		return rcLocality
	}
	return c.h.execute(locality, command)
}

func (c *guestConn) Cancel() { c.h.device.Cancel() }

func (c *guestConn) Close() {
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	c.h.connected = false
}
