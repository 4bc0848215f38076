package tpmcrypto

import (
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"io"

	"stubtpm/vtpm/tcg"
)

// DRBG is HMAC_DRBG of SP 800-90A Revision 1, 10.1.2. With SHA-512 it has a
// security strength of 256 bits. It is not safe for concurrent use.
type DRBG struct {
	alg     tcg.TPMAlgID
	k, v    [MaxDigest]byte
	counter uint64
}

// Limits of SP 800-90A, Table 2: octets a request, requests between reseeds.
const (
	maxDRBGRequest = 1 << 16
	maxDRBGReseed  = 1 << 48
)

// errReseed says that a DRBG has given out all it may between two reseeds.
var errReseed = errors.New("tpmcrypto: DRBG must be reseeded")

// NewDRBG instantiates the DRBG (10.1.2.3) from the concatenation of the parts,
// which are entropy input, nonce and personalisation string. It returns nil if
// alg is not supported.
func NewDRBG(alg tcg.TPMAlgID, parts ...[]byte) *DRBG {
	if !HasHash(alg) {
		return nil
	}
	d := &DRBG{alg: alg, counter: 1}
	for i := range d.v {
		d.v[i] = 1
	}
	d.update(parts...)
	return d
}

func (d *DRBG) key() []byte   { return d.k[:DigestSize(d.alg)] }
func (d *DRBG) value() []byte { return d.v[:DigestSize(d.alg)] }

// step sets V = HMAC(K, V).
func (d *DRBG) step() { SumHMAC(d.v[:0], d.alg, d.key(), d.value()) }

// update is HMAC_DRBG_Update, 10.1.2.2.
func (d *DRBG) update(parts ...[]byte) {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	for _, sep := range []byte{0, 1} {
		in := append([][]byte{d.value(), {sep}}, parts...)
		SumHMAC(d.k[:0], d.alg, d.key(), in...)
		d.step()
		if n == 0 {
			return
		}
	}
}

// Reseed mixes entropy and additional input in (10.1.2.4).
func (d *DRBG) Reseed(parts ...[]byte) {
	d.update(parts...)
	d.counter = 1
}

// Generate fills out (10.1.2.5), at most 65536 octets. It fails when the DRBG
// has to be reseeded first.
func (d *DRBG) Generate(out []byte, additional ...[]byte) error {
	if len(out) > maxDRBGRequest {
		return ErrSize
	}
	if d.counter > maxDRBGReseed {
		return errReseed
	}
	n := 0
	for _, p := range additional {
		n += len(p)
	}
	if n > 0 {
		d.update(additional...)
	}
	for len(out) > 0 {
		d.step()
		out = out[copy(out, d.value()):]
	}
	if n > 0 {
		d.update(additional...)
	} else {
		d.update()
	}
	d.counter++
	return nil
}

// Read fills p by as many Generate requests as it takes.
func (d *DRBG) Read(p []byte) (int, error) {
	for done := 0; done < len(p); {
		n := min(len(p)-done, maxDRBGRequest)
		if err := d.Generate(p[done : done+n]); err != nil {
			return done, err
		}
		done += n
	}
	return len(p), nil
}

// Zero forgets the state. The DRBG must not be used any more.
func (d *DRBG) Zero() { clear(d.k[:]); clear(d.v[:]) }

// DerivationVersion numbers the way from a seed to a primary key: the
// instantiation below, and what NewRSAKey and NewECCKey take from it. Keys
// that a guest relies on depend on every detail of it, so a version never
// changes once released. A state says which version made it.
const DerivationVersion = 1

// NewPrimaryDRBG returns the DRBG from which a primary object is made (Part 1,
// 24.6.3), by derivation version 1:
//
//	HMAC_DRBG(SHA-512), entropy input = seed,
//	nonce = "stubtpm primary 1\0" || label || 0,
//	personalisation = len16(template) || template || len16(data) || data
//
// seed is the seed of the hierarchy; label says what is derived, for example
// "Primary Object Creation"; template is the hash or Name of the template; data
// is the caller's sensitive data. The lengths keep the two from running into
// one another. Everything that is read from the DRBG afterwards is as secret
// as the seed.
func NewPrimaryDRBG(seed []byte, label string, template, data []byte) *DRBG {
	var t, n [2]byte
	binary.BigEndian.PutUint16(t[:], uint16(len(template)))
	binary.BigEndian.PutUint16(n[:], uint16(len(data)))
	return NewDRBG(tcg.TPMAlgSHA512, seed,
		[]byte("stubtpm primary 1\x00"), []byte(label), []byte{0},
		t[:], template, n[:], data)
}

// RNG is the random number generator of a TPM (Part 1, 8.4.11): a source of
// entropy, itself a generator and not a slow noise circuit, and on top of it,
// once anyone has stirred, a DRBG. It is not safe for concurrent use.
type RNG struct {
	entropy io.Reader
	d       *DRBG // nil until Stir
}

// NewRNG returns a generator over a source of entropy.
func NewRNG(entropy io.Reader) *RNG { return &RNG{entropy: entropy} }

// Read fills p and fails only if the source of entropy does. Every octet is from
// the source, so two copies of one memory, as a snapshot that is resumed twice
// makes them, differ from the first octet on; what was stirred in is added and
// can take nothing away.
func (r *RNG) Read(p []byte) (int, error) {
	n, err := io.ReadFull(r.entropy, p)
	if err != nil || r.d == nil {
		return n, err
	}
	mask := make([]byte, len(p))
	defer clear(mask)
	if _, err := r.d.Read(mask); err != nil {
		return 0, err
	}
	subtle.XORBytes(p, p, mask)
	return len(p), nil
}

// Stir mixes data in, together with fresh entropy (TPM2_StirRandom).
func (r *RNG) Stir(data []byte) error {
	var e [64]byte
	defer clear(e[:])
	if _, err := io.ReadFull(r.entropy, e[:]); err != nil {
		return err
	}
	if r.d == nil {
		// SHA-256 has the same strength of 256 bits here, and is faster where the
		// processor has instructions for it.
		r.d = NewDRBG(tcg.TPMAlgSHA256, e[:], []byte("stubtpm rng"), data)
		return nil
	}
	r.d.Reseed(e[:], data)
	return nil
}
