package main

import (
	"time"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/tools/hosted/tpmproc"
)

// An op runs a command once and returns the time it took.
type op func() (time.Duration, error)

// A benchCase is one line of the table. The number of runs is divided by Slow.
type benchCase struct {
	name  string
	slow  int
	setup func(*tpmproc.Conn) (op, func(), error)
}

// simple returns a case without preparation.
func simple(name string, f func(c *tpmproc.Conn) error) benchCase {
	return benchCase{name, 1, func(c *tpmproc.Conn) (op, func(), error) {
		return func() (time.Duration, error) { return c.Timed(func() error { return f(c) }) }, nil, nil
	}}
}

func cases() []benchCase {
	sha256 := tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{
		Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(0, 1, 2, 3, 4, 5, 6, 7)}}}
	return []benchCase{
		simple("GetRandom(32)", func(c *tpmproc.Conn) error {
			_, err := tpm2.GetRandom{BytesRequested: 32}.Execute(c)
			return err
		}),
		simple("GetCapability(1 property)", func(c *tpmproc.Conn) error {
			_, err := tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: 0x105, PropertyCount: 1}.Execute(c)
			return err
		}),
		simple("PCR_Read(8, SHA-256)", func(c *tpmproc.Conn) error {
			_, err := tpm2.PCRRead{PCRSelectionIn: sha256}.Execute(c)
			return err
		}),
		simple("PCR_Extend(SHA-256)", func(c *tpmproc.Conn) error {
			_, err := tpm2.PCRExtend{
				PCRHandle: tpm2.AuthHandle{Handle: 16, Auth: tpm2.PasswordAuth(nil)},
				Digests:   tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: make([]byte, 32)}}},
			}.Execute(c)
			return err
		}),
		simple("Hash(SHA-256, 1 KiB)", func(c *tpmproc.Conn) error {
			_, err := tpm2.Hash{Data: tpm2.TPM2BMaxBuffer{Buffer: make([]byte, 1024)}, HashAlg: tpm2.TPMAlgSHA256, Hierarchy: tpm2.TPMRHNull}.Execute(c)
			return err
		}),
		createPrimary("CreatePrimary ECC P-256", 4, tpm2.ECCSRKTemplate),
		createPrimary("CreatePrimary RSA-2048", 20, tpm2.RSASRKTemplate),
		create("Create ECC P-256", 4, eccSigner()),
		create("Create RSA-2048", 20, rsaSigner(tpm2.TPMAlgRSASSA)),
		create("Create sealed, 32 bytes", 1, sealed(nil)),
		load("Load ECC P-256", eccSigner()),
		load("Load RSA-2048", rsaSigner(tpm2.TPMAlgRSASSA)),
		sign("Sign ECDSA P-256", 2, eccSigner()),
		sign("Sign RSA-2048 RSASSA", 4, rsaSigner(tpm2.TPMAlgRSASSA)),
		sign("Sign RSA-2048 RSAPSS", 4, rsaSigner(tpm2.TPMAlgRSAPSS)),
		verify("VerifySignature ECDSA P-256", eccSigner()),
		verify("VerifySignature RSA-2048", rsaSigner(tpm2.TPMAlgRSASSA)),
		decrypt("RSA_Decrypt 2048 OAEP"),
		quote("Quote ECC P-256", 2, eccSigner()),
		quote("Quote RSA-2048", 4, rsaSigner(tpm2.TPMAlgRSASSA)),
		unseal(),
		contextSaveLoad(),
		session("StartAuthSession+Flush", 1, false),
		session("StartAuthSession+Flush, salted ECC", 2, true),
		nvWrite(),
		nvRead(),
		nvIncrement(),
	}
}
