package tcg

import "strings"

// A word is a name in the text form of a profile and what it stands for.
type word[T any] struct {
	name  string
	value T
}

// algWords are the algorithms that a profile can name, in the order of Table 8
// of Part 2 by kind; the sizes of keys and the curves have lines of their own.
var algWords = [...]word[TPMAlgID]{
	{"rsa", TPMAlgRSA}, {"ecc", TPMAlgECC}, {"mlkem", TPMAlgMLKEM}, {"mldsa", TPMAlgMLDSA}, {"hash-mldsa", TPMAlgHashMLDSA},
	{"keyedhash", TPMAlgKeyedHash}, {"symcipher", TPMAlgSymCipher},
	{"sha1", TPMAlgSHA1}, {"sha256", TPMAlgSHA256}, {"sha384", TPMAlgSHA384}, {"sha512", TPMAlgSHA512},
	{"sha3-256", TPMAlgSHA3256}, {"sha3-384", TPMAlgSHA3384}, {"sha3-512", TPMAlgSHA3512}, {"sm3", TPMAlgSM3256},
	{"aes", TPMAlgAES}, {"camellia", TPMAlgCamellia}, {"tdes", TPMAlgTDES}, {"sm4", TPMAlgSM4},
	{"ctr", TPMAlgCTR}, {"ofb", TPMAlgOFB}, {"cbc", TPMAlgCBC}, {"cfb", TPMAlgCFB}, {"ecb", TPMAlgECB},
	{"hmac", TPMAlgHMAC}, {"cmac", TPMAlgCMAC}, {"xor", TPMAlgXOR},
	{"mgf1", TPMAlgMGF1}, {"hkdf", TPMAlgHKDF}, {"kdf1-sp800-56a", TPMAlgKDF1SP80056A}, {"kdf2", TPMAlgKDF2}, {"kdf1-sp800-108", TPMAlgKDF1SP800108},
	{"rsassa", TPMAlgRSASSA}, {"rsaes", TPMAlgRSAES}, {"rsapss", TPMAlgRSAPSS}, {"oaep", TPMAlgOAEP},
	{"ecdsa", TPMAlgECDSA}, {"ecdh", TPMAlgECDH}, {"ecdaa", TPMAlgECDAA}, {"sm2", TPMAlgSM2},
	{"ecschnorr", TPMAlgECSchnorr}, {"ecmqv", TPMAlgECMQV},
}

// curveWords are the curves that a profile can name (Part 2, Table 9). The
// numbers of TPM_ECC_BN_P638 are longer than MaxECCKeyBytes.
var curveWords = [...]word[TPMECCCurve]{
	{"p192", TPMECCNistP192}, {"p224", TPMECCNistP224}, {"p256", TPMECCNistP256},
	{"p384", TPMECCNistP384}, {"p521", TPMECCNistP521},
	{"bn256", TPMECCBNP256}, {"sm2-p256", TPMECCSM2P256},
}

// find returns what a name stands for.
func find[T any](words []word[T], name string) (v T, ok bool) {
	for _, w := range words {
		if w.name == name {
			return w.value, true
		}
	}
	return v, false
}

// The parameter sets that a profile can name (Part 2, Tables 205 and 208).
var (
	mlkemWords = [...]word[uint16]{{"512", TPMMLKEM512}, {"768", TPMMLKEM768}, {"1024", TPMMLKEM1024}}
	mldsaWords = [...]word[uint16]{{"44", TPMMLDSA44}, {"65", TPMMLDSA65}, {"87", TPMMLDSA87}}
)

// commandPrefix begins the name of each command; profiles leave it out.
const commandPrefix = "TPM2_"

// commandByName returns the command of a name with or without its prefix.
func commandByName(name string) (TPMCC, bool) {
	name = strings.TrimPrefix(name, commandPrefix)
	for cc := TPMCCFirst; cc <= TPMCCLast; cc++ {
		if s := CommandByCode(cc); s != nil && s.Name[len(commandPrefix):] == name {
			return cc, true
		}
	}
	return 0, false
}

// ProfileNames lists the names that NamedProfile knows, the default first.
func ProfileNames() []string {
	return []string{"pc-client", "full", "sm", "default-v2", "post-quantum"}
}

