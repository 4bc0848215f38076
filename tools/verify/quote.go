package verify

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	_ "crypto/sha256" // SHA-256
	_ "crypto/sha512" // SHA-384 and SHA-512
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"

	"github.com/google/go-eventlog/register"
	"github.com/google/go-eventlog/tcg"
	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpmmgr/cert"
	"stubtpm/vtpmmgr/evidence"
)

// A layer is one of the two that quote, with its reasons.
type layer struct {
	name                                                          string
	key, attribute, signature, attest, binding, values, pcrs, log Reason
}

func hardwareLayer() layer {
	return layer{"hardware quote", HardwareKey, HardwareAttribute, HardwareSignature, HardwareAttest, HardwareBinding, HardwareValues, HardwarePCRs, HardwareLog}
}

func guestLayer() layer {
	return layer{"guest quote", GuestKey, GuestAttribute, GuestSignature, GuestAttest, GuestBinding, GuestValues, GuestPCRs, GuestLog}
}

// A quoted is a quote whose signature, binding and values hold.
type quoted struct {
	pcrs   []evidence.PCR
	log    []tcg.Event
	events int
}

// verifyQuote verifies a quote by the key with a Name, over qualifying data.
func (l layer) verifyQuote(b, name []byte, binding evidence.Hash) (*quoted, error) {
	q, err := evidence.ParseQuote(b)
	if err != nil {
		return nil, refuse(Malformed, "%s: %v", l.name, err)
	}
	public, key, err := cert.ParsePublic(q.Key)
	if err != nil {
		return nil, refuse(Malformed, "%s: %v", l.name, err)
	}
	own, err := tpm2.ObjectName(public)
	if err != nil {
		return nil, refuse(Malformed, "%s: %v", l.name, err)
	}
	if !bytes.Equal(own.Buffer, name) {
		return nil, refuse(l.key, "by %x, not by %x", own.Buffer, name)
	}
	if !cert.IsAK(public) {
		return nil, refuse(l.attribute, "key %x", name)
	}
	hash, err := checkSignature(key, q.Attest, q.Signature)
	if err != nil {
		return nil, refuse(l.signature, "%v", err)
	}
	info, err := parseQuote(q.Attest, binding)
	if errors.Is(err, errBinding) {
		return nil, refuse(l.binding, "%v", err)
	}
	if err != nil {
		return nil, refuse(l.attest, "%v", err)
	}
	if err := checkValues(info, q.PCRs, hash); err != nil {
		return nil, refuse(l.values, "%v", err)
	}
	return &quoted{pcrs: q.PCRs}, nil
}

// checkSignature verifies a TPMT_SIGNATURE over a TPMS_ATTEST, and returns its
// hash algorithm.
func checkSignature(key crypto.PublicKey, attest, signature []byte) (crypto.Hash, error) {
	if err := checkKey(key); err != nil {
		return 0, err
	}
	sig, err := tpm2.Unmarshal[tpm2.TPMTSignature](signature)
	if err != nil {
		return 0, err
	}
	if !bytes.Equal(tpm2.Marshal(*sig), signature) {
		return 0, errors.New("bytes after the signature")
	}
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		s, err := sig.Signature.ECDSA()
		if err != nil || sig.SigAlg != tpm2.TPMAlgECDSA {
			return 0, fmt.Errorf("scheme %#x with an ECC key", uint16(sig.SigAlg))
		}
		hash, digest, err := digestOf(s.Hash, attest)
		if err != nil {
			return 0, err
		}
		r, t := new(big.Int).SetBytes(s.SignatureR.Buffer), new(big.Int).SetBytes(s.SignatureS.Buffer)
		if !ecdsa.Verify(key, digest, r, t) {
			return 0, errors.New("it is not that of the key")
		}
		return hash, nil
	case *rsa.PublicKey:
		return checkRSA(key, sig, attest)
	}
	return 0, fmt.Errorf("key of type %T", key)
}

func checkRSA(key *rsa.PublicKey, sig *tpm2.TPMTSignature, message []byte) (crypto.Hash, error) {
	var s *tpm2.TPMSSignatureRSA
	var err error
	switch sig.SigAlg {
	case tpm2.TPMAlgRSASSA:
		s, err = sig.Signature.RSASSA()
	case tpm2.TPMAlgRSAPSS:
		s, err = sig.Signature.RSAPSS()
	default:
		err = fmt.Errorf("scheme %#x with an RSA key", uint16(sig.SigAlg))
	}
	if err != nil {
		return 0, err
	}
	hash, digest, err := digestOf(s.Hash, message)
	if err != nil {
		return 0, err
	}
	if sig.SigAlg == tpm2.TPMAlgRSAPSS {
		return hash, rsa.VerifyPSS(key, hash, digest, s.Sig.Buffer, nil)
	}
	return hash, rsa.VerifyPKCS1v15(key, hash, digest, s.Sig.Buffer)
}

// digestOf hashes with an algorithm of SHA-2; others are refused.
func digestOf(alg tpm2.TPMIAlgHash, b []byte) (crypto.Hash, []byte, error) {
	hash := hashes[uint16(alg)]
	if hash == 0 {
		return 0, nil, fmt.Errorf("hash algorithm %#x", uint16(alg))
	}
	h := hash.New()
	h.Write(b)
	return hash, h.Sum(nil), nil
}

