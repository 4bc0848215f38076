package hwtpm

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// KeySize is the size in bytes of a root key.
const KeySize = 32

// A Policy says when the hardware TPM gives the root key back.
type Policy struct {
	// PCRs are the SHA-256 PCRs that have to be as they are now, in rising
	// order. Without any, every system that starts on this machine gets it.
	PCRs []uint

	// Operator, if set, is a P-256 key that may approve other values.
	Operator *ecdsa.PublicKey
}

// A secret is what the root key opens for as long as the program runs.
type secret struct {
	authValue []byte // of the object that authorizes writes to the indices
	object    blob
	pair
}

// A blob is an object as its parent keeps it outside of the TPM.
type blob struct{ public, private []byte }

// Create seals a root key in the TPM and makes the two NV indices that only who
// has the key can write. Until the record is on disk nothing depends on them. Before
// they are made, intent is called with the record that will name them (WriteIntent
// keeps it on the disk); it may be nil.
func (t *TPM) Create(id [16]byte, key []byte, p Policy, intent func(*Record) error) (*Record, error) {
	if err := checkPCRs(p.PCRs); err != nil {
		return nil, err
	}
	if err := t.checkChain(p.PCRs); err != nil {
		return nil, err
	}
	if len(key) != KeySize {
		return nil, fmt.Errorf("hwtpm: root key of %d bytes, need %d", len(key), KeySize)
	}
	r := &Record{id: id}
	if p.Operator != nil {
		b, err := p.Operator.Bytes()
		if err != nil || len(b) != operatorSize {
			return nil, fmt.Errorf("hwtpm: operator's key is not one of P-256: %v", err)
		}
		r.operator = b
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop()
	t.srkName, t.secret = nil, nil
	err := t.create(r, p.PCRs, key, intent)
	if err == nil {
		_, err = t.tryKey(r, key)
	}
	if err != nil {
		t.srkName, t.secret = nil, nil
	}
	return r, t.note("create", err)
}

func (t *TPM) create(r *Record, pcrs []uint, key []byte, intent func(*Record) error) (err error) {
	if r.ekName, err = t.endorsementName(); err != nil {
		// It has a password, perhaps. The name serves the wording of an error only.
		t.log("hwtpm: %v: a TPM that was cleared will be taken for another one", err)
	}
	srk, err := t.storageKey()
	if err != nil {
		return err
	}
	defer t.flush(srk.handle)
	r.srkName = srk.name.Buffer
	t.srkName = r.srkName // pinned from here on

	first, err := t.sealRoot(srk, r, pcrs, key)
	if err != nil {
		return err
	}
	r.seals = []seal{*first}
	if r.operator != nil {
		if err := t.tryOperator(r.operator); err != nil {
			return err
		}
	}

	authValue := indexAuth(key)
	noise := make([]byte, 32)
	rand.Read(noise)
	if r.object, err = t.seal(srk, noise, authValue, tpm2.TPMAObject{FixedTPM: true, FixedParent: true, UserWithAuth: true, NoDA: true}, nil); err != nil {
		return err
	}
	t.secret = &secret{authValue: authValue, object: r.object}
	if err := t.place(); err != nil {
		return err
	}
	r.indices = t.secret.indices
	if intent != nil {
		if err := intent(r); err != nil {
			return err
		}
	}
	if err := t.defineIndices(); err != nil {
		return err
	}
	return t.firstWrites(r.id)
}

// sealRoot seals the root key to PCRs as they are now.
func (t *TPM) sealRoot(srk *storage, r *Record, pcrs []uint, key []byte) (*seal, error) {
	values, err := t.pcrs(pcrs)
	if err != nil {
		return nil, err
	}
	s := &seal{pcrs: slices.Clone(pcrs), pcr: pcrPolicy(pcrs, values)}
	digest, err := r.sealing(s).digest()
	if err != nil {
		return nil, err
	}
	// No userWithAuth: the policy is the only way.
	s.object, err = t.seal(srk, withSum(key), nil, tpm2.TPMAObject{FixedTPM: true, FixedParent: true, NoDA: true}, digest[:])
	return s, err
}

// tryKey finds out now whether what is sealed is the key, and by which way it
// opens.
func (t *TPM) tryKey(r *Record, key []byte) (way, error) {
	t.drop() // a TPM may have room for three objects only
	got, by, err := t.unlock(r)
	if err == nil && !bytes.Equal(got, key) {
		err = errGarbled
	}
	return by, err
}

// sumSize is the size in bytes of what is sealed behind the root key. A session
// does not authenticate which cipher it was asked for: if the bus changed that,
// a key comes out that was never sealed, or is sealed and was never given.
const sumSize = 16

var errGarbled = errors.New("the root key was garbled on the bus")

func withSum(key []byte) []byte {
	h := sha256.Sum256(append([]byte("stubtpm root key"), key...))
	return append(bytes.Clone(key), h[:sumSize]...)
}

// tryOperator finds out now, and not in an update, whether the TPM takes the
// operator's key.
func (t *TPM) tryOperator(operator []byte) error {
	key, err := tpm2.LoadExternal{InPublic: tpm2.New2B(operatorPublic(operator)), Hierarchy: tpm2.TPMRHOwner}.Execute(t.bus)
	if err != nil {
		return fmt.Errorf("operator's key: %w", err)
	}
	t.flush(key.ObjectHandle)
	return nil
}

// seal makes a sealed object below the storage key.
func (t *TPM) seal(srk *storage, data, auth []byte, attributes tpm2.TPMAObject, policy []byte) (blob, error) {
	r, err := tpm2.Create{
		ParentHandle: tpm2.AuthHandle{Handle: srk.handle, Name: srk.name,
			Auth: tpm2.HMAC(tpm2.TPMAlgSHA256, 16, srk.salted(), tpm2.AESEncryption(128, tpm2.EncryptIn))},
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
			UserAuth: tpm2.TPM2BAuth{Buffer: auth},
			Data:     tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: data}),
		}},
		InPublic: tpm2.New2B(tpm2.TPMTPublic{
			Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
			ObjectAttributes: attributes, AuthPolicy: tpm2.TPM2BDigest{Buffer: policy},
		}),
	}.Execute(t.bus)
	if err != nil {
		return blob{}, fmt.Errorf("seal: %w", err)
	}
	return blob{r.OutPublic.Bytes(), r.OutPrivate.Buffer}, nil
}

