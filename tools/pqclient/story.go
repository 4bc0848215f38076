package main

import (
	"bytes"
	"crypto/mlkem"
	"crypto/sha256"
	"errors"
	"fmt"
)

// A story is what the client does, with what other implementations of ML-DSA check and
// make, if there are any.
type story struct {
	*tpm
	say func(format string, args ...any)

	// verify checks a signature over a message, and sign makes one with a key of its
	// own, of the parameter set of Part 2, Table 208. nil for none.
	verify func(set int, publicKey, message []byte, context string, signature []byte) error
	sign   func(set int, message []byte, context string) (publicKey, signature []byte, err error)
	sets   []int // parameter sets of ML-DSA; those that the TPM says it has if nil
}

func (s *story) run() error {
	if s.sets == nil {
		if err := s.findSets(); err != nil {
			return err
		}
	}
	template := public(algMLKEM, fixed|origin|ordinary|restricted|decrypts, storageParms(), nil)
	storage, err := s.primary(template)
	if err != nil {
		return fmt.Errorf("storage key: %w", err)
	}
	defer s.flush(storage.handle)
	for _, step := range []struct {
		what string
		do   func(storage *object) error
	}{
		{"a secret is sealed and unsealed in a session salted by ML-KEM", s.seal},
		{"a credential for an ML-KEM key is activated, and one for a key outside is opened", s.credential},
		{"a secret that software duplicated to an ML-KEM key is imported", s.duplicate},
		{"secrets are encapsulated both ways", s.encapsulate},
		{"messages are signed and verified by ML-DSA", s.messages},
		{"digests are signed and verified by HashML-DSA", s.digests},
	} {
		if err := step.do(&storage); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
		s.say("%s", step.what)
	}
	return nil
}

// findSets asks for the parameter sets of ML-DSA (TPM_PT_ML_PARAMETER_SETS; Part 2, Table
// 47).
func (s *story) findSets() error {
	const property = 0x131
	r, err := s.tpm.run(command{cc: ccGetCapability, params: cat(u32(6), u32(property), u32(1))})
	if err != nil {
		return err
	}
	r.take(1)
	if capability, n, tag, has := r.u32(), r.u32(), r.u32(), r.u32(); r.end() == nil && capability == 6 && n == 1 && tag == property {
		for set := 1; set <= 3; set++ {
			if has>>(2+set)&1 != 0 {
				s.sets = append(s.sets, set)
			}
		}
	}
	if s.sets == nil {
		return errors.New("the TPM has no ML-DSA")
	}
	return nil
}

func (s *story) unseal(o *object, in *session) ([]byte, error) {
	r, err := s.tpm.run(command{cc: ccUnseal, handles: []int{o.handle}, names: [][]byte{o.name}, auths: 1, session: in, encrypt: in != nil})
	if err != nil {
		return nil, err
	}
	v := r.sized()
	return v, r.end()
}

func (s *story) seal(storage *object) error {
	in, err := s.salted(storage)
	if err != nil {
		return err
	}
	defer s.flush(in.handle)
	secret := []byte("the launch code is 7-3-1-9")
	o, err := s.create(storage, public(algKeyedHash, fixed|ordinary, dataParms(), nil), secret, in)
	if err != nil {
		return err
	}
	defer s.flush(o.handle)
	for _, in := range []*session{nil, in} {
		if got, err := s.unseal(&o, in); err != nil || !bytes.Equal(got, secret) {
			return fmt.Errorf("unsealed %q: %w", got, errors.Join(err, errOther))
		}
	}
	return nil
}

var errOther = errors.New("not what was expected")

