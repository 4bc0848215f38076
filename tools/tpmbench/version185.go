package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"time"

	"stubtpm/vtpm"
	"stubtpm/vtpm/tcg"
)

// What version 1.85 brought, measured on a device in this process: no client library
// nor other TPM has it. Commands are built as bytes.

// A bench185 sends commands to a device.
type bench185 struct{ d *vtpm.Device }

// send runs a command with an empty password for each of its first auths handles and
// returns the response's parameters. Of those with a handle it returns no more.
func (b *bench185) send(cc tcg.TPMCC, auths int, params []byte, handles ...tcg.TPMHandle) ([]byte, error) {
	r := b.d.Execute(0, command185(cc, auths, params, handles...))
	if rc := tcg.TPMRC(binary.BigEndian.Uint32(r[6:])); rc != 0 {
		return nil, fmt.Errorf("%v: %w", cc, rc)
	}
	r = r[10:]
	if tcg.CommandByCode(cc).ResponseHandle != nil {
		return nil, nil
	}
	if auths > 0 {
		r = r[4 : 4+binary.BigEndian.Uint32(r)]
	}
	return slices.Clone(r), nil
}

func command185(cc tcg.TPMCC, auths int, params []byte, handles ...tcg.TPMHandle) []byte {
	var w tcg.Writer
	tag := tcg.TPMSTNoSessions
	if auths > 0 {
		tag = tcg.TPMSTSessions
	}
	w.Uint16(uint16(tag))
	w.Uint32(0)
	w.Uint32(uint32(cc))
	for _, h := range handles {
		w.Handle(h)
	}
	if auths > 0 {
		w.Uint32(uint32(9 * auths))
		for range auths {
			w.Handle(tcg.TPMRSPW)
			w.Bytes(make([]byte, 5))
		}
	}
	w.Bytes(params)
	binary.BigEndian.PutUint32(w.B[2:], uint32(len(w.B)))
	return w.B
}

func marshal185(f func(w *tcg.Writer)) []byte {
	var w tcg.Writer
	f(&w)
	return w.B
}

// primary185 is the parameters of TPM2_CreatePrimary.
func primary185(p *tcg.TPMTPublic) []byte {
	return marshal185(func(w *tcg.Writer) {
		w.Nested(func(w *tcg.Writer) { w.Sized(nil); w.Sized(nil) })
		w.Nested(p.Marshal)
		w.Sized(nil)
		w.Uint32(0)
	})
}

// A key185 is a template with what the table calls it.
type key185 struct {
	name string
	p    tcg.TPMTPublic
}

// keys185 are signing keys and keys that encapsulate.
func keys185() (signers, digests, kems []key185) {
	none := tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgNull}
	base := func(typ tcg.TPMAlgID, attrs tcg.TPMAObject) tcg.TPMTPublic {
		p := tcg.TPMTPublic{Type: typ, NameAlg: tcg.TPMAlgSHA256,
			ObjectAttributes: attrs | tcg.TPMAObjectSensitiveDataOrigin | tcg.TPMAObjectUserWithAuth | tcg.TPMAObjectNoDA}
		p.RSA.Symmetric.Algorithm, p.ECC.Symmetric.Algorithm, p.MLKEM.Symmetric.Algorithm = tcg.TPMAlgNull, tcg.TPMAlgNull, tcg.TPMAlgNull
		p.RSA.KeyBits, p.ECC.CurveID, p.ECC.KDF = 2048, tcg.TPMECCNistP256, none
		p.RSA.Scheme = tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgRSASSA, HashAlg: tcg.TPMAlgSHA256}
		p.ECC.Scheme = tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgECDSA, HashAlg: tcg.TPMAlgSHA256}
		return p
	}
	classic := []key185{{"ECDSA P-256", base(tcg.TPMAlgECC, tcg.TPMAObjectSignEncrypt)}, {"RSA-2048 RSASSA", base(tcg.TPMAlgRSA, tcg.TPMAObjectSignEncrypt)}}
	signers, digests = slices.Clone(classic), slices.Clone(classic)
	for i, n := range []int{44, 65, 87} {
		p := base(tcg.TPMAlgMLDSA, tcg.TPMAObjectSignEncrypt)
		p.MLDSA.ParameterSet = uint16(i + 1)
		signers = append(signers, key185{fmt.Sprintf("ML-DSA-%d", n), p})
		p.Type, p.MLDSA.HashAlg = tcg.TPMAlgHashMLDSA, tcg.TPMAlgSHA256
		digests = append(digests, key185{fmt.Sprintf("HashML-DSA-%d", n), p})
	}
	p := base(tcg.TPMAlgECC, tcg.TPMAObjectDecrypt)
	p.ECC.Scheme = tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgECDH, HashAlg: tcg.TPMAlgSHA256}
	p.ECC.KDF = tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgHKDF, HashAlg: tcg.TPMAlgSHA256}
	kems = append(kems, key185{"DHKEM P-256", p})
	for i, n := range []int{512, 768, 1024} {
		p := base(tcg.TPMAlgMLKEM, tcg.TPMAObjectDecrypt)
		p.MLKEM.ParameterSet = uint16(i + 1)
		kems = append(kems, key185{fmt.Sprintf("ML-KEM-%d", n), p})
	}
	return signers, digests, kems
}

