package command

import (
	"encoding/asn1"
	"encoding/binary"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// certifyX509 is TPM2_CertifyX509, which completes a partial X.509 certificate
// for an object and signs it (Part 3, 18.8; Part 1, 28.6).
//
//	TPM_RC_ATTRIBUTES        the object's are not those of the key usage, or of
//	                         the TPMA_OBJECT extension
//	TPM_RC_AUTH_UNAVAILABLE  only the public area of the object is loaded
//	TPM_RC_KEY, TPM_RC_SCHEME  see certify
//	TPM_RC_SIZE              reserved is not empty
//	TPM_RC_VALUE             partialCertificate is not what it has to be
func certifyX509(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	reserved := r.Next().Data()
	var asked tcg.TPMTSigScheme
	asked.UnmarshalSig(r.Next(), true)
	partial := r.Next().MaxBuffer()
	if err := r.End(); err != nil {
		return err
	}
	if len(reserved) != 0 {
		return tcg.TPMRCSize.P(1)
	}
	o := d.Object(c.Handles[0])
	if o.Seq != nil || o.Public.Type != tcg.TPMAlgRSA && o.Public.Type != tcg.TPMAlgECC {
		return tcg.TPMRCKey.H(1)
	}
	signer := d.Object(c.Handles[1])
	if signer.Seq != nil || !signer.Has(tcg.TPMAObjectSignEncrypt) ||
		signer.Public.Type != tcg.TPMAlgRSA && signer.Public.Type != tcg.TPMAlgECC {
		return tcg.TPMRCKey.H(2)
	}
	s, rc := object.SignScheme(signer, asked)
	if rc != tcg.TPMRCSuccess {
		return rc.P(2)
	}
	p, ok := readPartial(partial)
	if !ok {
		return tcg.TPMRCValue.P(3)
	}
	if rc := p.check(o); rc != tcg.TPMRCSuccess {
		return rc.P(3)
	}
	var added []byte // what is in the answer besides the serial number and the key
	if p.algorithm == nil {
		if added, ok = signatureAlgorithm(s); !ok {
			return tcg.TPMRCScheme.P(2)
		}
	}
	spki, ok := subjectPublicKeyInfo(&o.Public)
	if !ok {
		return tcg.TPMRCCurve.H(1)
	}
	// A serial number is positive, and not the same twice.
	serial := d.Random(16)
	serial[0] = serial[0]&0x7F | 0x40
	version := []byte{0xA0, 3, 2, 1, 2}
	number := append([]byte{0x02, byte(len(serial))}, serial...)

	algorithm := p.algorithm
	if algorithm == nil {
		algorithm = added
	}
	tbs, err := derSequence(version, number, algorithm, p.issuer, p.validity, p.subject, spki, p.extensions)
	if err != nil {
		return tcg.TPMRCSize.P(3)
	}
	answer, err := derSequence(version, number, added, spki)
	if err != nil || len(answer) > tcg.MaxDigestBuffer {
		return tcg.TPMRCSize.P(3)
	}
	sum := tpmcrypto.Digest(s.HashAlg, tbs)
	sig, rc := sign(d, signer, s, sum)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	c.Out.Sized(answer)
	c.Out.Sized(sum)
	sig.Marshal(&c.Out)
	return nil
}

// A partialCertificate is what the caller gives of a TBSCertificate, each field
// with its tag and length.
type partialCertificate struct {
	algorithm                             []byte // nil if it was left out
	issuer, validity, subject, extensions []byte

	usage      uint32 // as TPMA_X509_KEY_USAGE
	attributes *tcg.TPMAObject
}

// readPartial takes a partial certificate apart: a sequence of four or five
// elements. Which has a signature algorithm is told by their number.
func readPartial(b []byte) (p partialCertificate, ok bool) {
	in := cryptobyte.String(b)
	var body cryptobyte.String
	if !in.ReadASN1(&body, casn1.SEQUENCE) || !in.Empty() {
		return p, false
	}
	var all [][]byte
	var tags []casn1.Tag
	for !body.Empty() {
		var element cryptobyte.String
		var tag casn1.Tag
		if len(all) == 5 || !body.ReadAnyASN1Element(&element, &tag) {
			return p, false
		}
		all, tags = append(all, element), append(tags, tag)
	}
	switch len(all) {
	case 5:
		p.algorithm = all[0]
		if tags[0] != casn1.SEQUENCE {
			return p, false
		}
		all, tags = all[1:], tags[1:]
	case 4:
	default:
		return p, false
	}
	p.issuer, p.validity, p.subject, p.extensions = all[0], all[1], all[2], all[3]
	for _, t := range tags[:3] {
		if t != casn1.SEQUENCE {
			return p, false
		}
	}
	return p, p.readExtensions()
}

// Identifiers of the extensions that are looked at: id-ce-keyUsage (RFC 5280,
// 4.2.1.3) and tcg-tpmaObject (Part 3, 18.8).
var (
	oidKeyUsage   = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidTPMAObject = asn1.ObjectIdentifier{2, 23, 133, 10, 1, 1, 1}
)

// readExtensions finds the key usage, which has to be there, and TPMA_OBJECT.
func (p *partialCertificate) readExtensions() bool {
	outer := cryptobyte.String(p.extensions)
	var list, in cryptobyte.String
	if !outer.ReadASN1(&list, casn1.Tag(3).Constructed().ContextSpecific()) || !list.ReadASN1(&in, casn1.SEQUENCE) || !list.Empty() {
		return false
	}
	found := false
	for !in.Empty() {
		var e, value cryptobyte.String
		var oid asn1.ObjectIdentifier
		if !in.ReadASN1(&e, casn1.SEQUENCE) || !e.ReadASN1ObjectIdentifier(&oid) || !e.SkipOptionalASN1(casn1.BOOLEAN) ||
			!e.ReadASN1(&value, casn1.OCTET_STRING) || !e.Empty() {
			return false
		}
		usage := oid.Equal(oidKeyUsage)
		if !usage && !oid.Equal(oidTPMAObject) {
			continue
		}
		var bits asn1.BitString
		if !value.ReadASN1BitString(&bits) || !value.Empty() {
			return false
		}
		var word [4]byte
		if len(bits.Bytes) > len(word) {
			return false
		}
		copy(word[:], bits.Bytes)
		v := binary.BigEndian.Uint32(word[:])
		switch {
		case usage && found, !usage && p.attributes != nil:
			return false
		case usage:
			found, p.usage = true, v
		default:
			if len(bits.Bytes) != len(word) {
				return false
			}
			a := tcg.TPMAObject(v)
			p.attributes = &a
		}
	}
	return found
}

// check compares the key usage with the object's attributes (Part 2, Table 45).
func (p *partialCertificate) check(o *object.Object) tcg.TPMRC {
	if p.attributes != nil && *p.attributes != o.Public.ObjectAttributes {
		return tcg.TPMRCAttributes
	}
	for _, rule := range []struct {
		usage tcg.TPMAX509KeyUsage
		needs tcg.TPMAObject
	}{
		{tcg.TPMAX509KeyUsageDigitalSignature | tcg.TPMAX509KeyUsageCRLSign | tcg.TPMAX509KeyUsageKeyCertSign, tcg.TPMAObjectSignEncrypt},
		{tcg.TPMAX509KeyUsageDecipherOnly | tcg.TPMAX509KeyUsageEncipherOnly | tcg.TPMAX509KeyUsageKeyAgreement |
			tcg.TPMAX509KeyUsageDataEncipherment, tcg.TPMAObjectDecrypt},
		{tcg.TPMAX509KeyUsageKeyEncipherment, tcg.TPMAObjectDecrypt | tcg.TPMAObjectRestricted},
		{tcg.TPMAX509KeyUsageNonrepudiation, tcg.TPMAObjectFixedTPM},
	} {
		if tcg.TPMAX509KeyUsage(p.usage)&rule.usage != 0 && !o.Has(rule.needs) {
			return tcg.TPMRCAttributes
		}
	}
	return tcg.TPMRCSuccess
}

// derSequence is a SEQUENCE of elements that are encoded already.
func derSequence(elements ...[]byte) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, e := range elements {
			b.AddBytes(e)
		}
	})
	return b.Bytes()
}

