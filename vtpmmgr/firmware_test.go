package vtpmmgr

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
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
	if h.m, err = Initialise(h.config(), setup); err != nil {
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

// approval is the operator's, of a firmware.
func (h *machine) approval(firmware string) (*hwtpm.Approval, []byte) {
	h.t.Helper()
	digest := sha256.Sum256([]byte(firmware))
	values := append(make([]byte, 32), pcrAfter(make([]byte, 32), digest[:])...)
	a, err := hwtpm.Approve(h.operator, []uint{0, 7}, values)
	if err != nil {
		h.t.Fatal(err)
	}
	return a, values
}

func (h *machine) approve(firmware string) error {
	h.t.Helper()
	a, values := h.approval(firmware)
	return connect(h.t, h.m, Peer{}).Approve(&proto.Approval{Mask: a.Mask(), Policy: a.Policy, Signature: a.Signature, Values: values})
}

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
		t.Errorf("E, of which nobody knows: %v", err)
	}
	// An update that nobody planned: the approval is written to the disk.
	r, err := hwtpm.ReadRecord(h.disk)
	must("read", err)
	a, values := h.approval("E")
	r, err = r.Approve(a, values)
	must("approve E offline", err)
	must("write", hwtpm.WriteRecord(h.disk, r))
	must("E", h.boot("E"))
	must("E by its seal", h.boot("E"))
}

// TestUpdates: in any sequence of approvals and starts, with a loss of power at any
// write of the disk, the manager starts with each of the three firmwares with which it
// started last and with each of the newest approvals, and with nothing that was never
// approved.
func TestUpdates(t *testing.T) {
	t.Parallel()
	streams := uint64(10)
	if testing.Short() {
		streams = 2
	}
	for seed := range streams {
		r := rand.New(rand.NewPCG(seed, 11))
		h := newMachine(t)
		running := "A"
		approved, ran := []string{"A"}, []string{"A"}
		var pending []string        // newest approvals
		unsure := map[string]bool{} // those of them that failed, or by which there was a start
		for step := range 30 {
			next := string(rune('B' + r.IntN(12)))
			switch r.IntN(3) {
			case 0:
				cut := h.cut(r)
				err := h.approve(next)
				if err != nil && !cut {
					t.Fatalf("stream %d, step %d: approve %s: %v", seed, step, next, err)
				}
				// One that failed may have taken a place all the same.
				pending = append(slices.DeleteFunc(pending, func(s string) bool { return s == next }), next)
				pending = pending[max(0, len(pending)-4):]
				unsure[next] = err != nil
				approved = append(approved, next)
			case 1:
				if len(pending) == 0 {
					continue
				}
				if next = pending[r.IntN(len(pending))]; unsure[next] {
					continue
				}
				cut := h.cut(r)
				if err := h.boot(next); err == nil {
					running = next
					unsure[next] = true // it may be a seal now, and no approval
				} else if !cut {
					t.Fatalf("stream %d, step %d: start with %s, which is approved: %v", seed, step, next, err)
				}
			case 2:
				if err := h.boot(next); err == nil {
					if !slices.Contains(approved, next) {
						t.Fatalf("stream %d, step %d: starts with %s, which nobody approved", seed, step, next)
					}
					running = next
					unsure[next] = true
				}
			}
			h.disk.Hook = nil
			ran = append(slices.DeleteFunc(ran, func(s string) bool { return s == running }), running)
			ran = ran[max(0, len(ran)-3):]
			for _, firmware := range ran { // the latest last, so that their order stays
				unsure[firmware] = true
				if err := h.boot(firmware); err != nil {
					t.Fatalf("stream %d, step %d: does not start with %s any more, one of %q, with which it started last: %v", seed, step, firmware, ran, err)
				}
			}
			var copies [2][]byte
			for i := range copies {
				copies[i] = h.disk.Data[i*(32<<10):][:8<<10]
			}
			if !bytes.Equal(copies[0], copies[1]) {
				t.Fatalf("stream %d, step %d: the copies of the root record differ after a start", seed, step)
			}
		}
	}
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