// hashes are the algorithms that are accepted, by TPM_ALG_ID.
var hashes = map[uint16]crypto.Hash{0x000B: crypto.SHA256, 0x000C: crypto.SHA384, 0x000D: crypto.SHA512}

// banks are their names in policies.
var banks = map[uint16]string{0x000B: "sha256", 0x000C: "sha384", 0x000D: "sha512"}

var errBinding = errors.New("it is over another question, statement or quote")

// parseAttest reads a TPMS_ATTEST of a type, over qualifying data.
func parseAttest(b []byte, kind tpm2.TPMST, binding evidence.Hash) (*tpm2.TPMSAttest, error) {
	a, err := tpm2.Unmarshal[tpm2.TPMSAttest](b)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(tpm2.Marshal(*a), b) {
		return nil, errors.New("bytes after the TPMS_ATTEST")
	}
	if a.Magic != tpm2.TPMGeneratedValue || a.Type != kind {
		return nil, fmt.Errorf("magic %#x, type %#x", uint32(a.Magic), uint16(a.Type))
	}
	if !bytes.Equal(a.ExtraData.Buffer, binding[:]) {
		return nil, errBinding
	}
	return a, nil
}

func parseQuote(b []byte, binding evidence.Hash) (*tpm2.TPMSQuoteInfo, error) {
	a, err := parseAttest(b, tpm2.TPMSTAttestQuote, binding)
	if err != nil {
		return nil, err
	}
	return a.Attested.Quote()
}

// checkValues compares values with the selection and digest of a quote: the
// digest is over all selected PCRs, in the order of the selection.
func checkValues(info *tpm2.TPMSQuoteInfo, pcrs []evidence.PCR, hash crypto.Hash) error {
	h := hash.New()
	rest := pcrs
	for _, s := range info.PCRSelect.PCRSelections {
		bank := hashes[uint16(s.Hash)]
		if bank == 0 {
			return fmt.Errorf("bank %#x", uint16(s.Hash))
		}
		for i := range 8 * len(s.PCRSelect) {
			if s.PCRSelect[i/8]>>(i%8)&1 == 0 {
				continue
			}
			if len(rest) == 0 || rest[0].Bank != uint16(s.Hash) || int(rest[0].Index) != i || len(rest[0].Digest) != bank.Size() {
				return fmt.Errorf("no value of PCR %d", i)
			}
			h.Write(rest[0].Digest)
			rest = rest[1:]
		}
	}
	if len(rest) != 0 {
		return fmt.Errorf("%d values of PCRs that were not quoted", len(rest))
	}
	if !bytes.Equal(h.Sum(nil), info.PCRDigest.Buffer) {
		return errors.New("the values are not those that were quoted")
	}
	return nil
}

// checkPCRs compares the values with the policy's: each PCR that it names must
// have been quoted, and have one of the values.
func (l layer) checkPCRs(q *quoted, want map[string][]string) error {
	for name, values := range want {
		found := ""
		for _, p := range q.pcrs {
			if fmt.Sprintf("%s:%d", banks[p.Bank], p.Index) == name {
				found = hex.EncodeToString(p.Digest)
			}
		}
		if found == "" {
			return refuse(l.pcrs, "PCR %s was not quoted", name)
		}
		if !contains(values, found) {
			return refuse(l.pcrs, "PCR %s is %s", name, found)
		}
	}
	return nil
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// checkLog replays an event log: its events must lead to the quoted values of
// all PCRs that they name.
func (l layer) checkLog(q *quoted, raw []byte, required bool) error {
	if len(raw) == 0 {
		if required {
			return refuse(l.log, "the evidence holds no event log")
		}
		return nil
	}
	var registers []register.MR
	for _, p := range q.pcrs {
		if p.Bank == 0x000B {
			registers = append(registers, register.PCR{Index: int(p.Index), Digest: p.Digest, DigestAlg: crypto.SHA256})
		}
	}
	events, err := replay(raw, registers)
	if err != nil {
		return refuse(l.log, "%v", err)
	}
	q.log, q.events = events, len(events)
	return l.checkOmitted(q)
}

// lastLogged is the last of the PCRs whose events firmware and boot loaders log
// (PC Client Platform Firmware Profile, "PCR Usage"); PCR 10 is extended later.
const lastLogged = 9

// checkOmitted refuses a log that omits all events of a PCR: the replay does not
// notice that.
func (l layer) checkOmitted(q *quoted) error {
	logged := map[int]bool{}
	for _, e := range q.log {
		logged[e.Index] = true
	}
	for _, p := range q.pcrs {
		if p.Bank == 0x000B && p.Index <= lastLogged && !logged[int(p.Index)] && !bytes.Equal(p.Digest, make([]byte, len(p.Digest))) {
			return refuse(l.log, "it has no event of PCR %d, which was extended", p.Index)
		}
	}
	return nil
}

// replay shields from a panic of the parser: a log comes from the guest.
func replay(raw []byte, registers []register.MR) (events []tcg.Event, err error) {
	defer func() {
		if r := recover(); r != nil {
			events, err = nil, fmt.Errorf("the log cannot be parsed: %v", r)
		}
	}()
	return tcg.ParseAndReplay(raw, registers, tcg.ParseOpts{})
}

// list returns the values for a Result.
func (q *quoted) list() []PCR {
	list := []PCR{}
	for _, p := range q.pcrs {
		list = append(list, PCR{Bank: banks[p.Bank], Index: int(p.Index), Value: hex.EncodeToString(p.Digest)})
	}
	return list
}
