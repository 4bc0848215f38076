package hwtpm

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// firstIndex is where the indices are looked for, in the owner's range (TCG
// Registry of Reserved TPM 2.0 Handles, 2.2: 0x01800000 to 0x01BFFFFF). Pairs
// that others have are left alone; there are up to maxPairs.
const (
	firstIndex = 0x01A57B00
	maxPairs   = 64
)

// Numbers of the two indices.
const (
	extendIndex = iota
	counterIndex
)

// A pair is two indices that belong together: extend, counter.
type pair struct {
	indices    [2]uint32
	generation uint32
}

func (r *Record) pair() pair { return pair{r.indices, r.generation} }

// policyRef is that of PolicySecret, by which the indices are written. So the generation
// is in their names: none can be taken for one of another generation. The first has none.
func (p pair) policyRef() []byte {
	if p.generation == 0 {
		return nil
	}
	return binary.BigEndian.AppendUint32(nil, p.generation)
}

// public is an index's public area. Its name, which authorizes, is made of it.
func (s *secret) public(which int, written bool) (tpm2.TPMSNVPublic, error) {
	name, err := s.objectName()
	if err != nil {
		return tpm2.TPMSNVPublic{}, err
	}
	policy := named([32]byte{}, tpm2.TPMCCPolicySecret, name.Buffer, string(s.policyRef()))
	p := tpm2.TPMSNVPublic{
		NVIndex: tpm2.TPMHandle(s.indices[which]), NameAlg: tpm2.TPMAlgSHA256,
		// Neither owner nor authorization value write: the policy alone does.
		Attributes: tpm2.TPMANV{PolicyWrite: true, AuthRead: true, NoDA: true, NT: tpm2.TPMNTExtend, Written: written},
		AuthPolicy: tpm2.TPM2BDigest{Buffer: policy[:]},
		DataSize:   sha256.Size,
	}
	if which == counterIndex {
		p.Attributes.NT, p.DataSize = tpm2.TPMNTCounter, 8
	}
	return p, nil
}

func (s *secret) objectName() (*tpm2.TPM2BName, error) {
	public := tpm2.BytesAs2B[tpm2.TPMTPublic](s.object.public)
	p, err := public.Contents()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return tpm2.ObjectName(p)
}

// index is the handle and the name of an index.
func (s *secret) index(which int, written bool) (tpm2.NamedHandle, error) {
	p, err := s.public(which, written)
	if err != nil {
		return tpm2.NamedHandle{}, err
	}
	name, err := tpm2.NVName(&p)
	if err != nil {
		return tpm2.NamedHandle{}, err
	}
	return tpm2.NamedHandle{Handle: p.NVIndex, Name: *name}, nil
}

// place chooses the first free pair of handles.
func (t *TPM) place() error {
	for n := range uint32(maxPairs) {
		if pair := pairAt(n); t.free(pair[0]) && t.free(pair[1]) {
			t.secret.indices = pair
			return nil
		}
	}
	return fmt.Errorf("no pair of NV indices is free from %#x on", firstIndex)
}

// defineIndices makes both of them, or none.
func (t *TPM) defineIndices() error {
	for which := range t.secret.indices {
		if err := t.define(which); err != nil {
			return errors.Join(err, t.undefine(t.secret))
		}
	}
	return nil
}

// Abandon undefines the indices that Create made: for a record that nobody will
// ever use.
func (t *TPM) Abandon(r *Record) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop()
	err := t.undefine(&secret{object: r.object, pair: r.pair()})
	t.secret = nil
	return t.note("undefine", err)
}

// firstWrites write both indices: from then on their names are as they stay.
func (t *TPM) firstWrites(id [16]byte) error {
	for which := range t.secret.indices {
		d := sha256.Sum256(id[:])
		if err := t.prepare(); err != nil {
			return err
		}
		if err := t.write(which, false, d); err != nil {
			return err
		}
	}
	return nil
}

// An authorized is what is loaded to write the indices.
type authorized struct {
	object  tpm2.NamedHandle
	session tpm2.Session // bound to the object, whose value nobody else has
	policy  tpm2.Session // salted; used up by each write and authorized again
}

// prepare authorizes a policy session for one write.
func (t *TPM) prepare() error {
	if t.secret == nil {
		return errLocked
	}
	if t.auth == nil {
		if err := t.authorize(); err != nil {
			return err
		}
	}
	_, err := tpm2.PolicySecret{
		AuthHandle:    tpm2.AuthHandle{Handle: t.auth.object.Handle, Name: t.auth.object.Name, Auth: t.auth.session},
		PolicySession: t.auth.policy.Handle(),
		PolicyRef:     tpm2.TPM2BNonce{Buffer: t.secret.policyRef()},
	}.Execute(t.bus)
	return err
}