// median185 prints the median time of n runs of a command.
func (b *bench185) median185(out io.Writer, name string, n int, f func() error) error {
	times := make([]time.Duration, n)
	for i := range times {
		start := time.Now()
		if err := f(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		times[i] = time.Since(start)
	}
	slices.Sort(times)
	_, err := fmt.Fprintf(out, "%-56s %10.1f\n", name, float64(times[n/2].Nanoseconds())/1e3)
	return err
}

// version185 prints the table.
func version185(out io.Writer, n int) error {
	d, err := vtpm.Manufacture(vtpm.Config{Store: volatileStore{}, Profile: tcg.NamedProfile("default-v2")})
	if err != nil {
		return err
	}
	d.SetBufferSize(vtpm.LargestBuffer)
	d.Execute(0, startupClear)
	b := &bench185{d}
	if _, err := b.send(tcg.TPMCCSelfTest, 0, []byte{1}); err != nil {
		return err
	}
	fmt.Fprintf(out, "%-56s %10s\n", "median, microseconds", "in process")
	signers, digests, kems := keys185()
	const key, sequence = tcg.TPMHandle(0x80000000), tcg.TPMHandle(0x80000001)
	flush := func(h tcg.TPMHandle) error {
		_, err := b.send(tcg.TPMCCFlushContext, 0, h.Bytes())
		return err
	}
	with := func(k key185, f func() error) error {
		if _, err := b.send(tcg.TPMCCCreatePrimary, 1, primary185(&k.p), tcg.TPMRHOwner); err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		if err := f(); err != nil {
			return err
		}
		return flush(key)
	}
	for _, k := range append(slices.Clone(signers), kems...) {
		if k.p.Type == tcg.TPMAlgRSA {
			continue // one template says little: how long it takes depends on it
		}
		err := b.median185(out, "CreatePrimary, FlushContext, "+k.name, n, func() error { return with(k, func() error { return nil }) })
		if err != nil {
			return err
		}
	}
	message := make([]byte, 32)
	sized := func(parts ...[]byte) []byte {
		return marshal185(func(w *tcg.Writer) {
			for _, p := range parts {
				w.Sized(p)
			}
		})
	}
	for _, k := range signers {
		err := with(k, func() error {
			var sig []byte
			sign := func() (err error) {
				if _, err = b.send(tcg.TPMCCSignSequenceStart, 0, sized(nil, nil), key); err == nil {
					sig, err = b.send(tcg.TPMCCSignSequenceComplete, 2, sized(message), sequence, key)
				}
				return err
			}
			verify := func() (err error) {
				if _, err = b.send(tcg.TPMCCVerifySequenceStart, 0, sized(nil, nil, nil), key); err == nil {
					if _, err = b.send(tcg.TPMCCSequenceUpdate, 1, sized(message), sequence); err == nil {
						_, err = b.send(tcg.TPMCCVerifySequenceComplete, 1, sig, sequence, key)
					}
				}
				return err
			}
			if err := b.median185(out, "SignSequenceStart, -Complete, "+k.name, n, sign); err != nil {
				return err
			}
			return b.median185(out, "VerifySequenceStart, Update, -Complete, "+k.name, n, verify)
		})
		if err != nil {
			return err
		}
	}
	null := tcg.NullTicket(tcg.TPMSTHashCheck)
	for _, k := range digests {
		err := with(k, func() error {
			var sig []byte
			if err := b.median185(out, "SignDigest, "+k.name, n, func() (err error) {
				sig, err = b.send(tcg.TPMCCSignDigest, 1, append(sized(nil, message), tcg.Marshal(&null)...), key)
				return err
			}); err != nil {
				return err
			}
			return b.median185(out, "VerifyDigestSignature, "+k.name, n, func() error {
				_, err := b.send(tcg.TPMCCVerifyDigestSignature, 0, append(sized(nil, message), sig...), key)
				return err
			})
		})
		if err != nil {
			return err
		}
	}
	for _, k := range kems {
		err := with(k, func() error {
			var ciphertext []byte
			if err := b.median185(out, "Encapsulate, "+k.name, n, func() error {
				r, err := b.send(tcg.TPMCCEncapsulate, 0, nil, key)
				if err == nil {
					in := tcg.NewReader(r, nil)
					in.Sized(64)
					ciphertext = in.Rest()
				}
				return err
			}); err != nil {
				return err
			}
			return b.median185(out, "Decapsulate, "+k.name, n, func() error {
				_, err := b.send(tcg.TPMCCDecapsulate, 1, ciphertext, key)
				return err
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}
