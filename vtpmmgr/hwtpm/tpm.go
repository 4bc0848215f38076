package hwtpm

import (
	"bytes"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// Options may be left empty.
type Options struct {
	// OwnerAuth is the authorization of the owner hierarchy.
	OwnerAuth []byte

	// PCR links the commits of the ledger: 8 to 15, or zero for DefaultPCR.
	PCR uint

	Log func(format string, args ...any)
}

// A TPM is a hardware TPM. Its methods may be called by several goroutines:
// what commits wait for comes first, else they get it in the order in which they came.
type TPM struct {
	bus   transport.TPM
	owner []byte
	log   func(format string, args ...any)

	mu        gate
	secret    *secret      // nil until Unlock or Create
	srkName   []byte       // pinned by Unlock or Create
	open      []func()     // ends what is loaded now, last first
	random    tpm2.Session // opened and ended by itself: it makes room for others
	endRandom func()
	auth      *authorized
	chain     *chained // opened and ended by itself, too
	pcr       uint

	byOther atomic.Bool // the record was not opened by its first seal, and Reseal has not changed that

	health atomic.Pointer[use]
}

// A use is what is known of the TPM's last use.
type use struct {
	what  string
	since time.Time // when it began, if it is under way
	err   error     // why the last one failed
}

// slow is how long a use may be under way before Health reports it.
const slow = 5 * time.Second

// Open starts the TPM up, if firmware has not done it.
func Open(bus transport.TPM, o Options) (*TPM, error) {
	if o.PCR == 0 {
		o.PCR = DefaultPCR
	}
	if err := CheckPCR(o.PCR); err != nil {
		return nil, err
	}
	t := &TPM{bus: bus, owner: bytes.Clone(o.OwnerAuth), pcr: o.PCR, log: o.Log}
	if t.log == nil {
		t.log = func(string, ...any) {}
	}
	if err := t.startup(); err != nil {
		return nil, err
	}
	t.flushAll()
	return t, nil
}

// flushAll frees what somebody before left in the TPM: a manager that ended
// without a word, or a command whose answer was lost. A TPM has room for
// few, and nobody else uses it. An attacker on the bus can stop this, as anything.
func (t *TPM) flushAll() {
	for _, first := range []tpm2.TPMHandle{loadedSessions, savedSessions, transients} {
		r, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: uint32(first), PropertyCount: 64}.Execute(t.bus)
		if err != nil {
			continue
		}
		if list, err := r.CapabilityData.Data.Handles(); err == nil {
			for _, h := range list.Handle {
				t.flush(h)
			}
		}
	}
}

// First handles of what can be flushed (Part 2, section 7.2, TPM_HT).
const (
	loadedSessions tpm2.TPMHandle = 0x02000000
	savedSessions  tpm2.TPMHandle = 0x03000000
	transients     tpm2.TPMHandle = 0x80000000
)

func (t *TPM) startup() error {
	_, err := tpm2.Startup{StartupType: tpm2.TPMSUClear}.Execute(t.bus)
	if err != nil && !errors.Is(err, tpm2.TPMRCInitialize) {
		return fmt.Errorf("hwtpm: TPM2_Startup: %w", err)
	}
	return nil
}

// Health returns nil, or what went wrong in the last use, or that the TPM has
// not answered for a while. It does not wait for the TPM.
func (t *TPM) Health() error {
	u := t.health.Load()
	switch {
	case u == nil:
		return nil
	case u.err == nil && !u.since.IsZero() && time.Since(u.since) > slow:
		return fmt.Errorf("hwtpm: %s: no answer since %v", u.what, time.Since(u.since).Round(time.Second))
	}
	return u.err
}

// do runs f. If it fails, all that was loaded is taken for gone, and f runs
// once more: the TPM may have been reset. So f must be harmless to repeat.
func (t *TPM) do(what string, f func() error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.twice(what, f)
}

// begin notes that a use is under way, and keeps what went wrong before.
func (t *TPM) begin(what string) {
	u := &use{what: what, since: time.Now()}
	if last := t.health.Load(); last != nil {
		u.err = last.err
	}
	t.health.Store(u)
}

