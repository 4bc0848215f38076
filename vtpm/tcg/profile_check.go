package tcg

import (
	"errors"
	"fmt"
	"slices"
)

// neededCommands are those without which no driver would find a TPM.
var neededCommands = [...]TPMCC{
	TPMCCStartup, TPMCCShutdown, TPMCCSelfTest, TPMCCGetTestResult, TPMCCGetCapability, TPMCCGetRandom,
}

// Check returns an error that names what is contradictory in a profile, or
// missing for any TPM: SHA-256, PCR banks of offered algorithms, what sessions
// are made of, key sizes for what has keys, the mode in which keys
// are wrapped, and the commands that start a TPM.
func (p *Profile) Check() error {
	if !p.valid() {
		return errProfile
	}
	// SHA-256 protects contexts and tickets, and is what command audit begins
	// with.
	for _, a := range [...]TPMAlgID{TPMAlgNull, TPMAlgSHA256, TPMAlgKeyedHash, TPMAlgHMAC, TPMAlgKDF1SP800108} {
		if !p.HasAlg(a) {
			return fmt.Errorf("tcg: profile: without algorithm %s no TPM works", algName(a))
		}
	}
	banks := p.PCRBanks()
	if len(banks) == 0 {
		return errors.New("tcg: profile: no PCR bank")
	}
	for i, b := range banks {
		if slices.Contains(banks[:i], b) {
			return fmt.Errorf("tcg: profile: PCR bank %s is there twice", algName(b))
		}
	}
	sizes := func(a TPMAlgID, has uint8) error {
		if p.HasAlg(a) != (has != 0) {
			return fmt.Errorf("tcg: profile: %s needs the algorithm and a key size, or neither", algName(a))
		}
		return nil
	}
	err := errors.Join(sizes(TPMAlgRSA, p.rsa), sizes(TPMAlgAES, p.aes), sizes(TPMAlgCamellia, p.camellia),
		sizes(TPMAlgSM4, p.sm4), sizes(TPMAlgTDES, p.tdes), sizes(TPMAlgMLKEM, p.mlkem))
	if err != nil {
		return err
	}
	if (p.HasAlg(TPMAlgMLDSA) || p.HasAlg(TPMAlgHashMLDSA)) != (p.mldsa != 0) {
		return errors.New("tcg: profile: mldsa and hash-mldsa need a parameter set, and it one of them")
	}
	if p.HasAlg(TPMAlgECC) != (p.curves != [2]uint64{}) {
		return errors.New("tcg: profile: ecc needs the algorithm and a curve, or neither")
	}
	if p.aes|p.camellia|p.sm4|p.tdes != 0 && !p.HasAlg(TPMAlgCFB) {
		return errors.New("tcg: profile: block ciphers without cfb, in which keys and parameters are encrypted")
	}
	for _, cc := range neededCommands {
		if !p.HasCommand(cc) {
			return fmt.Errorf("tcg: profile: no TPM without %v", cc)
		}
	}
	return nil
}

// algName is the name of an algorithm in the text form, or its number.
func algName(a TPMAlgID) string {
	for _, w := range algWords {
		if w.value == a {
			return w.name
		}
	}
	return fmt.Sprintf("%#04x", uint16(a))
}
