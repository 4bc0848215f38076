package vtpmmgr

import (
	"slices"
	"testing"
	"time"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
	"stubtpm/vtpmmgr/transfer"
)

// evacuated is how many vTPMs leave a manager in TestTransferTimes; docs/performance.md has the
// times of the larger number, without -short.
const (
	evacuated      = 100
	evacuatedShort = 8
)

// TestTransferTimes moves many vTPMs in a row from one manager to another one, and prints what the
// steps took. All of them are live at the target and gone from the source then.
func TestTransferTimes(t *testing.T) {
	n := evacuated
	if testing.Short() {
		n = evacuatedShort
	}
	// In strict mode a target makes 64 offers, and then one each ten minutes.
	mode, site := ledger.Mode{Daily: 54}, newTestSite(t)
	w := &transferWorld{t: t, site: site,
		a: newTransferHostOn(t, blocktest.NewMem(4<<20), hardwareTPM(t), site, mode, 3),
		b: newTransferHostOn(t, blocktest.NewMem(4<<20), hardwareTPM(t), site, mode, 4)}
	all := make([]UUID, n)
	for i := range all {
		// The administrator's: a group has a rate of moves.
		all[i] = UUID{15: byte(i + 1)}
		w.must(w.a.as(testAdmin).Enroll(&proto.Enrollment{UUID: all[i]}))
		w.freeze(w.a, all[i], 3)
	}
	took := map[byte][]time.Duration{}
	messages := map[byte]int{}
	begin := time.Now()
	for _, u := range all {
		w.u = u
		for _, s := range w.steps() {
			start := time.Now()
			if s.name == 'O' {
				w.order = signOffer(t, w.offer, testAdmin)
			} else {
				w.must(s.do())
			}
			took[s.name] = append(took[s.name], time.Since(start))
		}
		for name, m := range map[byte][]byte{'r': w.request, 'o': w.offer, 'O': w.order, 'h': w.handover, 'a': w.answer, 'R': w.release} {
			messages[name] = max(messages[name], len(m))
		}
	}
	whole := time.Since(begin)
	for _, u := range all {
		if p := w.a.phase(u); p != transfer.Gone {
			t.Errorf("%v at the source: %v", u, p)
		}
		g, err := w.b.loads(u)
		if err != nil || g.State != *testState(3) {
			t.Errorf("%v at the target: %+v, %v", u, g.State, err)
		}
	}
	for _, s := range w.steps() {
		d := took[s.name]
		slices.Sort(d)
		t.Logf("%c: median %d us, most %d us; message %d bytes", s.name, d[n/2].Microseconds(), d[n-1].Microseconds(), messages[s.name])
	}
	t.Logf("%d vTPMs in a row: %v", n, whole.Round(time.Millisecond))
}
