package fleet

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

var (
	hosts = []Host{{0xA}, {0xB}, {0xC}}
	key   = ed25519.NewKeyFromSeed(make([]byte, 32))
)

// lease is the shortest that the clusters of these tests grant.
const lease = time.Second

// TestEtcd runs all that needs a cluster on one: to start it takes the longest.
func TestEtcd(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts three processes of etcd and takes half a minute")
	}
	c := newCluster(t)
	t.Run("silence", func(t *testing.T) {
		if err := checkSilence(t.Context(), NewEtcd(c.client(t), "/real/", lease)); err != nil {
			t.Error(err)
		}
	})
	t.Run("mutations", func(t *testing.T) { testMutations(t, c) })
	t.Run("faults", func(t *testing.T) { testFaults(t, c) })
}

// checkSilence says what a store does wrong when its owner falls silent: nobody gets the
// vTPM by that, and one who has the approver's word does.
func checkSilence(ctx context.Context, s Store) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	vtpm, a, b, approver := UUID{1}, hosts[0], hosts[1], key.Public().(ed25519.PublicKey)
	is := func(what string, r Row, err, want error, owner Host, e Epoch) error {
		if !errors.Is(err, want) || want == nil && err != nil || r.Owner != owner || r.Epoch != e {
			return fmt.Errorf("%s: owner %v, epoch %v, %v; want %v, %v, %v", what, r.Owner, r.Epoch, err, owner, e, want)
		}
		return nil
	}
	var errs []error
	must := func(what string, r Row, err, want error, owner Host, e Epoch) {
		errs = append(errs, is(what, r, err, want, owner, e))
	}
	r, err := s.Look(ctx, vtpm)
	must("look at nothing", r, err, ErrNoRow, Host{}, Epoch{})
	r, err = s.HandOver(ctx, vtpm, a, Epoch{}, b)
	must("hand over nothing", r, err, ErrNoRow, Host{}, Epoch{})
	r, err = s.Claim(ctx, vtpm, a, approver)
	must("claim", r, err, nil, a, Epoch{})
	r, err = s.Look(ctx, vtpm)
	must("look", r, err, nil, a, Epoch{})
	if !r.Heard {
		errs = append(errs, errors.New("an owner that has just made a claim is not heard"))
	}
	for r.Heard && ctx.Err() == nil {
		time.Sleep(100 * time.Millisecond)
		if r, err = s.Look(ctx, vtpm); err != nil {
			errs = append(errs, fmt.Errorf("look at a silent owner: %w", err))
		}
	}
	if ctx.Err() != nil {
		return errors.Join(append(errs, errors.New("the lease does not end"))...)
	}

	r, err = s.Claim(ctx, vtpm, b, approver)
	must("claim from a silent owner", r, err, ErrOwned, a, Epoch{})
	r, err = s.HandOver(ctx, vtpm, b, Epoch{}, b)
	must("hand over to oneself", r, err, ErrArgument, Host{}, Epoch{})
	r, err = s.HandOver(ctx, vtpm, b, Epoch{}, hosts[2])
	must("hand over from a silent owner", r, err, ErrMoved, a, Epoch{})

	sign := func(u UUID, w Word, k ed25519.PrivateKey) Word {
		w.Signature = ed25519.Sign(k, w.Message(u))
		return w
	}
	other := ed25519.NewKeyFromSeed(append(make([]byte, 31), 1))
	good := sign(vtpm, Word{From: a, To: b, Restored: 1}, key)
	late := sign(vtpm, Word{From: a, To: hosts[2], Restored: 1}, key)
	for name, w := range map[string]Word{
		"no signature":      {From: a, To: b, Restored: 1},
		"another's":         sign(vtpm, good, other),
		"another vTPM's":    sign(UUID{2}, good, key),
		"the same epoch":    sign(vtpm, Word{From: a, To: b}, key),
		"changed afterward": {From: a, To: hosts[2], Restored: 1, Signature: good.Signature},
	} {
		r, err = s.Fence(ctx, vtpm, w)
		must("word: "+name, r, err, ErrWord, a, Epoch{})
	}
	r, err = s.Fence(ctx, vtpm, sign(vtpm, Word{From: b, To: b, Restored: 1}, key))
	must("word about another owner", r, err, ErrMoved, a, Epoch{})
	for range 2 {
		r, err = s.Fence(ctx, vtpm, good)
		must("fence", r, err, nil, b, Epoch{Restored: 1})
	}
	r, err = s.Fence(ctx, vtpm, late)
	must("another word about the old epoch", r, err, ErrMoved, b, Epoch{Restored: 1})
	r, err = s.Claim(ctx, vtpm, a, approver)
	must("claim of the fenced host", r, err, ErrOwned, b, Epoch{Restored: 1})
	r, err = s.HandOver(ctx, vtpm, a, Epoch{}, hosts[2])
	must("hand-over of the fenced host", r, err, ErrMoved, b, Epoch{Restored: 1})
	for range 2 {
		r, err = s.HandOver(ctx, vtpm, b, Epoch{Restored: 1}, a)
		must("hand-over", r, err, nil, a, Epoch{1, 1})
	}
	r, err = s.Fence(ctx, vtpm, good)
	must("a word for the second time", r, err, ErrMoved, a, Epoch{1, 1})
	r, err = s.Claim(ctx, vtpm, a, other.Public().(ed25519.PublicKey))
	must("claim with another approver", r, err, nil, a, Epoch{1, 1})
	r, err = s.Fence(ctx, vtpm, sign(vtpm, Word{From: a, At: Epoch{1, 1}, To: b, Restored: 2}, key))
	must("word of the former approver", r, err, ErrWord, a, Epoch{1, 1})
	return errors.Join(errs...)
}