func (t *TPM) twice(what string, f func() error) error {
	t.begin(what)
	err := f()
	if err != nil && !final(err) {
		t.drop()
		if e := t.startup(); e == nil {
			t.flushAll()
			if err = f(); err == nil {
				t.log("hwtpm: %s: at the second try", what)
			}
		}
	}
	return t.note(what, err)
}

// note remembers how a use ended.
func (t *TPM) note(what string, err error) error {
	if err == nil {
		t.health.Store(nil)
		return nil
	}
	t.drop()
	last := t.health.Load()
	err = fmt.Errorf("hwtpm: %s: %w", what, err)
	switch {
	case !final(err):
		last = &use{what: what, err: err}
	case last != nil:
		last = &use{what: what, err: last.err}
	}
	t.health.Store(last)
	return err
}

// final says that an error is of the TPM's contents: no reset repairs it.
func final(err error) bool {
	for _, e := range []error{ErrOtherTPM, ErrCleared, ErrOwner, ErrOwnerNone, ErrOwnerZero, ErrPCR, ErrIndexGone, ErrIndexOther, ErrMoved, ErrRecord, ErrApproval, ErrNoRoom} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// drop flushes what is loaded.
func (t *TPM) drop() {
	t.closeRandom()
	t.closeChain()
	t.dropAuth()
}

// dropAuth ends what is loaded to write the indices.
func (t *TPM) dropAuth() {
	for i := len(t.open) - 1; i >= 0; i-- {
		t.open[i]()
	}
	t.open, t.auth = nil, nil
}

func (t *TPM) flush(h tpm2.TPMHandle) {
	tpm2.FlushContext{FlushHandle: h}.Execute(t.bus)
}

// ownerAuth authorizes by the owner's password without showing it.
func (t *TPM) ownerAuth() tpm2.AuthHandle {
	h := tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)}
	if len(t.owner) > 0 {
		h.Auth = tpm2.HMAC(tpm2.TPMAlgSHA256, 16, tpm2.Auth(t.owner))
	}
	return h
}

// ownerError returns why the hardware TPM refuses the owner's authorization.
func (t *TPM) ownerError() error {
	if len(t.owner) == 0 {
		return ErrOwner
	}
	const ownerAuthSet = 1 // TPMA_PERMANENT (TPM 2.0 Part 2, 8.6), bit 0
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: uint32(tpm2.TPMPTPermanent), PropertyCount: 1}.Execute(t.bus)
	if err == nil {
		p, err := r.CapabilityData.Data.TPMProperties()
		if err == nil && len(p.TPMProperty) == 1 && p.TPMProperty[0].Value&ownerAuthSet == 0 {
			return ErrOwnerNone
		}
	}
	// go-tpm cuts an authorization value at its first zero byte; a TPM drops those at its
	// end only (Part 1, 19.6.4.3).
	if bytes.IndexByte(bytes.TrimRight(t.owner, "\x00"), 0) >= 0 {
		return ErrOwnerZero
	}
	return ErrOwner
}

// A storage key is the parent of all that is sealed, and the key that sessions
// are salted to. It is made again at each use and is always the same.
type storage struct {
	handle tpm2.TPMHandle
	name   tpm2.TPM2BName
	public tpm2.TPMTPublic
}

func (s *storage) named() tpm2.NamedHandle {
	return tpm2.NamedHandle{Handle: s.handle, Name: s.name}
}

// storageKey makes the storage key. If a name is pinned, it has to be that one.
func (t *TPM) storageKey() (*storage, error) {
	r, err := tpm2.CreatePrimary{PrimaryHandle: t.ownerAuth(), InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(t.bus)
	if errors.Is(err, tpm2.TPMRCBadAuth) || errors.Is(err, tpm2.TPMRCAuthFail) {
		err = t.ownerError()
	}
	if err != nil {
		return nil, fmt.Errorf("storage key: %w", err)
	}
	s := &storage{handle: r.ObjectHandle}
	// Secrets are encrypted to the public area, and it is the name that is
	// pinned: so the name is computed here, whatever the bus says.
	public, err := r.OutPublic.Contents()
	if err == nil {
		s.public = *public
		var name *tpm2.TPM2BName
		if name, err = tpm2.ObjectName(public); err == nil {
			s.name = *name
		}
	}
	if err == nil && t.srkName != nil && !bytes.Equal(s.name.Buffer, t.srkName) {
		err = ErrOtherTPM
	}
	if err != nil {
		t.flush(s.handle)
		return nil, fmt.Errorf("storage key: %w", err)
	}
	return s, nil
}

// endorsementName returns the name of the endorsement key: it outlives
// TPM2_Clear, the storage key does not.
func (t *TPM) endorsementName() ([]byte, error) {
	r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(tpm2.ECCEKTemplate)}.Execute(t.bus)
	if err != nil {
		return nil, fmt.Errorf("endorsement key: %w", err)
	}
	t.flush(r.ObjectHandle)
	return r.Name.Buffer, nil
}

