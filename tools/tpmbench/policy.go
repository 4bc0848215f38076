package main

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/tools/hosted/tpmproc"
)

// unseal times the three commands that open a secret under a PCR policy:
// StartAuthSession, PolicyPCR, Unseal.
func unseal() benchCase {
	sel := tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{
		Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(0, 7)}}}
	policy := func(c *tpmproc.Conn) func(tpm tpm2.TPMISHPolicy, nonce tpm2.TPM2BNonce) error {
		return func(h tpm2.TPMISHPolicy, _ tpm2.TPM2BNonce) error {
			_, err := tpm2.PolicyPCR{PolicySession: h, Pcrs: sel}.Execute(c)
			return err
		}
	}
	return benchCase{"Unseal with PCR policy (3 commands)", 1, func(c *tpmproc.Conn) (op, func(), error) {
		k := &keyring{c: c}
		s, done, err := tpm2.PolicySession(c, tpm2.TPMAlgSHA256, 16, tpm2.Trial())
		if err != nil {
			return nil, k.clean, err
		}
		defer done()
		if err := policy(c)(s.Handle(), s.NonceTPM()); err != nil {
			return nil, k.clean, err
		}
		digest, err := tpm2.PolicyGetDigest{PolicySession: s.Handle()}.Execute(c)
		if err != nil {
			return nil, k.clean, err
		}
		obj, err := k.key(sealed(digest.PolicyDigest.Buffer))
		return func() (time.Duration, error) {
			end := func() error { return nil }
			d, err := c.Timed(func() error {
				s, done, err := tpm2.PolicySession(c, tpm2.TPMAlgSHA256, 16)
				if err != nil {
					return err
				}
				end = done
				if err := policy(c)(s.Handle(), s.NonceTPM()); err != nil {
					return err
				}
				_, err = tpm2.Unseal{ItemHandle: tpm2.AuthHandle{Handle: obj.Handle, Name: obj.Name, Auth: s}}.Execute(c)
				return err
			})
			return d, errors.Join(err, end())
		}, k.clean, err
	}}
}

func session(name string, slow int, salted bool) benchCase {
	return benchCase{name, slow, func(c *tpmproc.Conn) (op, func(), error) {
		k := &keyring{c: c}
		var opts []tpm2.AuthOption
		if salted {
			parent, err := k.parent()
			if err != nil {
				return nil, k.clean, err
			}
			pub, err := tpm2.ReadPublic{ObjectHandle: parent.Handle}.Execute(c)
			if err != nil {
				return nil, k.clean, err
			}
			contents, err := pub.OutPublic.Contents()
			if err != nil {
				return nil, k.clean, err
			}
			opts = append(opts, tpm2.Salted(parent.Handle, *contents))
		}
		return func() (time.Duration, error) {
			return c.Timed(func() error {
				_, done, err := tpm2.HMACSession(c, tpm2.TPMAlgSHA256, 16, opts...)
				if err != nil {
					return err
				}
				return done()
			})
		}, k.clean, nil
	}}
}

// nvIndex defines an index of a type and returns the function that undefines it.
func nvIndex(c *tpmproc.Conn, nt tpm2.TPMNT, size uint16) (tpm2.NamedHandle, func(), error) {
	const index tpm2.TPMHandle = 0x01800100
	pub := tpm2.TPMSNVPublic{NVIndex: index, NameAlg: tpm2.TPMAlgSHA256, DataSize: size,
		Attributes: tpm2.TPMANV{OwnerWrite: true, OwnerRead: true, AuthWrite: true, AuthRead: true, NoDA: true, NT: nt}}
	if _, err := (tpm2.NVDefineSpace{AuthHandle: tpm2.TPMRHOwner, PublicInfo: tpm2.New2B(pub)}).Execute(c); err != nil {
		return tpm2.NamedHandle{}, nil, err
	}
	clean := func() {
		if r, err := (tpm2.NVReadPublic{NVIndex: index}).Execute(c); err == nil {
			tpm2.NVUndefineSpace{AuthHandle: tpm2.TPMRHOwner, NVIndex: tpm2.NamedHandle{Handle: index, Name: r.NVName}}.Execute(c)
		}
	}
	return tpm2.NamedHandle{Handle: index}, clean, nil
}

// nvCase runs f with an index that was written before, so that its Name does not
// change.
func nvCase(name string, nt tpm2.TPMNT, size uint16, first, f func(*tpmproc.Conn, tpm2.AuthHandle, tpm2.NamedHandle) error) benchCase {
	return benchCase{name, 1, func(c *tpmproc.Conn) (op, func(), error) {
		ix, clean, err := nvIndex(c, nt, size)
		if err != nil {
			return nil, clean, err
		}
		owner := tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)}
		name := func() error {
			r, err := tpm2.NVReadPublic{NVIndex: ix.Handle}.Execute(c)
			if err == nil {
				ix.Name = r.NVName
			}
			return err
		}
		if err := name(); err != nil {
			return nil, clean, err
		}
		if err := first(c, owner, ix); err != nil {
			return nil, clean, err
		}
		if err := name(); err != nil {
			return nil, clean, err
		}
		return func() (time.Duration, error) { return c.Timed(func() error { return f(c, owner, ix) }) }, clean, nil
	}}
}

// nvWrite64 writes different bytes each time, because a TPM may omit a write that
// changes nothing.
func nvWrite64() func(*tpmproc.Conn, tpm2.AuthHandle, tpm2.NamedHandle) error {
	var n uint64
	return func(c *tpmproc.Conn, owner tpm2.AuthHandle, ix tpm2.NamedHandle) error {
		n++
		data := binary.BigEndian.AppendUint64(make([]byte, 56), n)
		_, err := tpm2.NVWrite{AuthHandle: owner, NVIndex: ix, Data: tpm2.TPM2BMaxNVBuffer{Buffer: data}}.Execute(c)
		return err
	}
}

func increment(c *tpmproc.Conn, owner tpm2.AuthHandle, ix tpm2.NamedHandle) error {
	_, err := tpm2.NVIncrement{AuthHandle: owner, NVIndex: ix}.Execute(c)
	return err
}

func nvWrite() benchCase {
	return nvCase("NV_Write(64)", tpm2.TPMNTOrdinary, 64, nvWrite64(), nvWrite64())
}

func nvIncrement() benchCase {
	return nvCase("NV_Increment", tpm2.TPMNTCounter, 8, increment, increment)
}

func nvRead() benchCase {
	return nvCase("NV_Read(64)", tpm2.TPMNTOrdinary, 64, nvWrite64(),
		func(c *tpmproc.Conn, owner tpm2.AuthHandle, ix tpm2.NamedHandle) error {
			_, err := tpm2.NVRead{AuthHandle: owner, NVIndex: ix, Size: 64}.Execute(c)
			return err
		})
}
