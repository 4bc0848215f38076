package stream

import (
	"math/rand/v2"

	"stubtpm/vtpm/tcg"
)

// The largest numbers of entities that the model keeps: what a TPM with the fewest
// slots that are allowed (3 objects, 3 loaded sessions) can hold.
const (
	maxObjects  = 3
	maxSessions = 3
	maxIndices  = 6
)

// A world is the model of the state that both sides must have.
type world struct {
	r *rand.Rand

	objects    []*object
	sessions   []*session
	indices    []*index
	blobs      []*blob
	contexts   []*savedContext
	hashChecks []*ticket // TPMT_TK_HASHCHECK
	verified   []*ticket // TPMT_TK_VERIFIED

	hierarchies map[uint32]*entity
	pcrs        []*entity
	recipes     []recipe
	clock       uint64 // that Clock was set to last
	stale       bool   // the model must be synchronized with the TPMs

	queue []func() *command // commands that come before the next random one

	wilderness
	v185       bool // both sides have the keys and commands of version 1.85
	policyOf   int  // recipe that is the owner's policy, or 0
	rebootSoon bool // the next step is a reboot
}

func newWorld(r *rand.Rand) *world {
	w := &world{r: r, hierarchies: map[uint32]*entity{}}
	for _, h := range []tcg.TPMHandle{tcg.TPMRHOwner, tcg.TPMRHNull, tcg.TPMRHEndorsement, tcg.TPMRHPlatform, tcg.TPMRHLockout} {
		w.hierarchies[uint32(h)] = fixedEntity(uint32(h))
	}
	w.hierarchies[uint32(tcg.TPMRHLockout)].da = true
	for i := range uint32(24) {
		w.pcrs = append(w.pcrs, fixedEntity(i))
	}
	return w
}

func (w *world) n(n int) int           { return w.r.IntN(n) }
func (w *world) chance(p float64) bool { return w.r.Float64() < p }

func pick[T any](w *world, s []T) (v T) {
	if len(s) > 0 {
		v = s[w.n(len(s))]
	}
	return v
}

func (w *world) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(w.r.Uint32())
	}
	return b
}

// secret returns a random authorization value.
func (w *world) secret() []byte {
	switch w.n(4) {
	case 0:
		return nil
	case 1:
		return append(w.bytes(4), 0, 0) // trailing zeros do not count
	}
	return w.bytes(1 + w.n(16))
}

// hierarchy returns a random one of the hierarchies listed, by default any but the
// lockout hierarchy.
func (w *world) hierarchy(list ...tcg.TPMHandle) *entity {
	if len(list) == 0 {
		list = []tcg.TPMHandle{tcg.TPMRHOwner, tcg.TPMRHOwner, tcg.TPMRHEndorsement, tcg.TPMRHPlatform, tcg.TPMRHNull}
	}
	return w.hierarchies[uint32(pick(w, list))]
}

// object returns a random object for which ok returns true, or nil.
func (w *world) object(ok func(*object) bool) *object {
	var l []*object
	for _, o := range w.objects {
		if ok(o) {
			l = append(l, o)
		}
	}
	return pick(w, l)
}

// transient returns the number of transient objects.
func (w *world) transient() int {
	n := 0
	for _, o := range w.objects {
		if !o.persistent {
			n++
		}
	}
	return n
}

func without[T comparable](s []T, v T) []T {
	var out []T
	for _, x := range s {
		if x != v {
			out = append(out, x)
		}
	}
	return out
}

// any returns a random entity of any kind.
func (w *world) any() *entity {
	switch w.n(7) {
	case 0:
		return pick(w, w.pcrs)
	case 1:
		if s := pick(w, w.sessions); s != nil {
			return &s.entity
		}
	case 2:
		if x := pick(w, w.indices); x != nil {
			return &x.entity
		}
	case 3:
		if o := pick(w, w.objects); o != nil {
			return &o.entity
		}
	case 4:
		return fixedEntity(pick(w, []uint32{0x80000007, 0x80FFFFFF, 0x81000000, 0x81800000, 0x01FFFFFF, 0x01400000, 0x02000033, 0x03000033, 24, 0x40000008, 0x40000009, 0x4000000F, 0x90000000, 0xFFFFFFFF}))
	}
	return w.hierarchy(tcg.TPMRHOwner, tcg.TPMRHEndorsement, tcg.TPMRHPlatform, tcg.TPMRHNull, tcg.TPMRHLockout)
}

// authorize adds an authorization for an entity, with a password or a session.
func (w *world) authorize(c *command, e *entity) {
	if w.chance(0.45) {
		var l []*session
		for _, s := range w.sessions {
			if !s.isPolicy() {
				l = append(l, s)
			}
		}
		if s := pick(w, l); s != nil && !usesSession(c, s) {
			s.nonce = w.bytes(16)
			c.auths = append(c.auths, &auth{session: s, attrs: w.attributes(c, s), entity: e})
			return
		}
	}
	c.auths = append(c.auths, &auth{handle: uint32(tcg.TPMRSPW), password: e.auth, entity: e})
}

func usesSession(c *command, s *session) bool {
	for _, a := range c.auths {
		if a.session == s {
			return true
		}
	}
	return false
}

// attributes returns random attributes for a session of a command.
func (w *world) attributes(c *command, s *session) byte {
	a := byte(attrContinue)
	if w.chance(0.05) {
		a = 0
	}
	spec := tcg.CommandByCode(c.code)
	if len(s.sym) > 2 && spec != nil {
		used := func(want byte) bool {
			for _, x := range c.auths {
				if x.attrs&want != 0 {
					return true
				}
			}
			return false
		}
		if spec.DecryptSize() > 0 && w.chance(0.4) && !used(attrDecrypt) {
			a |= attrDecrypt
		}
		if spec.EncryptSize() > 0 && w.chance(0.4) && !used(attrEncrypt) {
			a |= attrEncrypt
		}
	}
	if w.chance(0.05) {
		a |= attrAudit
	}
	return a
}

// extraSession adds, to some commands, a session that does not authorize.
func (w *world) extraSession(c *command) {
	if !w.chance(0.08) || len(c.auths) > 2 {
		return
	}
	s := pick(w, w.sessions)
	if s == nil || s.isPolicy() || usesSession(c, s) {
		return
	}
	s.nonce = w.bytes(16)
	a := w.attributes(c, s)
	if a&(attrDecrypt|attrEncrypt|attrAudit) == 0 {
		a |= attrAudit
	}
	c.auths = append(c.auths, &auth{session: s, attrs: a})
}

// after updates the sessions of a command that succeeded on both sides.
func (w *world) after(c *command) {
	for _, a := range c.auths {
		s := a.session
		if s == nil {
			continue
		}
		if a.attrs&attrContinue == 0 {
			w.sessions = without(w.sessions, s)
		}
		if a.attrs&attrAudit != 0 {
			s.bound = nil // Part 1, 17.1
		}
		if s.isPolicy() { // the command restarts the policy
			s.authValue, s.password, s.tainted = false, false, false
		}
	}
}
