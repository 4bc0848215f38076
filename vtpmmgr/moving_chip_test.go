package vtpmmgr

import (
	"errors"
	"testing"

	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/transfer"
)

// A failing TPM does not answer after so many commands; it answers all if left is negative.
// What it did not answer was carried out if does is set.
type failing struct {
	transport.TPM
	left int
	does bool
}

func (f *failing) Send(b []byte) ([]byte, error) {
	switch {
	case f.left > 0:
		f.left--
	case f.left == 0:
		if f.does {
			f.TPM.Send(b)
		}
		return nil, errors.New("no answer")
	}
	return f.TPM.Send(b)
}

// TestTransferChip has the hardware TPM of a host stop answering at each of its commands in each
// step of a move. Once it answers again the step can be done again, by the same message or from
// the request on, and in the end one host has the vTPM.
func TestTransferChip(t *testing.T) {
	t.Parallel()
	for _, does := range []bool{false, true} {
		for _, name := range []byte("ohaRe") {
			t.Run(string(name), func(t *testing.T) {
				t.Parallel()
				chips := map[*transferHost]*failing{}
				w := &transferWorld{t: t, site: newTestSite(t), u: testUUID}
				for _, h := range []**transferHost{&w.a, &w.b} {
					chip := &failing{TPM: hardwareTPM(t), left: -1, does: does}
					*h = newTransferHost(t, chip, w.site, ledger.Mode{Daily: 54}, 4)
					chips[*h] = chip
				}
				w.enroll(w.u)
				fails, stride := 0, 1
				if testing.Short() {
					stride = 5
				}
				for n := 0; ; n += stride {
					failed := w.failAt(name, func(h *transferHost) *failing { return chips[h] }, n)
					if g, err := w.b.loads(w.u); err != nil || g.State.Sequence != w.last {
						t.Fatalf("command %d: %+v, %v", n, g, err)
					}
					if live := w.live(); live != 1 {
						t.Fatalf("command %d: %d are live", n, live)
					}
					if !failed {
						break
					}
					fails++
					w = w.back()
					w.last += 2
					w.freeze(w.a, w.u, w.last)
				}
				if fails == 0 {
					t.Error("the TPM never failed")
				}
			})
		}
	}
}

// failAt does a whole move, and has the TPM fail at a command of one step. It returns false if
// the step has not so many.
func (w *transferWorld) failAt(name byte, chip func(*transferHost) *failing, n int) (failed bool) {
	w.t.Helper()
	for _, s := range w.steps() {
		if s.name != name {
			w.must(s.do())
			continue
		}
		c := chip(s.at)
		c.left = n
		err := s.do()
		c.left = -1
		if failed = err != nil; !failed {
			continue
		}
		if live := w.live(); live > 1 {
			w.t.Fatalf("command %d of step %c: %d are live", n, name, live)
		}
		err = s.do()
		if name == 'h' && reasonOf(err) == transfer.NonceUsed {
			w.upTo('O')
			err = s.do()
		}
		if err != nil {
			w.t.Fatalf("step %c after command %d: %v", name, n, err)
		}
	}
	return failed
}

// TestTransferOtherMaker moves a vTPM between hosts with another maker's TPM, which are started
// again in between.
func TestTransferOtherMaker(t *testing.T) {
	t.Parallel()
	w := &transferWorld{t: t, site: newTestSite(t), u: testUUID}
	for _, h := range []**transferHost{&w.a, &w.b} {
		tpm, _ := swtpm(t, t.TempDir())
		*h = newTransferHost(t, tpm, w.site, ledger.Mode{Daily: 54}, 4)
	}
	w.enroll(w.u)
	for _, s := range w.steps() {
		w.must(s.do())
		if s.name == 'o' || s.name == 'a' {
			w.must(w.b.restart())
		}
	}
	if n := w.live(); n != 1 {
		t.Errorf("%d are live", n)
	}
}
