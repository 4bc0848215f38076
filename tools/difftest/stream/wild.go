package stream

import (
	"slices"

	"stubtpm/vtpm/tcg"
)

// tame lists the commands that the wild generators leave out because the model must
// follow their effects. They have generators of their own.
var tame = []tcg.TPMCC{
	tcg.TPMCCStartup, tcg.TPMCCShutdown, tcg.TPMCCFlushContext, tcg.TPMCCEvictControl, tcg.TPMCCContextSave, tcg.TPMCCStartAuthSession,
	tcg.TPMCCHierarchyChangeAuth, tcg.TPMCCHierarchyControl, tcg.TPMCCClear, tcg.TPMCCChangeEPS, tcg.TPMCCChangePPS, tcg.TPMCCNVDefineSpace,
	tcg.TPMCCNVUndefineSpace, tcg.TPMCCSignSequenceComplete, tcg.TPMCCVerifySequenceComplete, tcg.TPMCCSequenceComplete, tcg.TPMCCEventSequenceComplete, tcg.TPMCCDictionaryAttackParameters, tcg.TPMCCSelfTest,
}

// rare lists the commands after which few others succeed for some time.
var rare = []tcg.TPMCC{tcg.TPMCCReadOnlyControl, tcg.TPMCCPPCommands, tcg.TPMCCSetAlgorithmSet, tcg.TPMCCPCRAllocate, tcg.TPMCCClearControl}

// wild returns any command, with parameters of the right types.
func (w *world) wild() *command {
	switch w.n(17) {
	case 0:
		return w.wildExternal()
	case 1:
		return w.wildCreate()
	case 2:
		return w.pinTry()
	case 3:
		return w.salted()
	case 4:
		return w.auditStatus()
	case 5:
		return w.certifyX509()
	case 6:
		return w.pcrPolicy()
	case 7:
		return w.rewrap()
	case 8:
		return w.duplicate()
	case 9:
		return w.wrongTry()
	}
	if w.chance(0.01) {
		return w.typed(tcg.CommandByCode(pick(w, rare)))
	}
	return w.typedAny()
}

// typed returns a command made from its row of the specification's tables.
func (w *world) typed(spec *tcg.CommandSpec) *command {
	switch spec.Code {
	case tcg.TPMCCObjectChangeAuth:
		return w.changeAuth()
	case tcg.TPMCCDuplicate, tcg.TPMCCImport:
		return w.duplicate()
	}
	c := &command{code: spec.Code, handleInResponse: spec.ResponseHandle != nil, loose: true}
	for i := range spec.Handles {
		e := w.handleOf(spec, &spec.Handles[i])
		if e == nil {
			return nil
		}
		c.handles = append(c.handles, e)
	}
	for i := range spec.AuthCount() {
		w.authorizeEntity(c, c.handles[i])
	}
	secret := w.secret()
	for _, p := range spec.Params {
		v := w.value(p.Type, p.Name, c, secret)
		c.params = append(c.params, lit(v))
	}
	if !spec.Has(tcg.AttrNoSessions) {
		w.extraSession(c)
	}
	c.done = func(r *pair[response]) { w.remember(c, spec, r, secret) }
	return c
}

// authorizeEntity authorizes the use of an entity, by its policy if that is in the
// model.
func (w *world) authorizeEntity(c *command, e *entity) {
	for _, o := range w.objects {
		if &o.entity == e {
			w.authorizeObject(c, o)
			return
		}
	}
	w.authorize(c, e)
}

// remember keeps the values of a response for later commands, and the object that the
// command created.
func (w *world) remember(c *command, spec *tcg.CommandSpec, r *pair[response], secret []byte) {
	f := split(c.code, r[0].params)
	if f == nil {
		return
	}
	for i, v := range f {
		w.keepValue(spec.Response[i].Type, v)
	}
	switch c.code {
	case tcg.TPMCCCreateLoaded:
		if len(f[1]) > 2 {
			o := &object{hierarchy: c.handles[0].handle[0], policy: -1, pub: same(f[1][2:])}
			o.auth, o.name = secret, same(f[2][2:])
			o.typ, o.attrs = publicOf(o.pub[0])
			w.keep(o, r)
		}
	case tcg.TPMCCLoadExternal, tcg.TPMCCLoad:
		w.flushNext(r[0].handle)
	case tcg.TPMCCCreatePrimary, tcg.TPMCCContextLoad, tcg.TPMCCHMACStart, tcg.TPMCCHashSequenceStart,
		tcg.TPMCCSignSequenceStart, tcg.TPMCCVerifySequenceStart:
		if r[0].handle>>24 == 0x80 {
			w.flushNext(r[0].handle)
		}
	case tcg.TPMCCNVDefineSpace2:
		w.stale = true
	case tcg.TPMCCPCRSetAuthValue, tcg.TPMCCNVChangeAuth:
		c.handles[0].auth = secret
	case tcg.TPMCCReadOnlyControl, tcg.TPMCCPPCommands:
		w.queue = append(w.queue, w.typedAny, w.typedAny, func() *command {
			h := w.hierarchies[uint32(tcg.TPMRHPlatform)]
			off := &command{code: tcg.TPMCCReadOnlyControl, handles: []*entity{h}, params: []bytesPair{lit([]byte{0})}, loose: true, whole: true}
			w.authorize(off, h)
			return off
		})
	}
}

