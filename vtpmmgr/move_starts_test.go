package vtpmmgr

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// TestMoveAfterStarts: however often the host started before, whatever is gone, and in each
// mode, a move is followed by starts, in a higher epoch. A new NV counter begins above those
// that were removed, and not above the old one if that is still there.
func TestMoveAfterStarts(t *testing.T) {
	t.Parallel()
	gone := map[string][]tpm2.TPMHandle{"nothing": nil, "extend index": {anchorHandle}, "counter": {counterHandle}, "both": {anchorHandle, counterHandle}}
	counts := []int{0, 1, 2, 3, 7, 15}
	if testing.Short() {
		counts = []int{3}
	}
	for what, handles := range gone {
		for _, starts := range counts {
			for _, mode := range []ledger.Mode{{}, {Daily: 54}} {
				t.Run(fmt.Sprintf("%s gone after %d starts, %v", what, starts, mode), func(t *testing.T) {
					t.Parallel()
					w := newMoveWorld(t, mode)
					for range starts {
						w.must(w.m.Close())
						reset(t, w.cfg.TPM)
						w.open()
					}
					for range 2 { // and once more from the new ones
						w.must(w.m.Close())
						for i := range handles {
							ownerIndex(t, w.cfg.TPM, tpm2.TPMHandle(w.m.root.Indices()[handles[i]-anchorHandle]), false)
						}
						w.move()
						w.commit()
						w.must(w.m.Close())
						w.open()
						w.look()
					}
				})
			}
		}
	}
}

// TestMoveAfterRestores: the epoch is that of the last of some restores, which was a count
// of the old index.
func TestMoveAfterRestores(t *testing.T) {
	t.Parallel()
	w := newMoveWorld(t, ledger.Mode{})
	for n := range 15 {
		old := slices.Clone(w.disk.Data)
		w.commit()
		copy(w.disk.Data, old)
		w.restore()
		if n%4 != 3 {
			continue
		}
		w.must(w.m.Close())
		ownerIndex(t, w.cfg.TPM, tpm2.TPMHandle(w.m.root.Indices()[0]), false)
		w.move()
		w.must(w.m.Close())
		w.open()
		w.look()
	}
}

// A moveWorld is a manager that is started, moved and restored. Its epoch and its count
// never go back.
type moveWorld struct {
	t      *testing.T
	cfg    Config
	disk   *blocktest.Mem
	m      *Manager
	last   uint64 // state that was committed last
	epoch  uint32
	count  uint64
	orders []ed25519Order // that were used
}

// An ed25519Order is an order of the administrator on the command line.
type ed25519Order struct {
	open      func(Config, []byte) (*Manager, error)
	signature []byte
}

func newMoveWorld(t *testing.T, mode ledger.Mode) *moveWorld {
	t.Helper()
	return newMoveWorldOn(t, hardwareTPM(t), mode)
}

func newMoveWorldOn(t *testing.T, tpm transport.TPM, mode ledger.Mode) *moveWorld {
	t.Helper()
	w := &moveWorld{t: t, disk: blocktest.NewMem(256 << 10)}
	w.cfg = Config{TPM: tpm, Disk: w.disk, Log: func(string, ...any) {}, Mode: mode}
	var err error
	w.m, err = Initialize(w.cfg, testSetup())
	w.must(err)
	w.must(enroll(connect(t, w.m, Peer{}), testUUID))
	w.commit()
	return w
}

func (w *moveWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *moveWorld) commit() {
	w.t.Helper()
	w.last++
	_, end := live(w.t, w.m, Peer{Domain: 5, UUID: testUUID}, w.last)
	end()
}

// took notes that a manager started, in a new epoch or not.
func (w *moveWorld) took(m *Manager, err error, higher bool) {
	w.t.Helper()
	w.must(err)
	n, err := m.tpm.Counter()
	w.must(err)
	if n < w.count || m.config.counter > n {
		w.t.Fatalf("count %d, in the configuration %d; it was %d", n, m.config.counter, w.count)
	}
	if e := m.store.Epoch(); e < w.epoch || higher && e == w.epoch {
		w.t.Fatalf("epoch %d after %d", e, w.epoch)
	}
	w.m, w.count, w.epoch = m, n, m.store.Epoch()
}

func (w *moveWorld) open() {
	w.t.Helper()
	m, err := Open(w.cfg)
	w.took(m, err, false)
}

// state returns which state is served.
func (w *moveWorld) state() uint64 {
	w.t.Helper()
	s, err := w.m.Open(Peer{Domain: 5, UUID: testUUID})
	w.must(err)
	defer s.Close()
	g, err := (&proto.Client{Transact: func(b []byte) ([]byte, error) { return s.Execute(b), nil }}).Load()
	w.must(err)
	return g.State.Sequence
}

// look checks that what was committed last is served.
func (w *moveWorld) look() {
	w.t.Helper()
	if n := w.state(); n != w.last {
		w.t.Fatalf("state %d, the last is %d", n, w.last)
	}
}

// move carries out the order to move.
func (w *moveWorld) move() {
	w.t.Helper()
	_, err := OpenMoved(w.cfg, nil)
	if !errors.Is(err, ErrMove) {
		w.t.Fatalf("the word move without a signature: %v", err)
	}
	o := ed25519Order{OpenMoved, signMove(w.t, w.disk, err)}
	m, err := o.open(w.cfg, o.signature)
	w.took(m, err, true)
	w.orders = append(w.orders, o)
}

// restore carries out the order to restore the ledger on the disk.
func (w *moveWorld) restore() {
	w.t.Helper()
	n, err := w.m.tpm.Counter()
	w.must(err)
	o := ed25519Order{OpenRestored, ed25519.Sign(testAdmin, proto.SignedRestore(w.m.id, n))}
	m, err := o.open(w.cfg, o.signature)
	w.took(m, err, true)
	w.last = w.state()
	w.orders = append(w.orders, o)
}
