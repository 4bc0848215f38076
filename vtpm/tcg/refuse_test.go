package tcg

import (
	"encoding/hex"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Each code that a table of Part 2 names is given where the table says.
func TestResponseCodesOfStructures(t *testing.T) {
	t.Parallel()
	public := func(r *Reader) { new(TPMTPublic).Unmarshal(r) }
	publicPlus := func(r *Reader) { new(TPMTPublic).UnmarshalPlus(r) }
	public2B := func(r *Reader) { new(TPMTPublic).Unmarshal2B(r) }
	symDef := func(r *Reader) { new(TPMTSymDef).Unmarshal(r) }
	symDefPlus := func(r *Reader) { new(TPMTSymDef).UnmarshalPlus(r) }
	rsaScheme := func(r *Reader) { new(TPMTRSAScheme).UnmarshalRSA(r, false) }
	rsaDecrypt := func(r *Reader) { new(TPMTRSADecrypt).UnmarshalRSADecrypt(r, true) }
	eccScheme := func(r *Reader) { new(TPMTECCScheme).UnmarshalECC(r, true) }
	sigScheme := func(r *Reader) { new(TPMTSigScheme).UnmarshalSig(r, true) }
	kdfScheme := func(r *Reader) { new(TPMTKDFScheme).UnmarshalKDF(r, true) }
	signature := func(r *Reader) { new(TPMTSignature).Unmarshal(r) }
	creation := func(r *Reader) { new(TPMTTk).UnmarshalCreation(r) }
	verified := func(r *Reader) { new(TPMTTk).UnmarshalVerified(r) }
	auth := func(r *Reader) { new(TPMTTk).UnmarshalAuth(r) }
	pcrs := func(r *Reader) { new(TPMLPCRSelection).Unmarshal(r) }
	digests := func(r *Reader) { new(TPMLDigest).Unmarshal(r) }
	values := func(r *Reader) { new(TPMLDigestValues).Unmarshal(r) }
	nv := func(r *Reader) { new(TPMSNVPublic).Unmarshal(r) }
	nv2 := func(r *Reader) { new(TPMTNVPublic2).Unmarshal(r) }
	sensitive := func(r *Reader) { new(TPMTSensitive).Unmarshal(r) }
	create := func(r *Reader) { new(TPMSSensitiveCreate).Unmarshal2B(r) }
	point := func(r *Reader) { new(TPMSECCPoint).Unmarshal2B(r) }
	context := func(r *Reader) { new(TPMSContext).Unmarshal(r) }
	session := func(r *Reader) { new(TPMSAuthCommand).Unmarshal(r) }
	codes := func(r *Reader) { new(TPMLCC).Unmarshal(r) }

	const ecc = "0023 000B 00000000 0000 0010 0010 0003 0010 0000 0000"
	for _, c := range []struct {
		what string
		read func(r *Reader)
		wire string
		want TPMRC
	}{
		{"public ECC", public, ecc, TPMRCSuccess},
		{"public type", public, "0010 000B", TPMRCType},
		{"public type not offered", public, "00A1 000B", TPMRCType},
		{"public nameAlg null", public, "0023 0010", TPMRCHash},
		{"public nameAlg null allowed", publicPlus, "0023 0010" + ecc[9:], TPMRCSuccess},
		{"public nameAlg SM3 not offered", publicPlus, "0023 0012", TPMRCHash},
		{"public reserved attribute bit 0", public, "0023 000B 00000001", TPMRCReservedBits},
		{"public reserved attribute bit 3", public, "0023 000B 00000008", TPMRCReservedBits},
		{"public reserved attribute bit 20", public, "0023 000B 00100000", TPMRCReservedBits},
		{"public policy too long", public, "0023 000B 00000000 0041", TPMRCSize},
		{"public symmetric XOR", public, "0023 000B 00000000 0000 000A", TPMRCSymmetric},
		{"public ECC scheme RSASSA", public, "0023 000B 00000000 0000 0010 0014", TPMRCScheme},
		{"public curve", public, "0023 000B 00000000 0000 0010 0010 0099", TPMRCCurve},
		{"public curve not offered", public, "0023 000B 00000000 0000 0010 0010 0020", TPMRCCurve},
		{"public kdf", public, "0023 000B 00000000 0000 0010 0010 0003 000B", TPMRCKDF},
		{"public coordinate too long", public, "0023 000B 00000000 0000 0010 0010 0003 0010 0043", TPMRCSize},
		{"public RSA scheme ECDSA", public, "0001 000B 00000000 0000 0010 0018", TPMRCValue},
		{"public RSA scheme hash", public, "0001 000B 00000000 0000 0010 0014 0010", TPMRCHash},
		{"public RSA bits", public, "0001 000B 00000000 0000 0010 0010 0801", TPMRCValue},
		{"public RSA bits not offered", public, "0001 000B 00000000 0000 0010 0010 0200", TPMRCValue},
		{"public modulus too long", public, "0001 000B 00000000 0000 0010 0010 0800 00000000 0201", TPMRCSize},
		{"public cipher null", public, "0025 000B 00000000 0000 0010", TPMRCSymmetric},
		{"public cipher bits", public, "0025 000B 00000000 0000 0006 0081", TPMRCValue},
		{"public cipher mode", public, "0025 000B 00000000 0000 0006 0080 0050", TPMRCMode},
		{"public keyed hash scheme", public, "0008 000B 00000000 0000 000B", TPMRCValue},
		{"public keyed hash XOR without hash", public, "0008 000B 00000000 0000 000A 0010", TPMRCHash},
		{"public keyed hash XOR kdf", public, "0008 000B 00000000 0000 000A 000B 0099", TPMRCKDF},

		{"2B public", public2B, "0016" + ecc, TPMRCSuccess},
		{"2B public empty", public2B, "0000" + ecc, TPMRCSize},
		{"2B public size below", public2B, "0015" + ecc, TPMRCSize},
		{"2B public size above", public2B, "0017" + ecc, TPMRCSize},
		{"2B public fault inside first", public2B, "0017 0023 0010", TPMRCHash},

		{"sym def null", symDef, "0010", TPMRCSymmetric},
		{"sym def null allowed", symDefPlus, "0010", TPMRCSuccess},
		{"sym def SM4 not offered", symDef, "0013 0080 0043", TPMRCSymmetric},
		{"sym def XOR null hash", symDef, "000A 0010", TPMRCHash},
		{"sym def mode null", symDef, "0006 0080 0010", TPMRCSuccess},
		{"rsa scheme null", rsaScheme, "0010", TPMRCValue},
		{"rsa decrypt RSASSA", rsaDecrypt, "0014 000B", TPMRCValue},
		{"rsa decrypt RSAES", rsaDecrypt, "0015", TPMRCSuccess},
		{"ecc scheme SM2 not offered", eccScheme, "001B 000B", TPMRCScheme},
		{"ecc scheme ECDAA", eccScheme, "001A 000B 0001", TPMRCSuccess},
		{"sig scheme OAEP", sigScheme, "0017 000B", TPMRCScheme},
		{"sig scheme HMAC", sigScheme, "0005 000B", TPMRCSuccess},
		{"kdf scheme", kdfScheme, "0014", TPMRCKDF},
		{"signature null", signature, "0010", TPMRCScheme},
		{"signature hash null", signature, "0014 0010", TPMRCHash},
		{"signature too long", signature, "0014 000B 0201", TPMRCSize},
		{"creation ticket tag", creation, "8022 40000001 0000", TPMRCTag},
		{"creation ticket hierarchy", creation, "8021 4000000A 0000", TPMRCValue},
		{"creation ticket digest", creation, "8021 40000001 0041", TPMRCSize},
		{"verified ticket", verified, "8022 40000007 0000", TPMRCSuccess},
		{"verified ticket of digest", verified, "8027 40000001 000B 0000", TPMRCSuccess},
		{"verified ticket of digest, no hash", verified, "8027 40000001 0010 0000", TPMRCHash},
		{"auth ticket tag", auth, "8021 40000001 0000", TPMRCTag},
		{"pcr count", pcrs, "00000005", TPMRCSize},
		{"pcr count huge", pcrs, "FFFFFFFF", TPMRCSize},
		{"pcr hash", pcrs, "00000001 0010 03 000000", TPMRCHash},
		{"pcr size below", pcrs, "00000001 000B 02 0000", TPMRCValue},
		{"pcr size above", pcrs, "00000001 000B 04 00000000", TPMRCValue},
		{"digests one", digests, "00000001 0000", TPMRCSize},
		{"digests nine", digests, "00000009", TPMRCSize},
		{"digest values count", values, "00000005", TPMRCSize},
		{"digest values null", values, "00000001 0010", TPMRCHash},
		{"nv index", nv, "81000000 000B", TPMRCValue},
		{"nv hash", nv, "01000000 0010", TPMRCHash},
		{"nv reserved bit", nv, "01000000 000B 00000100", TPMRCReservedBits},
		{"nv size", nv, "01000000 000B 00000000 0000 0801", TPMRCSize},
		{"nv2 selector", nv2, "40 40000001", TPMRCSelector},
		{"nv2 other type inside", nv2, "01 12000000 000B 00000000 0000 0008", TPMRCValue},
		{"nv2 external", nv2, "11 11000000 000B 0000000700000000 0000 0008", TPMRCSuccess},
		{"nv2 external reserved", nv2, "11 11000000 000B 0000000800000000", TPMRCReservedBits},
		{"sensitive type", sensitive, "0010", TPMRCType},
		{"sensitive RSA too long", sensitive, "0001 0000 0000 0101", TPMRCSize},
		{"sensitive data too long", sensitive, "0008 0000 0000 0081", TPMRCSize},
		{"sensitive create empty", create, "0000", TPMRCSize},
		{"sensitive create data too long", create, "0004 0000 0081", TPMRCSize},
		{"point empty", point, "0000", TPMRCSize},
		{"point at nothing", point, "0004 0000 0000", TPMRCSuccess},
		{"context handle", context, "0000000000000001 80000003", TPMRCValue},
		{"context hierarchy", context, "0000000000000001 80000000 4000000A", TPMRCValue},
		{"session handle", session, "40000007 0000 00 0000", TPMRCValue},
		{"session password", session, "40000009 0000 00 0000", TPMRCSuccess},
		{"session reserved", session, "40000009 0000 08 0000", TPMRCReservedBits},
		{"commands too many", codes, "00000101", TPMRCSize},
		{"commands cut", codes, "00000100 00000144", TPMRCInsufficient},
	} {
		r := NewReader(unhex(t, c.wire), DefaultProfile())
		c.read(&r)
		if r.Err() != c.want {
			t.Errorf("%s: %v, want %v", c.what, r.Err(), c.want)
		}
	}
}

// Interface types of parameters, each with one value that is refused.
func TestInterfaceTypes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what string
		read func(r *Reader)
		wire string
		want TPMRC
	}{
		{"yes", func(r *Reader) { r.YesNo() }, "01", TPMRCSuccess},
		{"maybe", func(r *Reader) { r.YesNo() }, "02", TPMRCValue},
		{"SU", func(r *Reader) { r.SU() }, "0002", TPMRCValue},
		{"SE", func(r *Reader) { r.SE() }, "02", TPMRCValue},
		{"EO", func(r *Reader) { r.EO() }, "000C", TPMRCValue},
		{"clock", func(r *Reader) { r.ClockAdjust() }, "FD", TPMRCSuccess},
		{"clock above", func(r *Reader) { r.ClockAdjust() }, "04", TPMRCValue},
		{"cap", func(r *Reader) { r.Cap() }, "0000000D", TPMRCValue},
		{"cap vendor", func(r *Reader) { r.Cap() }, "00000100", TPMRCSuccess},
		{"tag", func(r *Reader) { r.CommandTag() }, "8003", TPMRCBadTag},
		{"cipher mode CMAC", func(r *Reader) { r.CipherModePlus() }, "003F", TPMRCMode},
		{"mac CMAC", func(r *Reader) { r.MACSchemePlus() }, "003F", TPMRCSuccess},
		{"mac AES", func(r *Reader) { r.MACSchemePlus() }, "0006", TPMRCSymmetric},
		{"key exchange", func(r *Reader) { r.ECCKeyExchange() }, "0018", TPMRCScheme},
		{"kdf null", func(r *Reader) { r.KDFAlg() }, "0010", TPMRCKDF},
		{"timeout", func(r *Reader) { r.Timeout() }, "0009", TPMRCSize},
		{"iv", func(r *Reader) { r.IV() }, "0011", TPMRCSize},
		{"hash cut", func(r *Reader) { r.HashAlg() }, "00", TPMRCInsufficient},
	} {
		r := NewReader(unhex(t, c.wire), DefaultProfile())
		c.read(&r)
		if r.Err() != c.want {
			t.Errorf("%s: %v, want %v", c.what, r.Err(), c.want)
		}
	}
}

// What is stored is a copy.
func TestCloneSharesNothing(t *testing.T) {
	t.Parallel()
	wire := unhex(t, "0023 000B 00000000 0001AA 0010 0010 0003 0010 0001BB 0001CC")
	r := NewReader(wire, nil)
	var p TPMTPublic
	p.Unmarshal(&r)
	if r.Err() != 0 {
		t.Fatal(r.Err())
	}
	q := p.Clone()
	clear(wire)
	if q.AuthPolicy[0] != 0xAA || q.UniqueECC.X[0] != 0xBB || q.UniqueECC.Y[0] != 0xCC {
		t.Error("clone changed with the command")
	}
	if p.AuthPolicy[0] != 0 {
		t.Error("unmarshalling copies: the comment says that it aliases")
	}
}
