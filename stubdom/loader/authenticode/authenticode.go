// Package authenticode checks who has signed an EFI program (Microsoft, Windows
// Authenticode Portable Executable Signature Format, version 1.0), as sbsign signs them.
package authenticode

import (
	"bytes"
	"crypto/sha256"
	"debug/pe"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/digitorus/pkcs7"

	"stubtpm/image/uki"
	"stubtpm/vtpm/tcg"
)

var (
	// ErrKeys is returned for a list of keys that is not one of fingerprints.
	ErrKeys = errors.New("authenticode: want SHA-256 fingerprints of certificates or public keys, in hexadecimal, separated by commas")
	// ErrUnsigned is returned for a program that has no valid signature by one of the
	// keys.
	ErrUnsigned = errors.New("authenticode: not signed by one of the keys")
)

// Keys are the keys that may sign.
type Keys map[[sha256.Size]byte]bool

// ParseKeys reads a list of fingerprints. A fingerprint is the SHA-256 hash of a
// certificate or of a public key, both in DER (RFC 5280, Certificate and
// SubjectPublicKeyInfo).
func ParseKeys(list string) (Keys, error) {
	keys := Keys{}
	for _, word := range strings.Split(list, ",") {
		b, err := hex.DecodeString(strings.ReplaceAll(word, ":", ""))
		if err != nil || len(b) != sha256.Size {
			return nil, fmt.Errorf("%w: %q", ErrKeys, word)
		}
		keys[[sha256.Size]byte(b)] = true
	}
	return keys, nil
}

// Verify returns the name of the certificate by which the program is signed. Neither
// dates nor issuers of certificates count. It returns ErrUnsigned if there is no valid
// signature of one of the keys.
func (k Keys) Verify(file []byte) (signer string, err error) {
	// The library parses what anyone may have written.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrUnsigned, p)
		}
	}()
	image, err := uki.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnsigned, err)
	}
	digests, err := image.Authenticode([]tcg.TPMAlgID{tcg.TPMAlgSHA256})
	if err != nil {
		return "", err
	}
	signatures, err := table(file)
	if err != nil {
		return "", err
	}
	err = errors.New("no signature")
	for _, s := range signatures {
		if signer, err = k.verify(s, digests[0].Sum); err == nil {
			return signer, nil
		}
	}
	return "", fmt.Errorf("%w: %w", ErrUnsigned, err)
}

// VerifyFile is Verify for a program that is not started as firmware does it, from its
// sections, but from its file, as a Linux kernel is. It returns ErrUnsigned also if the
// file has gaps that no signature covers.
func (k Keys) VerifyFile(file []byte) (signer string, err error) {
	if signer, err = k.Verify(file); err != nil {
		return "", err
	}
	image, err := uki.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnsigned, err)
	}
	if !image.Whole() {
		return "", fmt.Errorf("%w: there are gaps between its sections", ErrUnsigned)
	}
	return signer, nil
}

// A certificate table: length 4, revision 2, type 2, contents; each on 8 bytes.
const (
	certificateHeader = 8
	revision          = 0x0200
	typePKCS          = 2
	maxSignatures     = 8
	maxSignature      = 64 << 10 // bytes; one of a chain of certificates has some 10 KiB
)

// table returns the signatures of a program that uki.Open has accepted.
func table(file []byte) ([][]byte, error) {
	f, err := pe.NewFile(bytes.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsigned, err)
	}
	h, ok := f.OptionalHeader.(*pe.OptionalHeader64)
	if !ok || h.NumberOfRvaAndSizes <= pe.IMAGE_DIRECTORY_ENTRY_SECURITY {
		return nil, ErrUnsigned
	}
	d := h.DataDirectory[pe.IMAGE_DIRECTORY_ENTRY_SECURITY]
	start, end := uint64(d.VirtualAddress), uint64(d.VirtualAddress)+uint64(d.Size)
	if end > uint64(len(file)) {
		return nil, ErrUnsigned
	}
	var all [][]byte
	le := binary.LittleEndian
	for b := file[start:end]; len(b) >= certificateHeader && len(all) < maxSignatures; {
		n := uint64(le.Uint32(b))
		if n < certificateHeader || n > uint64(len(b)) {
			break
		}
		if le.Uint16(b[4:]) == revision && le.Uint16(b[6:]) == typePKCS && n <= maxSignature {
			all = append(all, b[certificateHeader:n])
		}
		b = b[min(uint64(len(b)), (n+7)&^7):]
	}
	return all, nil
}

var (
	oidIndirectData = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 4}
	oidSHA256       = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
)

// A digestInfo is what is signed of a program (SpcIndirectDataContent), after the
// description of its kind.
type digestInfo struct {
	Algorithm struct {
		OID        asn1.ObjectIdentifier
		Parameters asn1.RawValue `asn1:"optional"`
	}
	Digest []byte
}

// verify checks one signature of a program with that hash.
func (k Keys) verify(signature, hash []byte) (signer string, err error) {
	p, err := pkcs7.Parse(signature)
	if err != nil {
		return "", err
	}
	certificate := p.GetOnlySigner()
	if certificate == nil {
		return "", errors.New("not exactly one signer")
	}
	if !k[sha256.Sum256(certificate.Raw)] && !k[sha256.Sum256(certificate.RawSubjectPublicKeyInfo)] {
		return "", fmt.Errorf("signed by %s", certificate.Subject)
	}
	// A key may have signed something else that looks the same.
	var kind asn1.ObjectIdentifier
	if err := p.UnmarshalSignedAttribute(pkcs7.OIDAttributeContentType, &kind); err != nil || !kind.Equal(oidIndirectData) {
		return "", errors.New("a signature of something else")
	}
	if err := p.Verify(); err != nil {
		return "", err
	}
	var about asn1.RawValue
	rest, err := asn1.Unmarshal(p.Content, &about)
	if err != nil {
		return "", err
	}
	var signed digestInfo
	if rest, err = asn1.Unmarshal(rest, &signed); err != nil || len(rest) > 0 {
		return "", errors.New("malformed digest")
	}
	if !signed.Algorithm.OID.Equal(oidSHA256) || !bytes.Equal(signed.Digest, hash) {
		return "", errors.New("a signature of another program")
	}
	return certificate.Subject.String(), nil
}