// signatureAlgorithm is the AlgorithmIdentifier of a scheme, if it has one
// (RFC 4055, RFC 5758).
func signatureAlgorithm(s tcg.TPMTSigScheme) ([]byte, bool) {
	type key struct {
		scheme, hash tcg.TPMAlgID
	}
	oid, ok := map[key]asn1.ObjectIdentifier{
		{tcg.TPMAlgRSASSA, tcg.TPMAlgSHA1}:   {1, 2, 840, 113549, 1, 1, 5},
		{tcg.TPMAlgRSASSA, tcg.TPMAlgSHA256}: {1, 2, 840, 113549, 1, 1, 11},
		{tcg.TPMAlgRSASSA, tcg.TPMAlgSHA384}: {1, 2, 840, 113549, 1, 1, 12},
		{tcg.TPMAlgRSASSA, tcg.TPMAlgSHA512}: {1, 2, 840, 113549, 1, 1, 13},
		{tcg.TPMAlgECDSA, tcg.TPMAlgSHA1}:    {1, 2, 840, 10045, 4, 1},
		{tcg.TPMAlgECDSA, tcg.TPMAlgSHA256}:  {1, 2, 840, 10045, 4, 3, 2},
		{tcg.TPMAlgECDSA, tcg.TPMAlgSHA384}:  {1, 2, 840, 10045, 4, 3, 3},
		{tcg.TPMAlgECDSA, tcg.TPMAlgSHA512}:  {1, 2, 840, 10045, 4, 3, 4},
	}[key{s.Scheme, s.HashAlg}]
	if !ok {
		return nil, false
	}
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		if s.Scheme == tcg.TPMAlgRSASSA {
			b.AddASN1NULL()
		}
	})
	out, err := b.Bytes()
	return out, err == nil
}