// A blind store writes without comparing.
type blind struct{ clientv3.KV }

type blindTxn struct{ clientv3.Txn }

func (b blind) Txn(ctx context.Context) clientv3.Txn      { return blindTxn{b.KV.Txn(ctx)} }
func (t blindTxn) If(...clientv3.Cmp) clientv3.Txn        { return t }
func (t blindTxn) Then(ops ...clientv3.Op) clientv3.Txn   { return blindTxn{t.Txn.Then(ops...)} }
func (t blindTxn) Else(ops ...clientv3.Op) clientv3.Txn   { return blindTxn{t.Txn.Else(ops...)} }
func (t blindTxn) Commit() (*clientv3.TxnResponse, error) { return t.Txn.Commit() }

// A leased store puts the row under the lease of the claim, so that it goes with it.
type leased struct {
	clientv3.KV
	leaser
	last clientv3.LeaseID
}

type leasedTxn struct {
	clientv3.Txn
	id clientv3.LeaseID
}

func (l *leased) Grant(ctx context.Context, ttl int64) (*clientv3.LeaseGrantResponse, error) {
	r, err := l.leaser.Grant(ctx, ttl)
	if err == nil {
		l.last = r.ID
	}
	return r, err
}

func (l *leased) Txn(ctx context.Context) clientv3.Txn { return leasedTxn{l.KV.Txn(ctx), l.last} }

func (t leasedTxn) If(c ...clientv3.Cmp) clientv3.Txn { return leasedTxn{t.Txn.If(c...), t.id} }

func (t leasedTxn) Then(ops ...clientv3.Op) clientv3.Txn {
	for i, o := range ops {
		ops[i] = clientv3.OpPut(string(o.KeyBytes()), string(o.ValueBytes()), clientv3.WithLease(t.id))
	}
	return leasedTxn{t.Txn.Then(ops...), t.id}
}

// An eager store takes a silent owner's vTPM.
type eager struct{ *Etcd }

func (e eager) Claim(ctx context.Context, vtpm UUID, h Host, approver ed25519.PublicKey) (Row, error) {
	r, err := e.Etcd.Claim(ctx, vtpm, h, approver)
	if !errors.Is(err, ErrOwned) {
		return r, err
	}
	if seen, lerr := e.Look(ctx, vtpm); lerr == nil && !seen.Heard {
		return e.HandOver(ctx, vtpm, seen.Owner, seen.Epoch, h)
	}
	return r, err
}

