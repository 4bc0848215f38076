package fleet

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// A call is one of the four with its arguments.
type call struct {
	name     string // claim, hand-over, look, fence
	vtpm     UUID
	from, to Host // a claim's host is to
	at       Epoch
	restored uint32
	forged   bool // the word is another's
}

// An answer is what it returned. Errors that say that nothing was changed are not recorded.
type answer struct {
	row     Row
	err     error // nil, ErrOwned, ErrMoved, ErrNoRow or ErrWord
	unknown bool
}

// register is the row of one vTPM in the model; without an owner nobody has claimed it.
type register struct {
	owner Host
	epoch Epoch
}

// expected is what a store must do, said without looking at how it does it.
func (s register) expected(c call) (next register, err error) {
	if s.owner == (Host{}) {
		if c.name == "claim" {
			return register{owner: c.to}, nil
		}
		return s, ErrNoRow
	}
	switch c.name {
	case "look":
		return s, nil
	case "claim":
		if s.owner != c.to {
			return s, ErrOwned
		}
		return s, nil
	case "hand-over":
		next = register{c.to, Epoch{c.at.Restored, c.at.Moves + 1}}
	case "fence":
		if c.forged || c.restored <= c.at.Restored {
			return s, ErrWord
		}
		next = register{c.to, Epoch{Restored: c.restored}}
	}
	if s == next || s == (register{c.from, c.at}) {
		return next, nil
	}
	return s, ErrMoved
}

// model is that of porcupine: a register for each vTPM.
var model = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		by := map[UUID][]porcupine.Operation{}
		for _, o := range history {
			u := o.Input.(call).vtpm
			by[u] = append(by[u], o)
		}
		var all [][]porcupine.Operation
		for _, l := range by {
			all = append(all, l)
		}
		return all
	},
	Init: func() any { return register{} },
	Step: func(state, input, output any) (bool, any) {
		a := output.(answer)
		next, err := state.(register).expected(input.(call))
		if a.unknown {
			return true, next
		}
		return a.err == err && a.row.Owner == next.owner && a.row.Epoch == next.epoch, next
	},
}

// A recorder writes down a history.
type recorder struct {
	mu      sync.Mutex
	begin   time.Time
	history []porcupine.Operation
	failed  int // calls that changed nothing since the store did not answer
	unknown int
}

// do makes a call and records it.
func (r *recorder) do(ctx context.Context, s Store, who int, c call, key ed25519.PrivateKey) answer {
	approver := key.Public().(ed25519.PublicKey)
	var a answer
	start := int64(time.Since(r.begin))
	switch c.name {
	case "claim":
		a.row, a.err = s.Claim(ctx, c.vtpm, c.to, approver)
	case "hand-over":
		a.row, a.err = s.HandOver(ctx, c.vtpm, c.from, c.at, c.to)
	case "look":
		a.row, a.err = s.Look(ctx, c.vtpm)
	case "fence":
		w := Word{From: c.from, At: c.at, To: c.to, Restored: c.restored}
		w.Signature = ed25519.Sign(key, w.Message(c.vtpm))
		if c.forged {
			w.Signature[5] ^= 1
		}
		a.row, a.err = s.Fence(ctx, c.vtpm, w)
	}
	end := int64(time.Since(r.begin))
	r.mu.Lock()
	defer r.mu.Unlock()
	known := false
	for _, err := range []error{nil, ErrOwned, ErrMoved, ErrNoRow, ErrWord} {
		known = known || a.err == err
	}
	if errors.Is(a.err, ErrUnknown) {
		a.unknown = true
		end = int64(time.Hour) // it may take effect at any time
		r.unknown++
	} else if !known {
		r.failed++
		return a
	}
	r.history = append(r.history, porcupine.Operation{ClientId: who, Input: c, Output: a, Call: start, Return: end})
	return a
}

// work makes calls as one host until the context ends: those that a host or an operator
// would make next, and late ones from what it saw earlier.
func (r *recorder) work(ctx context.Context, s Store, who int, hosts []Host, key ed25519.PrivateKey, pause, wave time.Duration) {
	rng := rand.New(rand.NewPCG(uint64(who), 7))
	seen := map[UUID][]Row{}
	for ctx.Err() == nil {
		vtpm := UUID{1, byte(time.Since(r.begin) / wave), byte(rng.IntN(2))}
		self, other := hosts[who%len(hosts)], hosts[rng.IntN(len(hosts))]
		c := call{name: "look", vtpm: vtpm}
		rows := seen[vtpm]
		switch n := rng.IntN(10); {
		case n < 3 || len(rows) == 0:
			c.name, c.to = "claim", self
		case n < 8:
			last := rows[len(rows)-1]
			if n == 3 {
				last = rows[rng.IntN(len(rows))]
			}
			c.from, c.at, c.to = last.Owner, last.Epoch, other
			c.name = "hand-over"
			if n > 5 {
				c.name, c.restored, c.forged = "fence", last.Epoch.Restored+uint32(rng.IntN(3)), rng.IntN(4) == 0
			} else if other == last.Owner {
				c = call{name: "look", vtpm: vtpm}
			}
		}
		// Not the context of the run: a call that its end cuts off would be unknown.
		one, cancel := context.WithTimeout(context.WithoutCancel(ctx), 700*time.Millisecond)
		a := r.do(one, s, who, c, key)
		cancel()
		if a.row.Owner != (Host{}) {
			seen[vtpm] = append(rows, a.row)
		}
		time.Sleep(time.Duration(rng.Int64N(int64(2*pause) + 1)))
	}
}

// check says what is wrong with a history.
func (r *recorder) check() error { return errors.Join(r.owners(), r.linear()) }

// owners returns an error if two hosts own an epoch.
func (r *recorder) owners() error {
	type key struct {
		vtpm  UUID
		epoch Epoch
	}
	owners := map[key]Host{}
	for _, o := range r.history {
		c, a := o.Input.(call), o.Output.(answer)
		if a.unknown || a.row.Owner == (Host{}) {
			continue
		}
		k := key{c.vtpm, a.row.Epoch}
		if h, ok := owners[k]; ok && h != a.row.Owner {
			return fmt.Errorf("vTPM %v, epoch %v: %v owns it, and %v", c.vtpm, k.epoch, h, a.row.Owner)
		}
		owners[k] = a.row.Owner
	}
	return nil
}

// linear returns an error if no order of the calls explains their answers.
func (r *recorder) linear() error {
	if res := porcupine.CheckOperationsTimeout(model, r.history, 15*time.Second); res != porcupine.Ok {
		return fmt.Errorf("the history of %d calls is not linearizable: %s", len(r.history), res)
	}
	return nil
}

// done counts the calls that succeeded, by name.
func (r *recorder) done() map[string]int {
	n := map[string]int{}
	for _, o := range r.history {
		if a := o.Output.(answer); a.err == nil && !a.unknown {
			n[o.Input.(call).name]++
		}
	}
	return n
}

// latest is the longest time that a call took that was answered.
func (r *recorder) latest() (d time.Duration) {
	for _, o := range r.history {
		if !o.Output.(answer).unknown {
			d = max(d, time.Duration(o.Return-o.Call))
		}
	}
	return d
}

// median is the time of half of the calls that were answered.
func (r *recorder) median() time.Duration {
	var all []int64
	for _, o := range r.history {
		if !o.Output.(answer).unknown {
			all = append(all, o.Return-o.Call)
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return time.Duration(all[len(all)/2])
}
