package vtpmmgr

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpmmgr/hwtpm"
	"stubtpm/vtpmmgr/ledger"
)

// TestMoveCampaign: in any order of starts, resets, commits, restores, NV indices that are
// gone, and moves, which are cut off anywhere and given up or taken up again: a disk that is
// not the newest is refused without a signature for this moment, whatever words and orders of
// before go with it; the newest one is served; and epoch and count never go back.
func TestMoveCampaign(t *testing.T) {
	t.Parallel()
	seeds, steps := 6, 40
	if testing.Short() {
		seeds, steps = 1, 10
	}
	for seed := range seeds {
		for _, mode := range []ledger.Mode{{}, {Daily: 54}} {
			t.Run(fmt.Sprint(seed, " ", mode), func(t *testing.T) {
				t.Parallel()
				c := &moveCampaign{moveWorld: newMoveWorld(t, mode), r: rand.New(rand.NewPCG(uint64(seed), 1))}
				defer func() {
					if t.Failed() {
						t.Logf("after %q", c.done)
					}
				}()
				for n := 0; n < steps && !t.Failed(); n++ {
					c.step()
				}
				t.Logf("%d old disks were refused, %d moves were cut off, epoch %d", c.refused, c.cuts, c.epoch)
			})
		}
	}
}

type moveCampaign struct {
	*moveWorld
	r             *rand.Rand
	old           [][]byte // disks that are not the newest
	done          []string // last steps
	refused, cuts int
}

func (c *moveCampaign) note(format string, args ...any) {
	c.done = append(c.done, fmt.Sprintf(format, args...))
	c.done = c.done[max(0, len(c.done)-12):]
}

func (c *moveCampaign) step() {
	c.t.Helper()
	keep := bytes.Clone(c.disk.Data)
	switch c.r.IntN(7) {
	case 0, 1:
		c.note("commit")
		c.commit()
	case 2:
		c.note("an end and a start")
		c.must(c.m.Close())
		if c.r.IntN(2) == 0 {
			reset(c.t, c.cfg.TPM)
		}
		c.open()
	case 3:
		c.note("restore")
		c.must(c.m.Close())
		if len(c.old) == 0 {
			c.open()
			break
		}
		copy(c.disk.Data, c.old[c.r.IntN(len(c.old))])
		if _, err := Open(c.cfg); errors.Is(err, hwtpm.ErrMoved) {
			// Its indices are gone or too old: the move is what restores it.
			c.note("by a move")
			c.move()
			c.last = c.state()
			break
		} else if !errors.Is(err, ledger.ErrRolledBack) {
			c.moveOld(err)
			break
		}
		c.restore()
	case 4, 5:
		c.must(c.m.Close())
		c.lose()
		c.cutMove()
	case 6:
		c.must(c.m.Close())
		c.lose()
		c.note("move")
		c.move()
	}
	c.look()
	if bytes.Equal(keep, c.disk.Data) {
		return
	}
	c.old = append(c.old, keep)
	if len(c.old) > 8 {
		i := c.r.IntN(len(c.old))
		c.old = append(c.old[:i], c.old[i+1:]...)
	}
	c.putBack()
}

// moveOld moves with an old disk whose indices are gone.
func (c *moveCampaign) moveOld(err error) {
	c.t.Helper()
	if !errors.Is(err, hwtpm.ErrIndexGone) && !errors.Is(err, hwtpm.ErrIndexOther) {
		c.t.Fatalf("an old disk: %v", err)
	}
	c.note("by a move: %v", err)
	c.move()
	c.last = c.state()
}

// lose has an owner of the hardware TPM remove some indices, or none.
func (c *moveCampaign) lose() {
	c.t.Helper()
	gone := c.r.IntN(4)
	c.note("indices gone: %02b", gone)
	for i, h := range c.m.root.Indices() {
		if gone&(1<<i) != 0 {
			ownerIndex(c.t, c.cfg.TPM, tpm2.TPMHandle(h), false)
		}
	}
}

// cutMove cuts a move off at a command or at a write, and then has somebody look, give it up
// or take it up.
func (c *moveCampaign) cutMove() {
	c.t.Helper()
	_, err := OpenMoved(c.cfg, nil)
	order := ed25519Order{OpenMoved, signMove(c.t, c.disk, err)}
	left := c.r.IntN(120)
	cfg := c.cfg
	if c.r.IntN(3) == 0 {
		left = c.r.IntN(12)
		c.disk.Hook = func() error {
			if left--; left < 0 {
				return errors.New("cut")
			}
			return nil
		}
	} else {
		cfg.TPM = transportFunc(func(b []byte) ([]byte, error) {
			if left--; left < 0 {
				return nil, errors.New("cut")
			}
			return c.cfg.TPM.Send(b)
		})
	}
	c.note("a move is cut at %d", left)
	c.m, _ = OpenMoved(cfg, order.signature) // done or cut: the next start finds out
	c.disk.Hook = nil
	c.orders = append(c.orders, order)
	if left < 0 {
		c.cuts++
	}
	kept := bytes.Clone(c.disk.Data)
	if c.r.IntN(3) == 0 {
		reset(c.t, c.cfg.TPM)
	}
	m, err := Open(c.cfg)
	for try := 0; err != nil; try++ {
		if try == 4 {
			c.t.Fatalf("the move cannot be taken up: %v", err)
		}
		c.note("then: %v", err)
		signature := order.signature
		if strings.Contains(err.Error(), "challenge ") && (try > 0 || c.r.IntN(2) == 0) {
			signature = signMove(c.t, c.disk, err)
			c.orders = append(c.orders, ed25519Order{OpenMoved, signature})
		}
		m, err = OpenMoved(c.cfg, signature)
	}
	c.note("goes on in epoch %d", m.store.Epoch())
	c.took(m, err, false)
	c.old = append(c.old, kept)
	c.commit()
}

// putBack puts an old disk back, with a word or an order of before, or with none.
func (c *moveCampaign) putBack() {
	c.t.Helper()
	c.must(c.m.Close())
	now := bytes.Clone(c.disk.Data)
	words := append([]ed25519Order{{func(cfg Config, _ []byte) (*Manager, error) { return Open(cfg) }, nil}, {OpenMoved, nil}}, c.orders[max(0, len(c.orders)-4):]...)
	for range 3 {
		i, n := c.r.IntN(len(c.old)), c.r.IntN(len(words))
		copy(c.disk.Data, c.old[i])
		if m, err := words[n].open(c.cfg, words[n].signature); err == nil {
			c.t.Fatalf("old disk %d is taken, with word %d, epoch %d", i, n, m.store.Epoch())
		}
		c.refused++
	}
	copy(c.disk.Data, now)
	c.open()
	c.look()
}
