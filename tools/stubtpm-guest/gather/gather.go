// Package gather makes evidence about the vTPM of a Xen guest, in that guest.
package gather

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/vtpm"
	"stubtpm/vtpmmgr/evidence"
)

// akTemplate is that of a restricted signing key of P-256, with SHA-256 and ECDSA.
func akTemplate() tpm2.TPMTPublic {
	t := tpm2.ECCSRKTemplate
	t.ObjectAttributes.Decrypt, t.ObjectAttributes.SignEncrypt = false, true
	t.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
		Scheme: tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA,
			Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})},
		CurveID: tpm2.TPMECCNistP256,
	})
	return t
}

// Evidence makes evidence for a verifier's nonce over PCRs of the SHA-256 bank, in
// ascending order. The event log is left to the caller. Nothing stays loaded.
func Evidence(bus transport.TPM, nonce []byte, pcrs []uint) (*evidence.Evidence, error) {
	ak, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: tpm2.PasswordAuth(nil)},
		InPublic: tpm2.New2B(akTemplate())}.Execute(bus)
	if err != nil {
		return nil, fmt.Errorf("attestation key: %w", err)
	}
	defer tpm2.FlushContext{FlushHandle: ak.ObjectHandle}.Execute(bus)
	e, err := ask(bus, &evidence.Ask{Nonce: nonce, AK: ak.Name.Buffer})
	if err != nil {
		return nil, err
	}
	if e.EK, err = certificate(bus); err != nil {
		return nil, err
	}
	chain, err := issuers(bus)
	if err != nil {
		return nil, err
	}
	e.Chain = slices.Concat(chain...)
	hardware, err := evidence.ParseQuote(e.Hardware)
	if err != nil {
		return nil, err
	}
	e.Guest, err = quote(bus, ak, evidence.GuestNonce(e.Statement, hardware.Attest), pcrs)
	return e, err
}

// AKCertificate has the manager certify an attestation key that is loaded in the vTPM, and
// returns the certificate (DER) and those of its issuers.
func AKCertificate(bus transport.TPM, key tpm2.TPMHandle) (certificate []byte, chain [][]byte, err error) {
	p, err := tpm2.ReadPublic{ObjectHandle: key}.Execute(bus)
	if err != nil {
		return nil, nil, fmt.Errorf("key %#x: %w", uint32(key), err)
	}
	if certificate, err = question(bus, &evidence.Ask{AK: p.Name.Buffer}); err != nil {
		return nil, nil, err
	}
	chain, err = issuers(bus)
	return certificate, chain, err
}

// issuers returns the certificates of the host and of its issuers.
func issuers(bus transport.TPM) (chain [][]byte, err error) {
	for index := tpm2.TPMHandle(vtpm.EKChain); index <= tpm2.TPMHandle(vtpm.EKChainLast); index++ {
		b, err := readIndex(bus, index)
		if isAbsent(err) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("certificate of an issuer: %w", err)
		}
		chain = append(chain, b)
	}
	return chain, nil
}

// ask has the vTPM fetch the manager's part.
func ask(bus transport.TPM, a *evidence.Ask) (*evidence.Evidence, error) {
	b, err := question(bus, a)
	if err != nil {
		return nil, err
	}
	e, err := evidence.Parse(b)
	if err != nil {
		return nil, err
	}
	st, err := evidence.ParseStatement(e.Statement)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(st.Nonce, a.Nonce) || !bytes.Equal(st.AK, a.AK) {
		return nil, errors.New("another program of this guest asked at the same time: try again")
	}
	return e, nil
}

// question writes a question and reads the answer.
func question(bus transport.TPM, a *evidence.Ask) ([]byte, error) {
	b, err := a.Marshal()
	if err != nil {
		return nil, err
	}
	index, err := named(bus, tpm2.TPMHandle(vtpm.AskIndex))
	if isAbsent(err) {
		return nil, errors.New("this TPM makes no evidence: it is no vTPM of stubtpm on Xen")
	}
	if err != nil {
		return nil, err
	}
	_, err = tpm2.NVWrite{AuthHandle: tpm2.AuthHandle{Handle: index.Handle, Name: index.Name, Auth: tpm2.PasswordAuth(nil)},
		NVIndex: index, Data: tpm2.TPM2BMaxNVBuffer{Buffer: b}}.Execute(bus)
	if err != nil {
		return nil, fmt.Errorf("the manager does not answer (see the consoles of the vTPM and of the manager): %w", err)
	}
	return readIndex(bus, tpm2.TPMHandle(vtpm.AnswerIndex))
}