// salted returns the option that makes a session's key known only to the
// storage key's TPM and to us.
func (s *storage) salted() tpm2.AuthOption { return tpm2.Salted(s.handle, s.public) }

// Random returns n random bytes.
func (t *TPM) Random(n int) ([]byte, error) {
	b, _, err := t.RandomTimed(n)
	return b, err
}

// RandomTimed returns n random bytes, and for how long the TPM was used. It lets
// others in between its commands, and the ledger before itself.
func (t *TPM) RandomTimed(n int) (b []byte, took time.Duration, err error) {
	for len(b) < n {
		more, d, err := t.someRandom(min(n-len(b), 32))
		if took += d; err != nil {
			return nil, took, err
		}
		b = append(b, more...)
	}
	return b[:n], took, nil
}

// someRandom returns at least one random byte, by one command.
func (t *TPM) someRandom(n int) (b []byte, took time.Duration, err error) {
	t.mu.lockLater()
	defer t.mu.Unlock()
	start := time.Now()
	err = t.twice("random bytes", func() error {
		if t.random == nil {
			if err := t.openRandom(); err != nil {
				return err
			}
		}
		r, err := tpm2.GetRandom{BytesRequested: uint16(n)}.Execute(t.bus, t.random)
		if err != nil {
			return err
		}
		if b = r.RandomBytes.Buffer; len(b) == 0 {
			return errors.New("the TPM gives none")
		}
		return nil
	})
	return b, time.Since(start), err
}

// openRandom opens a session that encrypts each answer.
func (t *TPM) openRandom() error {
	srk, err := t.storageKey()
	if err != nil {
		return err
	}
	defer t.flush(srk.handle)
	if t.chain != nil && t.auth != nil {
		t.dropAuth()
	}
	s, end, err := tpm2.HMACSession(t.bus, tpm2.TPMAlgSHA256, 16, srk.salted(), tpm2.AESEncryption(128, tpm2.EncryptOut))
	if err != nil {
		return err
	}
	t.random, t.endRandom = s, func() { end() }
	return nil
}

// closeRandom makes room for another session: a TPM has room for three.
func (t *TPM) closeRandom() {
	if t.random != nil {
		t.endRandom()
		t.random, t.endRandom = nil, nil
	}
}

// pcrs returns the values of PCRs one after the other in their order, up to
// eight of them, authenticated by the TPM.
func (t *TPM) pcrs(list []uint) ([]byte, error) {
	srk, err := t.storageKey()
	if err != nil {
		return nil, err
	}
	defer t.flush(srk.handle)
	t.closeRandom()
	if t.chain != nil && t.auth != nil {
		t.dropAuth()
	}
	var all []byte
	for _, n := range list {
		if n >= MaxPCR {
			return nil, fmt.Errorf("%w: PCR %d", ErrRecord, n)
		}
		r, err := tpm2.PCRRead{PCRSelectionIn: selection([]uint{n})}.Execute(t.bus,
			tpm2.HMAC(tpm2.TPMAlgSHA256, 16, srk.salted(), tpm2.Audit()))
		if err != nil {
			return nil, err
		}
		if len(r.PCRValues.Digests) != 1 || len(r.PCRValues.Digests[0].Buffer) != 32 {
			return nil, fmt.Errorf("the TPM has no SHA-256 PCR %d", n)
		}
		all = append(all, r.PCRValues.Digests[0].Buffer...)
	}
	return all, nil
}

// MaxPCR is the number of PCRs that a policy can name.
const MaxPCR = 24

func selection(pcrs []uint) tpm2.TPMLPCRSelection {
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{
		Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(pcrs...),
	}}}
}
