package identity

import (
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// Endorsement is an endorsement key of a chip, with what vouches for it.
type Endorsement struct {
	Template    tpm2.TPMTPublic
	Public      []byte // TPMT_PUBLIC
	Certificate []byte // DER
	Chain       []byte // DER certificates one after another, or nil
}

// NV indices of the low range (EK Credential Profile, "NV Indices").
const (
	indexRSA   tpm2.TPMHandle = 0x01C00002
	indexECC   tpm2.TPMHandle = 0x01C0000A
	firstChain tpm2.TPMHandle = 0x01C00100
	lastChain  tpm2.TPMHandle = 0x01C001FF
)

// ErrNoCertificate is the error of a chip without the certificate of an
// endorsement key. The operator has to supply it.
var ErrNoCertificate = errors.New("identity: the hardware TPM holds no EK certificate of RSA-2048 or P-256")

// ReadEndorsement returns the chip's endorsement key of P-256 or, if it has no
// certificate for that, of RSA-2048.
func ReadEndorsement(bus transport.TPM, endorsementAuth []byte) (*Endorsement, error) {
	for _, k := range []struct {
		index    tpm2.TPMHandle
		template tpm2.TPMTPublic
	}{{indexECC, tpm2.ECCEKTemplate}, {indexRSA, tpm2.RSAEKTemplate}} {
		der, err := readIndex(bus, k.index)
		if errors.Is(err, tpm2.TPMRCHandle) {
			continue
		}
		if err != nil {
			return nil, err
		}
		r, err := tpm2.CreatePrimary{PrimaryHandle: withPassword(tpm2.TPMRHEndorsement, endorsementAuth), InPublic: tpm2.New2B(k.template)}.Execute(bus)
		if err != nil {
			return nil, fmt.Errorf("identity: endorsement key: %w", err)
		}
		tpm2.FlushContext{FlushHandle: r.ObjectHandle}.Execute(bus)
		chain, err := readChain(bus)
		return &Endorsement{Template: k.template, Public: r.OutPublic.Bytes(), Certificate: first(der), Chain: chain}, err
	}
	return nil, ErrNoCertificate
}

// readChain reads the certificates of a chip's maker: contiguous indices;
// the first that is absent ends the list.
func readChain(bus transport.TPM) ([]byte, error) {
	var all []byte
	for i := firstChain; i <= lastChain; i++ {
		b, err := readIndex(bus, i)
		if errors.Is(err, tpm2.TPMRCHandle) {
			break
		}
		if err != nil {
			return nil, err
		}
		for {
			one := first(b)
			if one == nil {
				break
			}
			all, b = append(all, one...), b[len(one):]
		}
	}
	return all, nil
}

// first returns the DER structure at the beginning of b: an index may be larger
// than its certificate. It returns nil if b begins otherwise.
func first(b []byte) []byte {
	var v asn1.RawValue
	if _, err := asn1.Unmarshal(b, &v); err != nil || v.Class != asn1.ClassUniversal || v.Tag != asn1.TagSequence {
		return nil
	}
	return v.FullBytes
}

// readIndex reads an NV index that everybody may read, in parts.
func readIndex(bus transport.TPM, index tpm2.TPMHandle) ([]byte, error) {
	p, err := tpm2.NVReadPublic{NVIndex: index}.Execute(bus)
	if err != nil {
		return nil, fmt.Errorf("identity: NV index %#x: %w", uint32(index), err)
	}
	public, err := p.NVPublic.Contents()
	if err != nil {
		return nil, err
	}
	named := tpm2.AuthHandle{Handle: index, Name: p.NVName, Auth: tpm2.PasswordAuth(nil)}
	var b []byte
	for len(b) < int(public.DataSize) {
		n := min(int(public.DataSize)-len(b), 512)
		r, err := tpm2.NVRead{AuthHandle: named, NVIndex: tpm2.NamedHandle{Handle: index, Name: p.NVName}, Size: uint16(n), Offset: uint16(len(b))}.Execute(bus)
		if err != nil {
			return nil, fmt.Errorf("identity: NV index %#x: %w", uint32(index), err)
		}
		if len(r.Data.Buffer) == 0 {
			return nil, fmt.Errorf("identity: NV index %#x: nothing read", uint32(index))
		}
		b = append(b, r.Data.Buffer...)
	}
	return b, nil
}

// EndorsementKey is ReadEndorsement, but for a chip without a certificate it returns
// its key of P-256: the operator supplies the certificate.
func EndorsementKey(bus transport.TPM, endorsementAuth []byte) (*Endorsement, error) {
	e, err := ReadEndorsement(bus, endorsementAuth)
	if !errors.Is(err, ErrNoCertificate) {
		return e, err
	}
	r, err := tpm2.CreatePrimary{PrimaryHandle: withPassword(tpm2.TPMRHEndorsement, endorsementAuth), InPublic: tpm2.New2B(tpm2.ECCEKTemplate)}.Execute(bus)
	if err != nil {
		return nil, fmt.Errorf("identity: endorsement key: %w", err)
	}
	tpm2.FlushContext{FlushHandle: r.ObjectHandle}.Execute(bus)
	return &Endorsement{Template: tpm2.ECCEKTemplate, Public: r.OutPublic.Bytes()}, nil
}
