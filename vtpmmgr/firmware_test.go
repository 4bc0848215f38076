package vtpmmgr

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/hwtpm"
	"stubtpm/vtpmmgr/proto"
)

// A machine is a host whose firmware is measured into PCR 7, and which is updated.
type machine struct {
	t        *testing.T
	tpm      hardware
	disk     *blocktest.Mem
	operator *ecdsa.PrivateKey
	m        *Manager // nil while it does not run
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	h := &machine{t: t, tpm: hardwareTPM(t).(hardware), disk: blocktest.NewMem(testDisk), operator: operatorKey(t)}
	h.reset("A")
	setup := testSetup()
	setup.PCRs, setup.Operator = []uint{0, 7}, &h.operator.PublicKey
	var err error
	if h.m, err = Initialize(h.config(), setup); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *machine) config() Config {
	return Config{TPM: h.tpm, Disk: h.disk, Log: func(string, ...any) {}}
}

// reset starts the platform with a firmware.
func (h *machine) reset(firmware string) {
	h.t.Helper()
	h.m = nil
	h.tpm.d.Init()
	if _, err := (tpm2.Startup{StartupType: tpm2.TPMSUClear}).Execute(h.tpm); err != nil {
		h.t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(firmware))
	if _, err := (tpm2.PCRExtend{PCRHandle: tpm2.AuthHandle{Handle: 7, Auth: tpm2.PasswordAuth(nil)},
		Digests: tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: digest[:]}}}}).Execute(h.tpm); err != nil {
		h.t.Fatal(err)
	}
}

// boot is reset, and a start of the manager.
func (h *machine) boot(firmware string) (err error) {
	h.t.Helper()
	h.reset(firmware)
	h.m, err = Open(h.config())
	return err
}

// PCRs that the operator's approvals are of: those to which the root key is sealed
// first, and more.
var (
	fewPCRs  = []uint{0, 7}
	morePCRs = []uint{0, 2, 7}
)

// approvalOf is the operator's, of a firmware.
func (h *machine) approvalOf(pcrs []uint, firmware string) (*hwtpm.Approval, []byte) {
	h.t.Helper()
	digest := sha256.Sum256([]byte(firmware))
	var values []byte
	for _, n := range pcrs {
		value := make([]byte, 32)
		if n == 7 {
			value = pcrAfter(value, digest[:])
		}
		values = append(values, value...)
	}
	a, err := hwtpm.Approve(h.operator, pcrs, values)
	if err != nil {
		h.t.Fatal(err)
	}
	return a, values
}

func (h *machine) approveOf(pcrs []uint, firmware string) error {
	h.t.Helper()
	a, values := h.approvalOf(pcrs, firmware)
	return connect(h.t, h.m, Peer{}).Approve(&proto.Approval{Mask: a.Mask(), Policy: a.Policy, Signature: a.Signature, Values: values})
}

func (h *machine) approve(firmware string) error { return h.approveOf(fewPCRs, firmware) }

// TestTwoUpdates: an approval of the next firmware, sent before it is installed,
// takes the running one nothing.
func TestTwoUpdates(t *testing.T) {
	t.Parallel()
	h := newMachine(t)
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	must("approve B", h.approve("B"))
	must("update to B", h.boot("B"))
	must("approve C on B", h.approve("C"))
	must("B again, before C is installed", h.boot("B"))
	must("back to A, which was there before B", h.boot("A"))
	must("update to C", h.boot("C"))
	must("C again", h.boot("C"))
	must("back to B, which was there before C", h.boot("B"))
	must("back to A, which is the third", h.boot("A"))
	must("approve D on A", h.approve("D"))
	must("update to D", h.boot("D"))
	must("back to A, which ran before D", h.boot("A"))
	must("B, which ran before that", h.boot("B"))
	must("D", h.boot("D"))
	if err := h.boot("C"); !errors.Is(err, hwtpm.ErrPCR) {
		t.Errorf("C, which ran before three others: %v", err)
	}
	if err := h.boot("E"); !errors.Is(err, hwtpm.ErrPCR) {
		t.Errorf("E, which nobody announced: %v", err)
	}
	// An update that nobody planned: the approval is written to the disk.
	r, err := hwtpm.ReadRecord(h.disk)
	must("read", err)
	a, values := h.approvalOf(fewPCRs, "E")
	r, err = r.Approve(a, values)
	must("approve E offline", err)
	must("write", hwtpm.WriteRecord(h.disk, r))
	must("E", h.boot("E"))
	must("E by its seal", h.boot("E"))
}

