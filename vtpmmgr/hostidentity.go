package vtpmmgr

import (
	"crypto/sha256"
	"errors"

	"golang.org/x/crypto/cryptobyte"

	"stubtpm/vtpmmgr/identity"
	"stubtpm/vtpmmgr/ledger"
)

// A hostIdentity is what the manager keeps of its identity: keys that only the
// hardware TPM can load, what authorizes them, and the certificate of the
// certification key. The ledger encrypts it.
type hostIdentity struct {
	auth          [32]byte // authorization value of both keys, without a zero byte
	policy        identity.Policy
	storageName   []byte // of the storage key above them
	ak, certifier identity.Key
	certificate   []byte   // DER; by the certification key itself, unless a site admitted the host
	chain         [][]byte // DER certificates of its issuers, the direct one first; none without a site
	image         [32]byte // SHA-256 of the manager's image, as the operator stated; zeros if not
	version       uint32   // its security version
	epoch         uint32   // of the ledger, in which the keys were made
	parts         int      // of the stored form
}

// An identity is too large for one item, so it is kept in parts, each of them
// twice. One commit writes all of them.
const (
	identityVersion  = 1
	identityPart     = 4 // offset: kind, version, number of the part, number of parts
	identityPartSize = ledger.MaxBody - identityPart
	identityMost     = 8 << 10 // bytes of an identity
	identityParts    = (identityMost + identityPartSize - 1) / identityPartSize
)

func identityItems(part int) [2]ledger.ID { return twice(kindIdentity, []byte{byte(part)}) }

// errIdentitySize is the error of an identity that there is no room for.
var errIdentitySize = errors.New("vtpmmgr: the host's certificate and its chain are too large")

// encode returns the stored form, which the parts hold one after another.
func (h *hostIdentity) encode() ([]byte, error) {
	b := cryptobyte.NewBuilder(nil)
	b.AddBytes(h.auth[:])
	b.AddBytes(h.image[:])
	b.AddUint32(h.version)
	b.AddUint32(h.epoch)
	b.AddUint8(uint8(len(h.policy.PCRs)))
	for _, n := range h.policy.PCRs {
		b.AddUint8(uint8(n))
	}
	b.AddBytes(h.policy.Values)
	for _, f := range [][]byte{h.storageName, h.ak.Public, h.ak.Private, h.certifier.Public, h.certifier.Private, h.certificate} {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(f) })
	}
	b.AddUint8(uint8(len(h.chain)))
	for _, f := range h.chain {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(f) })
	}
	all, err := b.Bytes()
	if err != nil || len(all) > identityMost || len(h.chain) > 255 {
		return nil, errIdentitySize
	}
	return all, nil
}

func decodeIdentity(b []byte) (*hostIdentity, error) {
	s, h := cryptobyte.String(b), new(hostIdentity)
	var n uint8
	ok := len(b) <= identityMost && s.CopyBytes(h.auth[:]) && s.CopyBytes(h.image[:]) && s.ReadUint32(&h.version) && s.ReadUint32(&h.epoch) && s.ReadUint8(&n)
	for range n {
		var pcr uint8
		ok = ok && s.ReadUint8(&pcr)
		h.policy.PCRs = append(h.policy.PCRs, uint(pcr))
	}
	ok = ok && s.ReadBytes(&h.policy.Values, sha256.Size*int(n))
	for _, f := range []*[]byte{&h.storageName, &h.ak.Public, &h.ak.Private, &h.certifier.Public, &h.certifier.Private, &h.certificate} {
		ok = ok && readSized(&s, f)
	}
	ok = ok && s.ReadUint8(&n)
	for range n {
		var f []byte
		ok = ok && readSized(&s, &f)
		h.chain = append(h.chain, f)
	}
	if !ok || !s.Empty() {
		return nil, errItem
	}
	if _, err := h.policy.Digest(); err != nil {
		return nil, errItem
	}
	return h, nil
}

func readSized(s *cryptobyte.String, to *[]byte) bool {
	var v cryptobyte.String
	ok := s.ReadUint16LengthPrefixed(&v)
	*to = []byte(v)
	return ok
}

// changes returns what makes h the identity, in place of the one before (nil for
// none).
func (h *hostIdentity) changes(before *hostIdentity) ([]ledger.Change, error) {
	all, err := h.encode()
	if err != nil {
		return nil, err
	}
	n := (len(all) + identityPartSize - 1) / identityPartSize
	var changes []ledger.Change
	for i := range n {
		body := append([]byte{kindIdentity, identityVersion, byte(i), byte(n)}, all[i*identityPartSize:min(len(all), (i+1)*identityPartSize)]...)
		changes = append(changes, twiceChanges(identityItems(i), body)...)
	}
	if before != nil {
		for i := n; i < before.parts; i++ {
			changes = append(changes, twiceChanges(identityItems(i), nil)...)
		}
	}
	h.parts = n
	return changes, nil
}

// readIdentity returns the identity, or nil if there was never one.
func readIdentity(get func(ledger.ID) ([]byte, error)) (*hostIdentity, error) {
	var all []byte
	parts := 1
	for i := 0; i < parts; i++ {
		b, err := readTwice(get, identityItems(i), func(b []byte) ([]byte, error) { return b, nil })
		if i == 0 && errors.Is(err, ledger.ErrNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if len(b) < identityPart || b[0] != kindIdentity || b[1] != identityVersion || int(b[2]) != i {
			return nil, errItem
		}
		if i == 0 {
			parts = int(b[3])
		}
		if int(b[3]) != parts || parts > identityParts {
			return nil, errItem
		}
		all = append(all, b[identityPart:]...)
	}
	h, err := decodeIdentity(all)
	if err == nil {
		h.parts = parts
	}
	return h, err
}