// certificate returns the certificate of an endorsement key.
func certificate(bus transport.TPM) ([]byte, error) {
	for _, index := range []tpm2.TPMHandle{tpm2.TPMHandle(vtpm.EKCertP256), tpm2.TPMHandle(vtpm.EKCertRSA2048)} {
		b, err := readIndex(bus, index)
		if !isAbsent(err) {
			return b, err
		}
	}
	return nil, errors.New("this vTPM has no certificate of an endorsement key")
}

// isAbsent reports whether an error says that there is no such index.
func isAbsent(err error) bool {
	return errors.Is(err, tpm2.TPMRCHandle)
}

func named(bus transport.TPM, index tpm2.TPMHandle) (tpm2.NamedHandle, error) {
	p, err := tpm2.NVReadPublic{NVIndex: index}.Execute(bus)
	if err != nil {
		return tpm2.NamedHandle{}, fmt.Errorf("NV index %#x: %w", uint32(index), err)
	}
	return tpm2.NamedHandle{Handle: index, Name: p.NVName}, nil
}

// readIndex reads an NV index in parts, as many bytes at once as any TPM returns.
func readIndex(bus transport.TPM, index tpm2.TPMHandle) (data []byte, err error) {
	const part = 512
	p, err := tpm2.NVReadPublic{NVIndex: index}.Execute(bus)
	if err != nil {
		return nil, fmt.Errorf("NV index %#x: %w", uint32(index), err)
	}
	public, err := p.NVPublic.Contents()
	if err != nil {
		return nil, err
	}
	named := tpm2.NamedHandle{Handle: index, Name: p.NVName}
	for len(data) < int(public.DataSize) {
		n := min(part, int(public.DataSize)-len(data))
		r, err := tpm2.NVRead{AuthHandle: tpm2.AuthHandle{Handle: index, Name: p.NVName, Auth: tpm2.PasswordAuth(nil)},
			NVIndex: named, Size: uint16(n), Offset: uint16(len(data))}.Execute(bus)
		if err != nil {
			return nil, fmt.Errorf("NV index %#x: %w", uint32(index), err)
		}
		data = append(data, r.Data.Buffer...)
	}
	return data, nil
}

// quote quotes PCRs of the SHA-256 bank, and reads their values.
func quote(bus transport.TPM, key *tpm2.CreatePrimaryResponse, nonce evidence.Hash, pcrs []uint) ([]byte, error) {
	selection := tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(pcrs...)}}}
	r, err := tpm2.Quote{SignHandle: tpm2.AuthHandle{Handle: key.ObjectHandle, Name: key.Name, Auth: tpm2.PasswordAuth(nil)},
		QualifyingData: tpm2.TPM2BData{Buffer: nonce[:]}, InScheme: tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull}, PCRSelect: selection}.Execute(bus)
	if err != nil {
		return nil, fmt.Errorf("quote: %w", err)
	}
	q := &evidence.Quote{Key: key.OutPublic.Bytes(), Attest: r.Quoted.Bytes(), Signature: tpm2.Marshal(r.Signature)}
	for _, n := range pcrs { // a TPM returns eight values at once
		v, err := tpm2.PCRRead{PCRSelectionIn: tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(n)}}}}.Execute(bus)
		if err != nil {
			return nil, err
		}
		if len(v.PCRValues.Digests) != 1 {
			return nil, fmt.Errorf("PCR %d has no value in the SHA-256 bank", n)
		}
		q.PCRs = append(q.PCRs, evidence.PCR{Bank: uint16(tpm2.TPMAlgSHA256), Index: uint8(n), Digest: v.PCRValues.Digests[0].Buffer})
	}
	return q.Marshal()
}
