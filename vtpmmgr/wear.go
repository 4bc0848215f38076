package vtpmmgr

import (
	"fmt"
	"time"

	"stubtpm/vtpmmgr/ledger"
)

// leastYears is how long the hardware TPM has to last at the present rate:
// below, STATUS says so.
const leastYears = 1

// wear appends STATUS' lines on the hardware TPM's NV memory, and on what a loss
// of power could take back now. It waits for nothing.
func (m *Manager) wear(b []byte) []byte {
	endurance := m.cfg.Endurance
	if endurance == 0 {
		endurance = ledger.DefaultEndurance
	}
	w := m.store.Wear()
	years := w.Years(endurance)
	b = fmt.Appendf(b, "nv-writes %d\nnv-writes-day %d\nnv-endurance %d\nnv-years-left %.1f\n", w.Writes, w.PerDay(), endurance, years)
	if w.Daily != 0 {
		b = fmt.Appendf(b, "nv-budget %d a day, %.1f left\n", w.Daily, w.Credit)
	}
	loose := "nothing"
	if w.Loose > 0 {
		loose = fmt.Sprintf("%d commits, since %s", w.Loose, w.Since.UTC().Format(time.RFC3339))
	}
	b = fmt.Appendf(b, "rollback %s\n", loose)
	why := "ok"
	switch {
	case years < leastYears:
		why = fmt.Sprintf("degraded: %d of %d writes are used, and at %d a day the hardware TPM lasts %.1f years", w.Writes, endurance, w.PerDay(), years)
	case w.Daily != 0 && int(w.PerDay()) > 2*w.Daily:
		why = fmt.Sprintf("degraded: %d writes a day, and the budget is %d", w.PerDay(), w.Daily)
	}
	return fmt.Appendf(b, "wear %s\n", why)
}
