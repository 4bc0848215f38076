//go:build !nosm

package command_test

import (
	"bytes"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
	"stubtpm/vtpm/tpmtest"
)

// TestSM2Sequence: a message is signed with who signs it, as GB/T 32918.2-2016 has it,
// and its digest without (Part 1, 45.2.2.3 and 45.2.2.4).
func TestSM2Sequence(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t, tpmtest.Profile(`base = sm
commands = SignDigest, SignSequenceStart, SignSequenceComplete, VerifyDigestSignature, VerifySequenceStart, VerifySequenceComplete
`))
	scheme := tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgSM2, HashAlg: tcg.TPMAlgSM3256}
	p := signer(tpmtest.ECC(sign), scheme)
	p.ECC.CurveID = tcg.TPMECCSM2P256
	key := tpm.Primary(owner, p, none)
	const id, message = "1234567812345678", "message digest"
	c := tpmcrypto.CurveByID(tcg.TPMECCSM2P256)
	q := key.Public.UniqueECC
	z := tpmcrypto.Digest(tcg.TPMAlgSM3256, []byte{0, 8 * byte(len(id))}, []byte(id), c.A, c.B, c.Gx, c.Gy, q.X, q.Y)
	e := tpmcrypto.Digest(tcg.TPMAlgSM3256, z, []byte(message))

	s := signMessage(tpm, key.Handle, id, message)
	tpm.Do(tcg.TPMCCVerifyDigestSignature, handles{key.Handle}, nil, nil, e, s)
	if k := verified(t, tpm, 0, "with its id", key.Handle, id, s, message); len(k.Digest) != 0 {
		t.Errorf("a ticket of a signature with an id: %+v", k)
	}
	verified(t, tpm, tcg.TPMRCSignature.P(1), "another id", key.Handle, id[1:], s, message)
	s = signature(tpm.Do(tcg.TPMCCSignDigest, handles{key.Handle}, nil, nil, e, nil))
	s.R, s.S = bytes.Clone(s.R), bytes.Clone(s.S)
	verified(t, tpm, 0, "of the digest", key.Handle, id, s, message)
	tpm.Want(tcg.TPMRCSize.P(1), tcg.TPMCCSignDigest, handles{key.Handle}, nil, id, e, nil)
	if k := verified(t, tpm, 0, "without an id", key.Handle, "", signMessage(tpm, key.Handle, "", message), message); len(k.Digest) == 0 {
		t.Error("no ticket")
	}
}