func (s *story) credential(storage *object) error {
	key, err := s.create(storage, public(algMLDSA, fixed|origin|ordinary|signs, mldsaParms(s.sets[0], 0), nil), nil, nil)
	if err != nil {
		return err
	}
	defer s.flush(key.handle)
	credential := random(32)
	seed, ciphertext, err := labelled(storage.unique, "IDENTITY")
	if err != nil {
		return err
	}
	r, err := s.tpm.run(command{cc: ccActivateCredential, handles: []int{key.handle, storage.handle}, auths: 2,
		params: cat(sized(protect(seed, key.name, credential)), sized(ciphertext))})
	if err != nil {
		return err
	}
	if got := r.sized(); !bytes.Equal(got, credential) {
		return errOther
	}

	mine, err := mlkem.GenerateKey768()
	if err != nil {
		return err
	}
	pub := mine.EncapsulationKey().Bytes()
	outside, err := s.external(public(algMLKEM, ordinary|restricted|decrypts, storageParms(), nil), pub)
	if err != nil {
		return err
	}
	defer s.flush(outside.handle)
	r, err = s.tpm.run(command{cc: ccMakeCredential, handles: []int{outside.handle}, params: cat(sized(credential), sized(key.name))})
	if err != nil {
		return err
	}
	blob, ciphertext := r.sized(), r.sized()
	if err := r.end(); err != nil {
		return err
	}
	shared, err := mine.Decapsulate(ciphertext)
	if err != nil {
		return err
	}
	got, err := unprotect(kdfa(shared, "IDENTITY", ciphertext, pub, 256), key.name, blob)
	if err == nil && !bytes.Equal(got, credential) {
		err = errOther
	}
	return err
}

func (s *story) duplicate(storage *object) error {
	secret, obfuscation := []byte("from another machine"), random(32)
	template := public(algKeyedHash, ordinary, dataParms(), nil)
	o, err := parse(template, public(algKeyedHash, ordinary, dataParms(), hash(obfuscation, secret)))
	if err != nil {
		return err
	}
	sensitive := cat(u16(algKeyedHash), u16(0), sized(obfuscation), sized(secret))
	seed, ciphertext, err := labelled(storage.unique, "DUPLICATE")
	if err != nil {
		return err
	}
	r, err := s.tpm.run(command{cc: ccImport, handles: []int{storage.handle}, auths: 1,
		params: cat(u16(0), sized(o.public), sized(protect(seed, o.name, sensitive)), sized(ciphertext), u16(algNull))})
	if err != nil {
		return err
	}
	private := bytes.Clone(r.sized())
	if err := s.load(storage, private, &o); err != nil {
		return err
	}
	defer s.flush(o.handle)
	got, err := s.unseal(&o, nil)
	if err == nil && !bytes.Equal(got, secret) {
		err = errOther
	}
	return err
}

func (s *story) encapsulate(storage *object) error {
	key, err := s.create(storage, public(algMLKEM, fixed|origin|ordinary|decrypts, kemParms(), nil), nil, nil)
	if err != nil {
		return err
	}
	defer s.flush(key.handle)
	in, err := s.salted(storage)
	if err != nil {
		return err
	}
	defer s.flush(in.handle)
	decapsulate := func(ciphertext []byte) ([]byte, error) {
		r, err := s.tpm.run(command{cc: ccDecapsulate, handles: []int{key.handle}, names: [][]byte{key.name}, auths: 1,
			session: in, encrypt: true, params: sized(ciphertext)})
		if err != nil {
			return nil, err
		}
		return r.sized(), r.err
	}
	k, err := mlkem.NewEncapsulationKey768(key.unique)
	if err != nil {
		return err
	}
	want, ciphertext := k.Encapsulate()
	if got, err := decapsulate(ciphertext); err != nil || !bytes.Equal(got, want) {
		return errors.Join(err, errOther)
	}
	r, err := s.tpm.run(command{cc: ccEncapsulate, handles: []int{key.handle}})
	if err != nil {
		return err
	}
	want, ciphertext = r.sized(), r.sized()
	if got, err := decapsulate(ciphertext); err != nil || !bytes.Equal(got, want) {
		return errors.Join(err, errOther)
	}
	return nil
}

// signed takes a TPMT_SIGNATURE of ML-DSA, or of HashML-DSA with SHA-256.
func signed(r *fields, typ int) ([]byte, error) {
	if got := r.u16(); got != typ {
		return nil, fmt.Errorf("a signature of 0x%X", got)
	}
	if typ == algHashMLDSA && r.u16() != algSHA256 {
		return nil, errors.New("a signature of another hash")
	}
	sig := bytes.Clone(r.sized())
	return sig, r.end()
}

