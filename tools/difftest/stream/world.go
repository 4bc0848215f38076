package stream

import (
	"math/rand/v2"

	"stubtpm/vtpm/tcg"
)

// Most that the model keeps alive at once: what a TPM with the least slots
// (3 objects, 3 loaded sessions) can hold.
const (
	maxObjects  = 3
	maxSessions = 3
	maxIndices  = 6
)

// An object is a loaded one.
type object struct {
	entity
	typ        tcg.TPMAlgID
	attrs      uint32
	pub        bytesPair // TPMT_PUBLIC
	known      bool      // both sides have the same key
	noPrivate  bool
	sequence   bool
	hash       tcg.TPMAlgID
	hierarchy  uint32
	policy     int     // recipe of its authPolicy, or -1
	of         *object // its parent, if it is known
	persistent bool
}

func (o *object) parent() bool {
	return o.attrs&(attrRestricted|attrDecryptKey) == attrRestricted|attrDecryptKey && !o.noPrivate
}

// A blob is what TPM2_Create returned.
type blob struct {
	parent       *object
	priv, pub    bytesPair // TPM2B_PRIVATE and TPMT_PUBLIC without their sizes
	auth         []byte
	policy       int
	creationHash bytesPair
	ticket       bytesPair
}

// An index is an NV index.
type index struct {
	entity
	attrs  uint32
	size   int
	hash   tcg.TPMAlgID
	policy int
}

func (x *index) nt() uint32 { return x.attrs >> 4 & 15 }

// A saved is a saved context.
type saved struct {
	blob    bytesPair
	object  *object
	session *session
}

// A ticket is one that both sides gave for the same thing.
type ticket struct {
	body   bytesPair
	digest []byte
	key    *object
}

// A world is the model of what exists on both sides.
type world struct {
	r *rand.Rand

	objects  []*object
	sessions []*session
	indices  []*index
	blobs    []*blob
	contexts []*saved
	checks   []*ticket // TPMT_TK_HASHCHECK
	verified []*ticket

	hierarchies map[uint32]*entity
	pcrs        []*entity
	recipes     []recipe
	forget      bool // what exists has to be found out anew

	queue []func() *command

	wilderness
	policyOf int  // recipe that is the owner's policy, or 0
	soon     bool // a reboot is due
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

// secret is an authorization value.
func (w *world) secret() []byte {
	switch w.n(4) {
	case 0:
		return nil
	case 1:
		return append(w.bytes(4), 0, 0) // trailing zeros do not count
	}
	return w.bytes(1 + w.n(16))
}

func (w *world) hierarchy(list ...tcg.TPMHandle) *entity {
	if len(list) == 0 {
		list = []tcg.TPMHandle{tcg.TPMRHOwner, tcg.TPMRHOwner, tcg.TPMRHEndorsement, tcg.TPMRHPlatform, tcg.TPMRHNull}
	}
	return w.hierarchies[uint32(pick(w, list))]
}

// object returns a random one for which ok holds, or nil.
func (w *world) object(ok func(*object) bool) *object {
	var l []*object
	for _, o := range w.objects {
		if ok(o) {
			l = append(l, o)
		}
	}
	return pick(w, l)
}

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

// any is some entity, of any kind.
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

// authorize adds an authorization for an entity: by password, or by a session.
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

// extraSession sometimes adds a session that authorizes nothing.
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

// after brings the sessions of a command that both sides did up to date.
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
		if s.isPolicy() { // used up
			s.authValue, s.password, s.tainted = false, false, false
		}
	}
}