// NamedProfile returns a profile by its name, or nil:
//
//	pc-client  DefaultProfile
//	full       all algorithms, sizes and curves there are, but for SM2, SM3 and SM4
//	sm         pc-client with SM2, SM3 and SM4
//	default-v2 pc-client with the keys and commands of version 1.85
//	post-quantum
//	           of asymmetric algorithms those of version 1.85 only, and no parameter set
//	           of category 1 or 2
func NamedProfile(name string) *Profile {
	p := DefaultProfile()
	switch name {
	case "pc-client":
	case "full":
		for _, a := range [...]TPMAlgID{TPMAlgSHA3256, TPMAlgSHA3384, TPMAlgSHA3512, TPMAlgCamellia, TPMAlgTDES} {
			p.SetAlg(a, true)
		}
		for _, n := range symSizes {
			p.SetSymBits(TPMAlgCamellia, int(n), true)
			p.SetSymBits(TPMAlgTDES, int(n), true)
		}
		p.SetCurve(TPMECCNistP192, true)
		p.SetPCRBanks(append(p.PCRBanks(), TPMAlgSHA3256, TPMAlgSHA3384, TPMAlgSHA3512)...)
	case "sm":
		for _, a := range [...]TPMAlgID{TPMAlgSM2, TPMAlgSM3256, TPMAlgSM4} {
			p.SetAlg(a, true)
		}
		p.SetSymBits(TPMAlgSM4, 128, true)
		p.SetCurve(TPMECCSM2P256, true)
		p.SetPCRBanks(append(p.PCRBanks(), TPMAlgSM3256)...)
	case "default-v2":
		p.addVersion185()
		p.SetAlg(TPMAlgHKDF, true)
	case "post-quantum":
		return postQuantumProfile()
	default:
		return nil
	}
	return p
}

// addVersion185 adds the keys and commands that version 1.85 brought.
func (p *Profile) addVersion185() {
	for _, a := range [...]TPMAlgID{TPMAlgMLKEM, TPMAlgMLDSA, TPMAlgHashMLDSA} {
		p.SetAlg(a, true)
		for _, set := range [...]uint16{1, 2, 3} {
			p.SetMLSet(a, set, true)
		}
	}
	for cc := TPMCCVerifySequenceComplete; cc <= TPMCCLast; cc++ {
		p.SetCommand(cc, true)
	}
}

// postQuantumProfile is the profile of that name. SHA-256 and AES-128 are there
// since tickets, contexts and the templates of software need them.
func postQuantumProfile() *Profile {
	p := new(Profile)
	for _, a := range [...]TPMAlgID{
		TPMAlgKeyedHash, TPMAlgSymCipher, TPMAlgNull, TPMAlgSHA256, TPMAlgSHA384, TPMAlgSHA512,
		TPMAlgAES, TPMAlgCTR, TPMAlgOFB, TPMAlgCBC, TPMAlgCFB, TPMAlgECB,
		TPMAlgHMAC, TPMAlgCMAC, TPMAlgXOR, TPMAlgKDF1SP800108,
	} {
		p.SetAlg(a, true)
	}
	p.SetSymBits(TPMAlgAES, 128, true)
	p.SetSymBits(TPMAlgAES, 256, true)
	p.SetPCRBanks(TPMAlgSHA256, TPMAlgSHA384)
	p.commands = DefaultProfile().commands
	for _, cc := range [...]TPMCC{ // of RSA and ECC
		TPMCCRSAEncrypt, TPMCCRSADecrypt, TPMCCECDHKeyGen, TPMCCECDHZGen, TPMCCECCParameters, TPMCCZGen2Phase,
		TPMCCECCEncrypt, TPMCCECCDecrypt, TPMCCCommit, TPMCCECEphemeral, TPMCCCertifyX509,
	} {
		p.SetCommand(cc, false)
	}
	p.addVersion185()
	p.SetMLSet(TPMAlgMLKEM, TPMMLKEM512, false)
	p.SetMLSet(TPMAlgMLDSA, TPMMLDSA44, false)
	return p
}