func (t *TPM) authorize() error {
	srk, err := t.storageKey()
	if err != nil {
		return err
	}
	defer t.flush(srk.handle)
	t.closeRandom()
	a := &authorized{}
	if a.object, err = t.load(srk, t.secret.object); err != nil {
		return err
	}
	t.open = append(t.open, func() { t.flush(a.object.Handle) })
	session, end, err := tpm2.HMACSession(t.bus, tpm2.TPMAlgSHA256, 16, tpm2.Bound(a.object.Handle, a.object.Name, t.secret.authValue))
	if err != nil {
		return err
	}
	a.session = session
	t.open = append(t.open, func() { end() })
	policy, endPolicy, err := tpm2.PolicySession(t.bus, tpm2.TPMAlgSHA256, 16, srk.salted())
	if err != nil {
		return err
	}
	a.policy = policy
	t.open = append(t.open, func() { endPolicy() })
	t.auth = a
	return nil
}

// write extends the one index or increments the other.
func (t *TPM) write(which int, written bool, d [32]byte) error {
	h, err := t.secret.index(which, written)
	if err != nil {
		return err
	}
	if which == extendIndex {
		return t.nvExtend(h, d[:], t.auth.policy)
	}
	_, err = tpm2.NVIncrement{
		AuthHandle: tpm2.AuthHandle{Handle: h.Handle, Name: h.Name, Auth: t.auth.policy}, NVIndex: h,
	}.Execute(t.bus)
	return err
}

// writeOnce is write with a prepared session. A write whose answer does
// not come is not repeated: it may have been done.
func (t *TPM) writeOnce(what string, which int, d [32]byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.twice(what, t.prepare); err != nil {
		return err
	}
	t.begin(what)
	return t.note(what, t.write(which, true, d))
}

// read reads an index, authenticated by the TPM.
func (t *TPM) read(which, size int) ([]byte, error) {
	if t.secret == nil {
		return nil, errLocked
	}
	h, err := t.secret.index(which, true)
	if err != nil {
		return nil, err
	}
	if t.auth == nil {
		if err := t.authorize(); err != nil {
			return nil, err
		}
	}
	r, err := tpm2.NVRead{
		AuthHandle: tpm2.AuthHandle{Handle: h.Handle, Name: h.Name, Auth: t.auth.session},
		NVIndex:    h, Size: uint16(size),
	}.Execute(t.bus)
	if err != nil {
		return nil, t.why(h, err)
	}
	if len(r.Data.Buffer) != size {
		return nil, fmt.Errorf("index of %d bytes", len(r.Data.Buffer))
	}
	return r.Data.Buffer, nil
}

// why finds a better reason for a failed read. It trusts the bus with nothing
// but the wording.
func (t *TPM) why(h tpm2.NamedHandle, err error) error {
	p, e := tpm2.NVReadPublic{NVIndex: h.Handle}.Execute(t.bus)
	switch {
	case errors.Is(e, tpm2.TPMRCHandle):
		return fmt.Errorf("%w: %#x", ErrIndexGone, uint32(h.Handle))
	case e == nil && string(p.NVName.Buffer) != string(h.Name.Buffer):
		return fmt.Errorf("%w: %#x", ErrIndexOther, uint32(h.Handle))
	}
	return err
}

// An Anchor is the extend index: a value that goes on and never back.
type Anchor struct{ t *TPM }

// Anchor is usable after Create or Unlock.
func (t *TPM) Anchor() Anchor { return Anchor{t} }

// Value returns the index's content.
func (a Anchor) Value() (v [32]byte, err error) {
	err = a.t.do("anchor", func() error {
		b, err := a.t.read(extendIndex, len(v))
		copy(v[:], b)
		return err
	})
	return v, err
}

// Extend makes the value SHA-256(value || d). After an error it may have been
// done: Value tells.
func (a Anchor) Extend(d [32]byte) error { return a.t.writeOnce("anchor", extendIndex, d) }

// A generation's counts begin at its number, shifted by generationShift. They end below
// 2^32, where the epochs of the ledger do, which are counts.
const (
	generationShift = 24
	maxGeneration   = 255
)

// Counter returns the count: 2^24 for each generation, and the value of its counter. It
// never goes back, also where new indices took the place of others.
func (t *TPM) Counter() (n uint64, err error) {
	err = t.do("counter", func() error {
		n, err = t.count()
		return err
	})
	return n, err
}

func (t *TPM) count() (uint64, error) {
	b, err := t.read(counterIndex, 8)
	if err != nil {
		return 0, err
	}
	return uint64(t.secret.generation)<<generationShift + binary.BigEndian.Uint64(b), nil
}

// Count adds one to the counter. After an error it may have been done.
func (t *TPM) Count() error { return t.writeOnce("counter", counterIndex, [32]byte{}) }
