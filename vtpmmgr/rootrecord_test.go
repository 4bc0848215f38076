package vtpmmgr

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"stubtpm/vtpmmgr/hwtpm"
	"stubtpm/vtpmmgr/proto"
)

// after has the disk take so many writes of a sector, and none from then on.
func (h *machine) after(n int) {
	h.disk.Hook = func() error {
		if n--; n < 0 {
			return errors.New("disk error")
		}
		return nil
	}
}

// TestRootRecordTwoFaults: an approval that the disk fails, and then a loss of power in
// another approval or in a start, leave a disk with which the manager starts.
func TestRootRecordTwoFaults(t *testing.T) {
	t.Parallel()
	step := 9
	if testing.Short() {
		step = 11
	}
	for first := 1; first < 65; first += step {
		for second := 1; second < 60; second += step {
			for what, order := range map[string]func(h *machine) error{
				"another approval":  func(h *machine) error { return h.approve("C") },
				"the same firmware": func(h *machine) error { return h.approve("B") }, // signed again
				"a start":           func(h *machine) error { return h.boot("A") },
			} {
				h := newMachine(t)
				h.after(first)
				if err := h.approve("B"); err == nil {
					t.Fatalf("write %d: no error", first)
				}
				h.after(second)
				err := order(h)
				h.disk.Hook = nil
				if e := h.boot("A"); e != nil {
					t.Fatalf("disk error at write %d of an approval, then at write %d of %s (%v): %v", first, second, what, err, e)
				}
			}
		}
	}
}

// TestApproveAfterFailedRepair: while one copy of the root record cannot be written,
// an approval is refused, and leaves the other one alone.
func TestApproveAfterFailedRepair(t *testing.T) {
	t.Parallel()
	h := newMachine(t)
	h.disk.Data[32<<10] ^= 1
	writes := 0
	h.disk.Hook = func() error { writes++; return nil }
	if err := h.boot("A"); err != nil {
		t.Fatal(err)
	}
	h.disk.Data[32<<10] ^= 1
	h.after(writes - 16) // the repair is the last of a start
	if err := h.boot("A"); err != nil {
		t.Fatal(err)
	}
	if _, err := hwtpm.DecodeRecord(h.disk.Data[32<<10:][:8<<10]); err == nil {
		t.Fatal("the second copy was repaired")
	}
	for n := 0; n < 45; n += 4 {
		h.after(n)
		if err := h.approve("B"); err == nil {
			t.Fatal("approved")
		}
	}
	h.disk.Hook = nil
	if _, err := hwtpm.DecodeRecord(h.disk.Data[:8<<10]); err != nil {
		t.Errorf("the first copy: %v", err)
	}
	if err := h.approve("B"); err != nil {
		t.Errorf("on a disk that works again: %v", err)
	}
	if err := h.boot("B"); err != nil {
		t.Error(err)
	}
}

// TestApproveAudited: an approval counts only if the audit log tells of it, whichever
// write of the disk fails.
func TestApproveAudited(t *testing.T) {
	t.Parallel()
	for n := 0; ; n += 3 {
		h := newMachine(t)
		h.after(n)
		err := h.approve("B")
		h.disk.Hook = nil
		if e := h.boot("B"); e != nil {
			continue
		}
		if !strings.Contains(auditText(t, h.m), "approve") {
			t.Errorf("disk error at write %d (%v): the approval counts, and is not in the audit log", n, err)
		}
		if err == nil {
			return
		}
	}
}

// auditText is all that the audit log has.
func auditText(t *testing.T, m *Manager) string {
	t.Helper()
	_, entries, err := connect(t, m, Peer{}).Audit(proto.ManagerLog, 0)
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.Join(entries, nil))
}