// load loads a sealed object; its name is computed here.
func (t *TPM) load(srk *storage, b blob) (tpm2.NamedHandle, error) {
	public := tpm2.BytesAs2B[tpm2.TPMTPublic](b.public)
	p, err := public.Contents()
	if err != nil {
		return tpm2.NamedHandle{}, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	name, err := tpm2.ObjectName(p)
	if err != nil {
		return tpm2.NamedHandle{}, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	r, err := tpm2.Load{ParentHandle: srk.named(), InPrivate: tpm2.TPM2BPrivate{Buffer: b.private}, InPublic: public}.Execute(t.bus)
	if err != nil {
		return tpm2.NamedHandle{}, fmt.Errorf("load: %w", err)
	}
	return tpm2.NamedHandle{Handle: r.ObjectHandle, Name: *name}, nil
}

// indexAuth is the authorization value that the root key gives. It has no zero
// byte: go-tpm 0.9.8 cuts a value off at its first one.
func indexAuth(key []byte) []byte {
	b, err := hkdf.Expand(sha256.New, key, "stubtpm hardware index", 32)
	if err != nil {
		panic(err) // only for a length that cannot be
	}
	for i := range b {
		if b[i] == 0 {
			b[i] = 1
		}
	}
	return b
}

// checkChain returns an error if the PCR that commits extend is one of those that the root
// key is sealed to: after the first commit it would not open before the next reset.
func (t *TPM) checkChain(sealed []uint) error {
	if !slices.Contains(sealed, t.pcr) {
		return nil
	}
	return fmt.Errorf("hwtpm: PCR %d changes with each commit, and the root key cannot be sealed to it: name another one with anchor-pcr=", t.pcr)
}

// Unlock returns the root key of a record, and makes the indices usable. PCRs
// that are neither those of a seal nor approved are ErrPCR.
func (t *TPM) Unlock(r *Record) (key []byte, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop()
	for _, s := range r.seals {
		if err := t.checkChain(s.pcrs); err != nil {
			return nil, err
		}
	}
	t.srkName, t.secret = r.srkName, nil
	var by way
	err = t.twice("root key", func() error {
		key, by, err = t.unlock(r)
		return err
	})
	if err != nil {
		return nil, err
	}
	t.byOther.Store(by != way{})
	t.secret = &secret{authValue: indexAuth(key), object: r.object, pair: r.pair()}
	return key, nil
}

// A way is how a record opens: by the PCRs of a seal or, with approval not nil, by
// PCRs that the operator approves.
type way struct {
	seal     int
	approval *Approval
}

// ways are all ways by which a record may open.
func (r *Record) ways() (w []way) {
	for i := range r.seals {
		w = append(w, way{seal: i})
	}
	for i := range r.approvals {
		w = append(w, way{approval: &r.approvals[i]})
	}
	return w
}

func (t *TPM) unlock(r *Record) (key []byte, by way, err error) {
	srk, err := t.storageKey()
	if errors.Is(err, ErrOtherTPM) {
		if ek, e := t.endorsementName(); e == nil && bytes.Equal(ek, r.ekName) {
			return nil, by, ErrCleared
		}
	}
	if err != nil {
		return nil, by, err
	}
	defer t.flush(srk.handle)
	for _, by := range r.ways() {
		if key, err = t.open1(srk, r, by); !errors.Is(err, ErrPCR) {
			return key, by, err
		}
	}
	return nil, by, ErrPCR
}

// open1 opens a record by one way. ErrPCR says that the PCRs are not those of it.
func (t *TPM) open1(srk *storage, r *Record, by way) ([]byte, error) {
	s := &r.seals[by.seal]
	if by.approval != nil {
		if err := by.approval.verify(r.operator); err != nil {
			return nil, err
		}
	}
	sealed, err := t.load(srk, s.object)
	if err != nil {
		return nil, err
	}
	defer t.flush(sealed.Handle)
	key, err := t.unseal(srk, sealed, r.sealing(s).satisfy(by.approval))
	if errors.Is(err, tpm2.TPMRCPolicyFail) || errors.Is(err, tpm2.TPMRCValue) {
		return nil, ErrPCR
	}
	if err != nil {
		return nil, err
	}
	if len(key) != KeySize+sumSize {
		return nil, fmt.Errorf("%w: root key of %d bytes", ErrRecord, len(key))
	}
	if !bytes.Equal(withSum(key[:KeySize]), key) {
		return nil, errGarbled
	}
	return key[:KeySize:KeySize], nil
}

func (t *TPM) unseal(srk *storage, sealed tpm2.NamedHandle, satisfy tpm2.PolicyCallback) ([]byte, error) {
	u, err := tpm2.Unseal{ItemHandle: tpm2.AuthHandle{Handle: sealed.Handle, Name: sealed.Name,
		Auth: tpm2.Policy(tpm2.TPMAlgSHA256, 16, func(bus transport.TPM, s tpm2.TPMISHPolicy, n tpm2.TPM2BNonce) error {
			err := satisfy(bus, s, n)
			if err != nil {
				t.flush(s) // go-tpm leaves it behind
			}
			return err
		}, srk.salted(), tpm2.AESEncryption(128, tpm2.EncryptOut))}}.Execute(t.bus)
	if err != nil {
		return nil, fmt.Errorf("unseal: %w", err)
	}
	return u.OutData.Buffer, nil
}
