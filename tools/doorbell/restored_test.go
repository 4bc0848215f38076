package doorbell

import (
	"errors"
	"testing"
	"time"

	"stubtpm/drivers/crb"
	"stubtpm/drivers/xen"
)

// restoredWorld is a world with a guest that was restored from an image with a token, which
// its TPM has too.
func restoredWorld(t *testing.T) *world {
	w := newWorld(t)
	w.restores, w.machine.restored = true, true
	for _, f := range frames() {
		w.machine.pages[f] = xen.NewPage()
	}
	w.tpm.token = [crb.TokenSize]byte{0x7A, 1, 2, 3}
	w.machine.pages[crb.ControlFrame].CopyIn(crb.TokenOffset, w.tpm.token[:])
	return w
}

// TestRestoredKilled ends the process at each of its accesses to a guest that was restored,
// and another one takes over: the guest runs, once its TPM knows that the memory is the right
// one.
func TestRestoredKilled(t *testing.T) {
	t.Parallel()
	killed(t, 3, restoredWorld, func(t *testing.T, w *world) {
		w.tpm.mu.Lock()
		defer w.tpm.mu.Unlock()
		if !w.tpm.kept || w.tpm.capped || w.destroyed {
			t.Errorf("the TPM is kept: %v, capped: %v, destroyed: %v\n%q", w.tpm.kept, w.tpm.capped, w.destroyed, w.said())
		}
	})
}

// TestRestoredLater: a restored guest is held while there is no manager, longer than the
// toolstack would wait. One with another token is told of as it is, and one that its vTPM
// refuses is destroyed.
func TestRestoredLater(t *testing.T) {
	t.Parallel()
	w := restoredWorld(t)
	w.reports = errors.New("no manager")
	w.daemon(-1)
	w.toolstack()
	time.Sleep(10 * time.Millisecond)
	if w.machine.notRun() != nil {
		t.Error("the guest runs although nobody was told of it")
	}
	w.mu.Lock()
	w.reports = nil
	w.mu.Unlock()
	w.await(vtpmDom)
	if !w.tpm.kept {
		t.Error("the TPM is not kept")
	}
	w = restoredWorld(t)
	w.machine.pages[crb.ControlFrame].CopyIn(crb.TokenOffset, []byte{0})
	w.daemon(-1)
	w.toolstack()
	w.await(vtpmDom)
	if w.tpm.kept || !w.tpm.capped {
		t.Error("another token is taken for the TPM's")
	}
	w = restoredWorld(t)
	w.tpm.refuse = true
	w.restores = true
	w.daemon(-1)
	for destroyed := false; !destroyed && w.ctx.Err() == nil; time.Sleep(time.Millisecond) {
		w.mu.Lock()
		destroyed = w.destroyed
		w.mu.Unlock()
	}
	if w.machine.ran {
		t.Error("a guest that is refused runs")
	}
}

// TestRestoredFirst: a guest that was restored, or comes from another host, before its vTPM
// has a domain here is held: the toolstack goes on, and the guest runs once it has its TPM.
func TestRestoredFirst(t *testing.T) {
	t.Parallel()
	for _, killed := range []bool{false, true} {
		w := restoredWorld(t)
		w.Store.Set(map[string]string{"/libxl/2/device/vtpm/0/uuid": guestUUID}) // another vTPM's
		_, stop := w.daemon(-1)
		w.toolstack()
		if killed {
			stop()
			w.daemon(-1)
		}
		time.Sleep(10 * time.Millisecond)
		if w.machine.notRun() != nil {
			t.Error("the guest runs without its TPM")
		}
		w.Store.Set(map[string]string{"/libxl/2/device/vtpm/0/uuid": vtpmUUID})
		w.await(vtpmDom)
		for w.machine.notRun() == nil && w.ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		if w.machine.notRun() == nil {
			t.Errorf("the guest does not run: %q", w.said())
		}
		if !w.tpm.kept {
			t.Error("the TPM is not kept")
		}
	}
}
