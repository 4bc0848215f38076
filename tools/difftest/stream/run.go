package stream

import (
	"fmt"
	"math/rand/v2"

	"stubtpm/vtpm/tcg"
)

// Options are the options of a run. Run calls Open for each episode, for a new pair
// of TPMs that are powered on and not started up, and close at its end.
type Options struct {
	Seed     uint64
	Commands int // how many to send
	Episode  int // commands in an episode; 250 if 0
	Open     func() (ours, other TPM, close func(), err error)
	Log      func(format string, args ...any) // logs a line for each command, if set
	NoReboot bool                             // neither reset the TPMs nor compare resetCount
	Stop     int                              // end after this number of divergences; 0 for never
	Wild     bool                             // also send commands on which no two TPMs agree
	V185     bool                             // both TPMs have the keys and commands of version 1.85
}

// Run runs episodes until o.Commands commands were compared.
func Run(o Options) (*Result, error) {
	res := &Result{Codes: map[tcg.TPMCC][2]int{}, RCs: map[tcg.TPMRC]int{}, Known: map[string]int{}}
	ext := externals()
	if o.Episode == 0 {
		o.Episode = 250
	}
	for ep := uint64(0); res.Commands < o.Commands; ep++ {
		if err := episode(&o, res, ext, o.Seed+ep); err != nil {
			return res, fmt.Errorf("episode of seed %d: %w", o.Seed+ep, err)
		}
		if o.Stop > 0 && len(res.Divergences) >= o.Stop {
			break
		}
	}
	return res, nil
}

// A runner runs one episode.
type runner struct {
	*world
	o    *Options
	res  *Result
	tpms pair[TPM]
	seed uint64
	step int
	ext  []external
	lost bool // the sides are no longer in the same state

	restarted bool  // the TPMs were, in this episode
	looked    error // of the last command to a copy of the TPM

	generators []generator
	total      int // of their weights
}

// rebootChance returns the probability of a reboot after a command.
func (x *runner) rebootChance() float64 {
	if x.rebootSoon {
		return 1
	}
	if x.pool != nil {
		return 0.012
	}
	return 0.004
}

func episode(o *Options, res *Result, ext []external, seed uint64) error {
	a, b, done, err := o.Open()
	if err != nil {
		return err
	}
	defer done()
	x := &runner{world: newWorld(rand.New(rand.NewPCG(seed, 0x7f4a7c15))), o: o, res: res, tpms: pair[TPM]{a, b}, seed: seed, ext: ext}
	x.v185 = o.V185
	if o.Wild {
		x.pool, x.keys, x.missing = map[string][][]byte{}, wildKeys(ext), map[tcg.TPMCC]bool{}
		if l, ok := a.(Looker); ok {
			x.look = func(c *command) error {
				x.looked = l.Look(c.encode(ours))
				return x.looked
			}
		}
	}
	if err := x.run(x.startup(tcg.TPMSUClear)); err != nil {
		return err
	}
	if err := x.run(x.attempts()); err != nil {
		return err
	}
	x.recipes = x.newRecipes()
	x.newGenerators()
	for range 3 {
		x.startRecipe(x.n(len(x.recipes)))
	}
	if x.pool != nil { // most episodes should reach PIN indices
		x.startRecipe(x.n(2))
		x.queue = append(x.queue, x.definePIN, x.definePIN)
	}
	limit := res.Commands + o.Episode
	for res.Commands < limit && res.Commands < o.Commands && !x.lost {
		c := x.next()
		if x.looked != nil {
			return x.looked
		}
		if c == nil {
			continue
		}
		if !c.whole && x.chance(0.2) {
			x.spoil(c)
		}
		if err := x.run(c); err != nil {
			return err
		}
		if x.stale {
			if err := x.sync(); err != nil {
				return err
			}
		}
		if !o.NoReboot && x.chance(x.rebootChance()) && !x.lost {
			if err := x.reboot(); err != nil {
				return err
			}
		}
	}
	return nil
}

// next returns the next command, or nil if this turn has no command.
func (x *runner) next() *command {
	if len(x.queue) > 0 {
		f := x.queue[0]
		x.queue = x.queue[1:]
		return f()
	}
	if x.pool != nil && x.chance(0.45) {
		return x.wild()
	}
	n := x.n(x.total)
	for _, g := range x.generators {
		if n -= g.weight; n < 0 {
			return g.f()
		}
	}
	return nil
}

// A generator returns a command, or nil.
type generator struct {
	weight int // relative frequency
	f      func() *command
}

// newGenerators sets the generators from which next chooses.
func (x *runner) newGenerators() {
	x.generators = []generator{
		{5, x.createPrimary}, {7, x.createChild}, {5, x.load}, {5, func() *command { return x.loadExternal(x.ext) }},
		{4, x.flush}, {2, x.flushSession}, {2, x.readPublic}, {2, x.unseal}, {1, x.changeAuth}, {2, x.evict}, {3, x.contextSave}, {2, x.contextLoad},
		{1, x.testParms}, {1, x.makeCredential}, {3, x.sign}, {4, x.attest}, {3, x.symmetric}, {2, x.rsa}, {2, x.ecdh}, {3, x.hmac},
		{2, x.hashStart}, {3, x.sequenceUpdate}, {2, x.sequenceComplete}, {2, x.hash}, {1, x.random}, {4, x.pcr}, {4, x.capability},
		{5, x.session}, {6, x.policy}, {4, x.nvDefine}, {1, x.nvUndefine}, {7, x.nv}, {3, x.manage}, {1, x.unknown},
	}
	if x.v185 {
		x.generators = append(x.generators, []generator{{8, x.signSequence}, {4, x.signDigest}, {6, x.encapsulate}}...)
	}
	for _, g := range x.generators {
		x.total += g.weight
	}
}