// subjectPublicKeyInfo is that of an RSA or ECC key (RFC 3279, RFC 5480); false
// means a curve that X.509 has no name for.
func subjectPublicKeyInfo(p *tcg.TPMTPublic) ([]byte, bool) {
	var algorithm func(b *cryptobyte.Builder)
	var key []byte
	if p.Type == tcg.TPMAlgRSA {
		e := uint64(p.RSA.Exponent)
		if e == 0 {
			e = 65537
		}
		var b cryptobyte.Builder
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addPositive(b, p.UniqueRSA)
			b.AddASN1Uint64(e)
		})
		var err error
		if key, err = b.Bytes(); err != nil {
			return nil, false
		}
		algorithm = func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1})
			b.AddASN1NULL()
		}
	} else {
		k := tpmcrypto.CurveByID(p.ECC.CurveID)
		curve, ok := map[tcg.TPMECCCurve]asn1.ObjectIdentifier{
			tcg.TPMECCNistP224: {1, 3, 132, 0, 33},
			tcg.TPMECCNistP256: {1, 2, 840, 10045, 3, 1, 7},
			tcg.TPMECCNistP384: {1, 3, 132, 0, 34},
			tcg.TPMECCNistP521: {1, 3, 132, 0, 35},
		}[p.ECC.CurveID]
		if !ok || k == nil {
			return nil, false
		}
		// A public area may have more or fewer zeros in front than the curve's
		// size asks for.
		q, err := k.Check(object.Point(&p.UniqueECC))
		if err != nil {
			return nil, false
		}
		key = append(append([]byte{4}, q.X...), q.Y...)
		algorithm = func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1})
			b.AddASN1ObjectIdentifier(curve)
		}
	}
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, algorithm)
		b.AddASN1BitString(key)
	})
	out, err := b.Bytes()
	return out, err == nil
}

// addPositive adds an INTEGER of big-endian bytes.
func addPositive(b *cryptobyte.Builder, v []byte) {
	for len(v) > 1 && v[0] == 0 {
		v = v[1:]
	}
	b.AddASN1(casn1.INTEGER, func(b *cryptobyte.Builder) {
		if v[0]&0x80 != 0 {
			b.AddUint8(0)
		}
		b.AddBytes(v)
	})
}