// typedAny returns a random command made from its row of the tables.
func (w *world) typedAny() *command {
	for range 20 {
		if spec := tcg.CommandByCode(tcg.TPMCC(0x11F + w.n(0x1AB-0x11F))); spec != nil && !w.missing[spec.Code] && !slices.Contains(tame, spec.Code) && !slices.Contains(rare, spec.Code) {
			return w.typed(spec)
		}
	}
	return nil
}

func (w *world) flushNext(h uint32) {
	w.queue = append(w.queue, func() *command { return w.flushEntity(fixedEntity(h), func() {}) })
}

func (w *world) keepValue(typ string, v []byte) {
	if len(v) == 0 || w.pool == nil {
		return
	}
	l := append(w.pool[typ], v)
	if len(l) > 8 {
		l = l[1:]
	}
	w.pool[typ] = l
}

// handleOf returns an entity for a handle, mostly one of the right type.
func (w *world) handleOf(spec *tcg.CommandSpec, h *tcg.HandleSpec) *entity {
	if w.chance(0.03) {
		return w.any()
	}
	if h.Plus && w.chance(0.15) {
		return w.hierarchies[uint32(tcg.TPMRHNull)]
	}
	switch h.Type {
	case tcg.TPMIDHObject, tcg.TPMIDHParent, tcg.TPMIDHContext:
		return w.objectFor(spec, h)
	case tcg.TPMISHPolicy, tcg.TPMISHHMAC:
		for _, s := range w.sessions {
			if s.isPolicy() == (h.Type == tcg.TPMISHPolicy) && w.chance(0.6) {
				return &s.entity
			}
		}
		return nil
	case tcg.TPMIRHNVIndex, tcg.TPMIRHNVDefinedIndex, tcg.TPMIRHNVLegacyIndex, tcg.TPMIRHNVExpIndex:
		if x := pick(w, w.indices); x != nil {
			return &x.entity
		}
		return nil
	case tcg.TPMIRHNVAuth:
		if x := pick(w, w.indices); x != nil {
			return w.nvAuth(x)
		}
		return nil
	case tcg.TPMIRHPlatform:
		return w.hierarchies[uint32(tcg.TPMRHPlatform)]
	case tcg.TPMIRHLockout:
		return w.hierarchies[uint32(tcg.TPMRHLockout)]
	case tcg.TPMIRHEndorsement:
		return w.hierarchies[uint32(tcg.TPMRHEndorsement)]
	case tcg.TPMIRHProvision, tcg.TPMIRHOwner:
		return w.hierarchy(tcg.TPMRHOwner, tcg.TPMRHPlatform)
	case tcg.TPMIRHClear:
		return w.hierarchy(tcg.TPMRHLockout, tcg.TPMRHPlatform)
	case tcg.TPMIDHPCR:
		return pick(w, w.pcrs)
	case tcg.TPMIRHACT:
		return fixedEntity(uint32(tcg.TPMRHACT0) + uint32(w.n(3)))
	case tcg.TPMIRHAC:
		return fixedEntity(0x90000000)
	}
	return w.hierarchy()
}

// objectFor returns an object for a handle, selected by the handle's name in the
// tables.
func (w *world) objectFor(spec *tcg.CommandSpec, h *tcg.HandleSpec) *entity {
	ok := func(o *object) bool { return !o.sequence }
	if spec.Code == tcg.TPMCCCreateLoaded && w.chance(0.3) {
		return w.hierarchy()
	}
	switch h.Name {
	case "parentHandle", "newParent", "newParentHandle", "oldParent":
		ok = func(o *object) bool { return o.attrs&(attrRestricted|attrDecryptKey) == attrRestricted|attrDecryptKey }
	case "signHandle", "sign", "authObject":
		ok = isSigner
	case "keyHandle", "keyA", "tpmKey":
		ok = func(o *object) bool { return o.attrs&(attrDecryptKey|attrSignKey) != 0 && !o.sequence }
	}
	switch spec.Code {
	case tcg.TPMCCECCEncrypt, tcg.TPMCCECCDecrypt, tcg.TPMCCZGen2Phase, tcg.TPMCCECDHZGen, tcg.TPMCCECDHKeyGen:
		ok = func(o *object) bool {
			return o.typ == tcg.TPMAlgECC && o.attrs&(attrDecryptKey|attrRestricted) == attrDecryptKey
		}
	case tcg.TPMCCCommit:
		ok = func(o *object) bool { return o.typ == tcg.TPMAlgECC && isSigner(o) }
	case tcg.TPMCCRSADecrypt, tcg.TPMCCRSAEncrypt:
		ok = func(o *object) bool { return o.typ == tcg.TPMAlgRSA }
	}
	if w.chance(0.1) {
		ok = func(*object) bool { return true }
	}
	if o := w.object(ok); o != nil {
		return &o.entity
	}
	if h.Plus {
		return w.hierarchies[uint32(tcg.TPMRHNull)]
	}
	return nil
}