func (s *story) messages(storage *object) error {
	message := bytes.Repeat([]byte("a message of several buffers. "), 100)
	const context = "pqclient"
	for _, set := range s.sets {
		template := public(algMLDSA, fixed|origin|ordinary|signs, mldsaParms(set, 0), nil)
		key, err := s.create(storage, template, nil, nil)
		if err != nil {
			return fmt.Errorf("parameter set %d: %w", set, err)
		}
		h := 0
		if _, err := s.tpm.run(command{cc: ccSignSequenceStart, handles: []int{key.handle}, handle: &h, params: cat(u16(0), sized([]byte(context)))}); err != nil {
			return err
		}
		if err := s.update(h, message[:2048]); err != nil {
			return err
		}
		r, err := s.tpm.run(command{cc: ccSignSeqComplete, handles: []int{h, key.handle}, auths: 2, params: sized(message[2048:])})
		if err != nil {
			return err
		}
		sig, err := signed(r, algMLDSA)
		if err != nil {
			return err
		}
		if s.verify != nil {
			if err := s.verify(set, key.unique, message, context, sig); err != nil {
				return err
			}
		}
		if err := s.verifyMessage(&key, message, context, cat(u16(algMLDSA), sized(sig))); err != nil {
			return err
		}
		sig[0] ^= 1
		if err := s.verifyMessage(&key, message, context, cat(u16(algMLDSA), sized(sig))); !errors.Is(err, code(0x1DB)) { // TPM_RC_SIGNATURE, parameter 1
			return fmt.Errorf("a bit is turned: %w", errors.Join(err, errOther))
		}
		if err := s.flush(key.handle); err != nil {
			return err
		}
		if s.sign == nil {
			continue
		}
		pub, sig, err := s.sign(set, message, context)
		if err != nil {
			return err
		}
		outside, err := s.external(public(algMLDSA, ordinary|signs, mldsaParms(set, 0), nil), pub)
		if err != nil {
			return err
		}
		if err := s.verifyMessage(&outside, message, context, cat(u16(algMLDSA), sized(sig))); err != nil {
			return err
		}
		if err := s.flush(outside.handle); err != nil {
			return err
		}
	}
	return nil
}

// update adds to a sequence, in buffers of 1,024 bytes.
func (s *story) update(h int, data []byte) error {
	for len(data) > 0 {
		n := min(len(data), 1024)
		if _, err := s.tpm.run(command{cc: ccSequenceUpdate, handles: []int{h}, auths: 1, params: sized(data[:n])}); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// verifyMessage has the TPM verify a signature over a message.
func (s *story) verifyMessage(key *object, message []byte, context string, sig []byte) error {
	h := 0
	if _, err := s.tpm.run(command{cc: ccVerifySequenceStart, handles: []int{key.handle}, handle: &h, params: cat(u16(0), u16(0), sized([]byte(context)))}); err != nil {
		return err
	}
	if err := s.update(h, message); err != nil {
		return err
	}
	r, err := s.tpm.run(command{cc: ccVerifySeqComplete, handles: []int{h, key.handle}, auths: 1, params: sig})
	if err != nil {
		return errors.Join(err, s.flush(h))
	}
	if tag := r.u16(); tag != stMessageVerified {
		return fmt.Errorf("a ticket 0x%X", tag)
	}
	r.u32()
	r.sized()
	return r.end()
}

func (s *story) digests(storage *object) error {
	digest := sha256.Sum256([]byte("message"))
	for _, set := range s.sets {
		key, err := s.create(storage, public(algHashMLDSA, fixed|origin|ordinary|signs, hashMLDSAParms(set), nil), nil, nil)
		if err != nil {
			return fmt.Errorf("parameter set %d: %w", set, err)
		}
		r, err := s.tpm.run(command{cc: ccSignDigest, handles: []int{key.handle}, auths: 1,
			params: cat(u16(0), sized(digest[:]), u16(stHashCheck), u32(rhNull), u16(0))})
		if err != nil {
			return err
		}
		sig, err := signed(r, algHashMLDSA)
		if err != nil {
			return err
		}
		r, err = s.tpm.run(command{cc: ccVerifyDigest, handles: []int{key.handle},
			params: cat(u16(0), sized(digest[:]), u16(algHashMLDSA), u16(algSHA256), sized(sig))})
		if err != nil {
			return err
		}
		if tag, hierarchy, alg, sum := r.u16(), r.u32(), r.u16(), r.sized(); tag != stDigestVerified || hierarchy != rhOwner || alg != algSHA256 || len(sum) == 0 {
			return fmt.Errorf("ticket 0x%X of hierarchy 0x%X, hash 0x%X", tag, hierarchy, alg)
		}
		if err := errors.Join(r.end(), s.flush(key.handle)); err != nil {
			return err
		}
	}
	return nil
}