// testMutations: the checks find a store that writes without comparing, and two that let a
// vTPM go when a lease ends.
func testMutations(t *testing.T, c *cluster) {
	real := func(prefix string) *Etcd { return NewEtcd(c.client(t), prefix, lease) }
	t.Run("without compare", func(t *testing.T) {
		t.Parallel()
		s := real("/blind/")
		s.kv = blind{s.kv}
		r := c.run(t, 3*time.Second, time.Millisecond, func(int) Store { return s })
		for name, err := range map[string]error{"two owners": r.owners(), "order of the calls": r.linear()} {
			if err == nil {
				t.Errorf("not found by %s in a history of %d calls", name, len(r.history))
			} else {
				t.Log("found:", err)
			}
		}
	})
	t.Run("row with the lease", func(t *testing.T) {
		t.Parallel()
		s := real("/leased/")
		l := &leased{KV: s.kv, leaser: s.leases}
		s.kv, s.leases = l, l
		if err := checkSilence(t.Context(), s); err == nil {
			t.Error("not found")
		} else {
			t.Logf("found: %.200v ...", err)
		}
	})
	t.Run("take over at the lease's end", func(t *testing.T) {
		t.Parallel()
		if err := checkSilence(t.Context(), eager{real("/eager/")}); err == nil {
			t.Error("not found")
		} else {
			t.Logf("found: %.200v ...", err)
		}
	})
}

// run lets six clients work, two as each host.
func (c *cluster) run(t *testing.T, d, pause time.Duration, store func(who int) Store) *recorder {
	r := &recorder{begin: time.Now()}
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var all sync.WaitGroup
	for who := range 6 {
		s := store(who)
		all.Go(func() { r.work(ctx, s, who, hosts, key, pause, 600*time.Millisecond) })
	}
	all.Wait()
	return r
}

// testFaults: whatever is cut off, delayed or killed, the history of the calls is
// linearizable and no epoch has two owners; and after the faults the store answers again.
func testFaults(t *testing.T, c *cluster) {
	const length = 12 * time.Second
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	end := make(chan struct{})
	var faults [5]int
	var all sync.WaitGroup
	all.Go(func() {
		for i := 0; ; i++ {
			m, kind := rng.IntN(members), i%len(faults)
			switch kind {
			case 0, 1, 2, 3: // with and without its clients; lost, or delivered afterwards
				c.set(m, kind&1 != 0, kind&2 != 0, 0)
			case 4:
				c.set(nobody, false, false, time.Duration(5+rng.IntN(60))*time.Millisecond)
				c.kill(m)
			}
			faults[kind]++
			stop := false
			select {
			case <-end:
				stop = true
			case <-time.After(time.Duration(500+rng.IntN(700)) * time.Millisecond):
			}
			c.set(nobody, false, false, 0)
			if c.processes[m] == nil {
				c.start(t, m)
			}
			if stop {
				return
			}
			time.Sleep(time.Duration(100+rng.IntN(300)) * time.Millisecond)
		}
	})
	r := c.run(t, length, 15*time.Millisecond, func(who int) Store {
		if who < members {
			return NewEtcd(c.client(t, who), "/faults/", lease)
		}
		return NewEtcd(c.client(t), "/faults/", lease)
	})
	close(end)
	all.Wait()

	begin := time.Now()
	s := NewEtcd(c.client(t), "/faults/", lease)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	for {
		_, err := s.Claim(ctx, UUID{9}, hosts[0], key.Public().(ed25519.PublicKey))
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("the store does not answer after the faults: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	back := time.Since(begin)
	begin = time.Now()
	if err := r.check(); err != nil {
		t.Error(err)
	}
	done := r.done()
	t.Logf("%d calls answered (%v succeeded), %d unknown, %d failed; half within %v, the longest %v; faults %v; answers %v after the last; checked in %v",
		len(r.history)-r.unknown, done, r.unknown, r.failed, r.median().Round(100*time.Microsecond), r.latest().Round(time.Millisecond), faults,
		back.Round(time.Millisecond), time.Since(begin).Round(time.Millisecond))
	for _, name := range []string{"claim", "hand-over", "look", "fence"} {
		if done[name] < 5 {
			t.Errorf("only %d calls of %s succeeded: the test shows nothing", done[name], name)
		}
	}
	if r.unknown+r.failed == 0 || slices.Contains(faults[:], 0) {
		t.Errorf("no call failed, or a kind of fault is missing (%v): the test shows nothing", faults)
	}
}