// TestWiderApproval: an approval of more PCRs, and a start by it, leave those of fewer
// that wait as they are; from then on one of fewer is refused.
func TestWiderApproval(t *testing.T) {
	t.Parallel()
	h := newMachine(t)
	for _, err := range []error{h.approve("B"), h.approveOf(morePCRs, "C"), h.boot("C")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := h.approve("D"); !errors.Is(err, proto.BadApproval) {
		t.Errorf("one of fewer PCRs than the root key is sealed to: %v", err)
	}
	for _, firmware := range []string{"B", "C", "A"} {
		if err := h.boot(firmware); err != nil {
			t.Errorf("%s: %v", firmware, err)
		}
	}
}

// TestApprovalReplaced: an approval of the same system that is of more PCRs takes the
// place of the one before.
func TestApprovalReplaced(t *testing.T) {
	t.Parallel()
	h := newMachine(t)
	for _, err := range []error{h.approve("C"), h.approveOf(morePCRs, "C"), h.boot("C")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := h.approve("D"); !errors.Is(err, proto.BadApproval) {
		t.Errorf("the root key is not sealed to the PCRs of the later approval: %v", err)
	}
}

// TestUpdates: in any sequence of approvals, of some PCRs or of more, and of starts,
// with a loss of power at any write of the disk, the manager starts with each of the
// three firmwares with which it started last and with each of the newest approvals, and
// with nothing that was never approved.
func TestUpdates(t *testing.T) {
	t.Parallel()
	streams := uint64(10)
	if testing.Short() {
		streams = 2
	}
	for seed := range streams {
		u := &updates{machine: newMachine(t), r: rand.New(rand.NewPCG(seed, 11)), approved: []string{"A"}, ran: []string{"A"}}
		for step := range 30 {
			if err := u.step(); err != nil {
				t.Fatalf("stream %d, step %d: %v", seed, step, err)
			}
		}
	}
}

// A waiting is an approval that may not have been used.
type waiting struct {
	firmware string
	more     bool // it is of more PCRs
	unsure   bool // it failed, or there was a start with its firmware: it may be a seal now
}

// updates is what has to hold of a machine.
type updates struct {
	*machine
	r        *rand.Rand
	approved []string  // ever
	ran      []string  // the last three, the latest last
	waiting  []waiting // the newest approvals
	usedMore bool      // the root key may be sealed to more PCRs than at first
}

func (u *updates) step() (err error) {
	running := u.ran[len(u.ran)-1]
	firmware := string(rune('B' + u.r.IntN(12)))
	switch u.r.IntN(3) {
	case 0:
		err = u.approveOne(firmware)
	case 1:
		if len(u.waiting) == 0 {
			return nil
		}
		w := u.waiting[u.r.IntN(len(u.waiting))]
		if w.unsure {
			return nil
		}
		cut := u.cut(u.r)
		if err = u.boot(w.firmware); err == nil {
			running = w.firmware
		} else if cut {
			err = nil
		}
	case 2:
		if u.boot(firmware) == nil {
			running = firmware
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", firmware, err)
	}
	u.disk.Hook = nil
	if !slices.Contains(u.approved, running) {
		return fmt.Errorf("starts with %s, which nobody approved", running)
	}
	u.started(running)
	return u.check()
}

// approveOne sends an approval, and notes which ones wait now.
func (u *updates) approveOne(firmware string) error {
	w := waiting{firmware: firmware, more: u.r.IntN(2) == 0}
	pcrs := fewPCRs
	if w.more {
		pcrs = morePCRs
	}
	cut := u.cut(u.r)
	err := u.approveOf(pcrs, firmware)
	switch {
	case errors.Is(err, proto.BadApproval) && !w.more && u.usedMore:
		return nil // of fewer PCRs than the root key is sealed to
	case err != nil && !cut:
		return err
	}
	// One that failed may have taken a place all the same.
	w.unsure = err != nil
	u.waiting = append(slices.DeleteFunc(u.waiting, func(v waiting) bool { return v.firmware == firmware && (w.more || !v.more) }), w)
	u.waiting = u.waiting[max(0, len(u.waiting)-4):]
	u.approved = append(u.approved, firmware)
	return nil
}

// started notes with what the machine runs.
func (u *updates) started(firmware string) {
	u.ran = append(slices.DeleteFunc(u.ran, func(s string) bool { return s == firmware }), firmware)
	u.ran = u.ran[max(0, len(u.ran)-3):]
	for i := range u.waiting {
		if w := &u.waiting[i]; slices.Contains(u.ran, w.firmware) {
			w.unsure, u.usedMore = true, u.usedMore || w.more
		}
	}
}

// check starts the machine with all firmwares that ran last, the latest last, so that
// their order stays.
func (u *updates) check() error {
	for _, firmware := range u.ran {
		if err := u.boot(firmware); err != nil {
			return fmt.Errorf("does not start with %s any more, one of %q, with which it started last: %w", firmware, u.ran, err)
		}
	}
	if first, second := u.disk.Data[:8<<10], u.disk.Data[32<<10:][:8<<10]; !bytes.Equal(first, second) {
		return errors.New("the copies of the root record differ after a start")
	}
	return nil
}

// cut lets the disk fail from some write on, in one of three cases.
func (h *machine) cut(r *rand.Rand) bool {
	if r.IntN(3) != 0 {
		return false
	}
	left := r.IntN(40)
	h.disk.Hook = func() error {
		if left--; left < 0 {
			return errors.New("power cut")
		}
		return nil
	}
	return true
}
