package main

import (
	"crypto/aes"
	"crypto/hmac"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/sha256"
	"errors"
)

// All keys here have SHA-256 for their Names and AES-128 for their children.

func hash(parts ...[]byte) []byte {
	h := sha256.Sum256(cat(parts...))
	return h[:]
}

func mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// kdfa is KDFa of Part 1, 8.4.10.2, for a whole number of bytes.
func kdfa(key []byte, label string, u, v []byte, bits int) []byte {
	var out []byte
	for i := 1; len(out) < bits/8; i++ {
		out = append(out, mac(key, u32(i), []byte(label), []byte{0}, u, v, u32(bits))...)
	}
	return out[:bits/8]
}

// cfb encrypts or decrypts with AES-128 in CFB mode.
func cfb(key, iv, data []byte, encrypt bool) []byte {
	b, err := aes.NewCipher(key)
	if err != nil {
		panic("pqclient: internal error: " + err.Error())
	}
	out := make([]byte, len(data))
	feedback := append([]byte(nil), iv...)
	for at := 0; at < len(data); at += 16 {
		var pad [16]byte
		b.Encrypt(pad[:], feedback)
		n := min(16, len(data)-at)
		for i := range n {
			out[at+i] = data[at+i] ^ pad[i]
		}
		if from := out; n == 16 {
			if !encrypt {
				from = data
			}
			feedback = append(feedback[:0], from[at:at+16]...)
		}
	}
	return out
}

// labelled is the labelled KEM of ML-KEM (Part 1, 47.4, equation 67): a seed for the
// holder of a key, and the ciphertext that carries it.
func labelled(publicKey []byte, label string) (seed, ciphertext []byte, err error) {
	k, err := mlkem.NewEncapsulationKey768(publicKey)
	if err != nil {
		return nil, nil, err
	}
	shared, ciphertext := k.Encapsulate()
	return kdfa(shared, label, ciphertext, publicKey, 256), ciphertext, nil
}

// protect wraps a secret for a named object with a seed: the outer wrapper of a
// duplicate, and a credential (Part 1, "Outer Duplication Wrapper" and "Credential
// Protection").
func protect(seed, name, secret []byte) []byte {
	enc := cfb(kdfa(seed, "STORAGE", name, nil, 128), make([]byte, 16), sized(secret), true)
	return cat(sized(mac(kdfa(seed, "INTEGRITY", nil, nil, 256), enc, name)), enc)
}

// unprotect opens what protect made.
func unprotect(seed, name, blob []byte) ([]byte, error) {
	f := &fields{b: blob}
	sum := f.sized()
	if f.err != nil || !hmac.Equal(sum, mac(kdfa(seed, "INTEGRITY", nil, nil, 256), f.b, name)) {
		return nil, errors.New("a protected secret has another HMAC")
	}
	in := &fields{b: cfb(kdfa(seed, "STORAGE", name, nil, 128), make([]byte, 16), f.b, false)}
	secret := in.sized()
	return secret, in.end()
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
