package stream

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"stubtpm/vtpm/tcg"
)

// Options are of a run. Open makes a new pair of TPMs, powered on but not
// started up; it is called for each episode, and close ends it.
type Options struct {
	Seed     uint64
	Commands int
	Episode  int // commands in an episode; 250 if 0
	Open     func() (ours, other TPM, close func(), err error)
	Log      func(format string, args ...any) // a line for each command, if set
	NoReboot bool                             // leave out what resets the TPMs, and how often they were
	Stop     int                              // end after so many divergences; 0: never
	Wild     bool                             // send what no two TPMs agree on too
}

// A Divergence is a difference that no entry of Differences explains.
type Divergence struct {
	Seed   uint64 // of its episode
	Step   int
	What   string
	Sent   pair[[]byte]
	Got    pair[[]byte]
	Detail string
}

func (d *Divergence) String() string {
	return fmt.Sprintf("seed %d step %d: %s\n  ours  > %x\n        < %x\n  other > %x\n        < %x", d.Seed, d.Step, d.What, d.Sent[0], d.Got[0], d.Sent[1], d.Got[1])
}

// A Result is what a run found.
type Result struct {
	Commands    int
	Succeeded   int
	Codes       map[tcg.TPMCC][2]int // sent, and with success
	RCs         map[tcg.TPMRC]int
	Known       map[string]int // by Difference.Name
	Divergences []*Divergence
}

// Merge adds the counts of b to a, which may be nil.
func Merge(a, b *Result) *Result {
	if a == nil {
		return b
	}
	a.Commands += b.Commands
	a.Succeeded += b.Succeeded
	a.Divergences = append(a.Divergences, b.Divergences...)
	for k, v := range b.Codes {
		n := a.Codes[k]
		a.Codes[k] = [2]int{n[0] + v[0], n[1] + v[1]}
	}
	for k, v := range b.RCs {
		a.RCs[k] += v
	}
	for k, v := range b.Known {
		a.Known[k] += v
	}
	return a
}

// String is a report of some lines.
func (r *Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d commands (%d codes, %d response codes), %d succeeded on both sides, %d divergences\n", r.Commands, len(r.Codes), len(r.RCs), r.Succeeded, len(r.Divergences))
	var names []string
	for n := range r.Known {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		fmt.Fprintf(&b, "  known: %-40s %d\n", n, r.Known[n])
	}
	groups := map[string][]*Divergence{}
	var keys []string
	for _, d := range r.Divergences {
		if groups[d.Detail] == nil {
			keys = append(keys, d.Detail)
		}
		groups[d.Detail] = append(groups[d.Detail], d)
	}
	for _, k := range keys {
		fmt.Fprintf(&b, "%d times: %s\n  first: %s\n", len(groups[k]), k, groups[k][0])
	}
	return b.String()
}

// Run runs episodes until so many commands are compared.
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

// A runner is one episode.
type runner struct {
	*world
	o    *Options
	res  *Result
	tpms pair[TPM]
	seed uint64
	step int
	ext  []external
	lost bool // the sides are no longer in the same state

	restarted bool
	looked    error

	generators []generator
	total      int // of their weights
}

// reboots is how often there is a reboot.
func (x *runner) reboots() float64 {
	if x.soon {
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
	if x.pool != nil { // most episodes should come to PIN indices
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
		if x.forget {
			if err := x.sync(); err != nil {
				return err
			}
		}
		if !o.NoReboot && x.chance(x.reboots()) && !x.lost {
			if err := x.reboot(); err != nil {
				return err
			}
		}
	}
	return nil
}

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

// A generator makes a command, or none.
type generator struct {
	weight int
	f      func() *command
}

// newGenerators sets what next chooses from.
func (x *runner) newGenerators() {
	x.generators = []generator{
		{5, x.createPrimary}, {7, x.createChild}, {5, x.load}, {5, func() *command { return x.loadExternal(x.ext) }},
		{4, x.flush}, {2, x.flushSession}, {2, x.readPublic}, {2, x.unseal}, {1, x.changeAuth}, {2, x.evict}, {3, x.contextSave}, {2, x.contextLoad},
		{1, x.testParms}, {1, x.makeCredential}, {3, x.sign}, {4, x.attest}, {3, x.symmetric}, {2, x.rsa}, {2, x.ecdh}, {3, x.hmac},
		{2, x.hashStart}, {3, x.sequenceUpdate}, {2, x.sequenceComplete}, {2, x.hash}, {1, x.random}, {4, x.pcr}, {4, x.capability},
		{5, x.session}, {6, x.policy}, {4, x.nvDefine}, {1, x.nvUndefine}, {7, x.nv}, {3, x.manage}, {1, x.unknown},
	}
	for _, g := range x.generators {
		x.total += g.weight
	}
}

// send runs a command on one side. TPM_RC_RETRY is an answer that a TPM may
// give at any time (Part 2, Table 17), so it is asked again.
func (x *runner) send(s int, cmd []byte) ([]byte, error) {
	for i := 0; ; i++ {
		raw, err := x.tpms[s].Execute(cmd)
		if err != nil || i > 3 || len(raw) != 10 || raw[8] != 0x09 || raw[9] != 0x22 {
			return raw, err
		}
		x.res.Known["TPM_RC_RETRY at the first use of dictionary attack protection"]++
	}
}

func (x *runner) run(c *command) error {
	x.step++
	c.restarted, c.counted = x.restarted, !x.o.NoReboot
	var r pair[response]
	var sent pair[[]byte]
	var wrong string
	for s := range r {
		sent[s] = c.encode(s)
		raw, err := x.send(s, sent[s])
		if err != nil {
			return fmt.Errorf("step %d, %s, side %d, command %x: %w", x.step, c, s, sent[s], err)
		}
		if r[s], err = c.decode(raw); err != nil {
			wrong = fmt.Sprintf("side %d: %v", s, err)
		} else if r[s].rc == 0 {
			if err := c.checkAuths(s, &r[s]); err != nil && c.spoiled == "" {
				wrong = fmt.Sprintf("side %d: %v", s, err)
			}
		}
	}
	x.res.Commands++
	if r[ours].rc == tcg.TPMRCCommandCode && x.missing != nil {
		x.missing[c.code] = true
	}
	n := x.res.Codes[c.code]
	n[0]++
	x.res.RCs[r[other].rc]++
	good := r[0].rc == 0 && r[1].rc == 0
	if good {
		x.res.Succeeded++
		n[1]++
	}
	x.res.Codes[c.code] = n
	if x.o.Log != nil {
		x.o.Log("%d.%d %s: 0x%03X 0x%03X", x.seed, x.step, c, uint32(r[0].rc), uint32(r[1].rc))
		if c.spoiled == "" && !good {
			x.o.Log("   %x", sent[0])
		}
	}
	if wrong == "" {
		wrong = c.compare(&r)
	}
	if wrong != "" {
		x.judge(c, &r, sent, wrong)
	}
	if (r[0].rc == 0) != (r[1].rc == 0) {
		x.lost = true
		return nil
	}
	if good && c.spoiled != "" && c.code == tcg.TPMCCFlushContext {
		x.lost = true // something else went than the model thinks
		return nil
	}
	if good {
		x.after(c)
		if c.done != nil {
			c.done(&r)
		}
	}
	return nil
}

func (x *runner) judge(c *command, r *pair[response], sent pair[[]byte], wrong string) {
	for _, d := range Differences {
		if d.match(c, r) {
			x.res.Known[d.Name]++
			return
		}
	}
	detail := wrong
	if r[0].rc == r[1].rc && len(detail) > 60 {
		detail = detail[:60]
	}
	x.res.Divergences = append(x.res.Divergences, &Divergence{Seed: x.seed, Step: x.step, What: c.String() + ": " + wrong,
		Sent: sent, Got: pair[[]byte]{r[0].raw, r[1].raw}, Detail: c.code.String() + ": " + detail})
}

// sync asks for everything that the model knows, and forgets what is gone.
func (x *runner) sync() error {
	x.forget = false
	x.soon = false
	kept := x.keptContexts()
	x.queue, x.contexts, x.checks, x.verified, x.blobs = nil, kept, nil, nil, nil
	for _, c := range kept {
		x.queue = append(x.queue, func() *command { return x.contextLoadOf(c) })
	}
	if len(kept) > 0 {
		x.queue = append(x.queue, x.pcrPolicy)
	}
	gone := func(c *command) (bool, error) {
		ok := false
		done := c.done
		c.done = func(r *pair[response]) {
			ok = true
			if done != nil {
				done(r)
			}
		}
		err := x.run(c)
		return !ok, err
	}
	for _, o := range x.objects {
		c := &command{code: tcg.TPMCCReadPublic, handles: []*entity{&o.entity}, exact: o.known}
		if o.sequence {
			c = x.flushEntity(&o.entity, func() {})
		}
		g, err := gone(c)
		if err != nil {
			return err
		}
		if g || o.sequence {
			x.objects = without(x.objects, o)
		}
	}
	for _, i := range x.indices {
		g, err := gone(x.nvReadPublic(i))
		if err != nil {
			return err
		}
		if g {
			x.indices = without(x.indices, i)
		}
	}
	for _, s := range x.sessions {
		if _, err := gone(x.flushEntity(&s.entity, func() {})); err != nil {
			return err
		}
	}
	x.sessions = nil
	// Clear empties the authorizations of owner, endorsement and lockout; to
	// find out costs tries, so they are probed with the empty one first.
	for _, h := range []tcg.TPMHandle{tcg.TPMRHOwner, tcg.TPMRHEndorsement, tcg.TPMRHLockout, tcg.TPMRHPlatform} {
		e := x.hierarchies[uint32(h)]
		if len(e.auth) == 0 {
			continue
		}
		c := &command{code: tcg.TPMCCSetPrimaryPolicy, handles: []*entity{e}, params: []bytesPair{lit(b2()), lit(alg(tcg.TPMAlgNull))}}
		c.auths = []*auth{{handle: uint32(tcg.TPMRSPW), entity: e}}
		g, err := gone(c)
		if err != nil {
			return err
		}
		if !g {
			e.auth = nil
		}
	}
	return x.run(x.attempts())
}

// attempts allows so many tries that lockout is met but does not end everything. What
// TPM2_Clear sets instead is each TPM's choice.
func (x *runner) attempts() *command {
	h := x.hierarchy(tcg.TPMRHLockout)
	c := &command{code: tcg.TPMCCDictionaryAttackParameters, handles: []*entity{h}, params: []bytesPair{lit(u32(60), u32(10000), u32(10000))}}
	c.auths = []*auth{{handle: uint32(tcg.TPMRSPW), password: h.auth, entity: h}}
	return c
}

// reboot is a shutdown or none, _TPM_Init and a startup.
func (x *runner) reboot() error {
	kind := pick(x.world, []tcg.TPMSU{tcg.TPMSUClear, tcg.TPMSUState})
	if err := x.saveSessions(); err != nil {
		return err
	}
	if x.chance(0.8) {
		if err := x.run(&command{code: tcg.TPMCCShutdown, exact: true, params: []bytesPair{lit(u16(int(kind)))}}); err != nil {
			return err
		}
	}
	if err := x.afterShutdown(); err != nil {
		return err
	}
	x.restarted = true
	for _, t := range x.tpms {
		if err := t.Reset(); err != nil {
			return err
		}
	}
	if x.chance(0.3) || x.pool != nil && x.chance(0.7) {
		kind = pick(x.world, []tcg.TPMSU{tcg.TPMSUClear, tcg.TPMSUState})
	}
	ok := false
	c := x.startup(kind)
	c.done = func(*pair[response]) { ok = true }
	if err := x.run(c); err != nil {
		return err
	}
	if !ok && !x.lost {
		if err := x.run(x.startup(tcg.TPMSUClear)); err != nil {
			return err
		}
	}
	if err := x.lookAtPINs(); err != nil {
		return err
	}
	return x.sync()
}
