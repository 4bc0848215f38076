package tcg

import "errors"

// A Profile says what a TPM offers: algorithms, curves, key sizes, PCR banks,
// commands, and how large an NV index may be. It is chosen at manufacture and stored with the TPM. It is a
// plain value and may be copied and compared. A nil *Profile offers everything
// that this package knows.
type Profile struct {
	algs     [4]uint64 // one bit an algorithm id below 256
	curves   [2]uint64 // one bit a curve id below 128
	commands [3]uint64 // one bit a command, from TPMCCFirst
	rsa      uint8     // one bit a row of rsaSizes
	aes      uint8     // one bit a row of symSizes, as are the next three
	camellia uint8
	sm4      uint8
	tdes     uint8
	mlkem    uint8 // one bit a parameter set, from 1
	mldsa    uint8
	banks    [HashCount]TPMAlgID
	nvIndex  uint16 // bytes, if more than defaultNVIndexSize; else 0
}

// defaultNVIndexSize is the size in bytes of the largest NV index where a
// profile does not say more: what guests find in other virtual TPMs.
const defaultNVIndexSize = 2048

// Key sizes in bits that a Profile can offer.
var (
	rsaSizes = [...]uint16{1024, 2048, 3072, 4096}
	symSizes = [...]uint16{128, 192, 256}
)

// bitOf returns the bit that stands for n in the list sizes, or 0.
func bitOf(sizes []uint16, n int) uint8 {
	for i, s := range sizes {
		if int(s) == n {
			return 1 << i
		}
	}
	return 0
}

// DefaultProfile returns the profile of a TPM for a PC client, with what other
// virtual TPMs have besides: RSA-1024 and P-224.
func DefaultProfile() *Profile {
	p := new(Profile)
	for _, a := range [...]TPMAlgID{
		TPMAlgRSA, TPMAlgECC, TPMAlgKeyedHash, TPMAlgSymCipher, TPMAlgNull,
		TPMAlgSHA1, TPMAlgSHA256, TPMAlgSHA384, TPMAlgSHA512,
		TPMAlgAES, TPMAlgCTR, TPMAlgOFB, TPMAlgCBC, TPMAlgCFB, TPMAlgECB,
		TPMAlgHMAC, TPMAlgCMAC, TPMAlgXOR, TPMAlgMGF1,
		TPMAlgKDF1SP80056A, TPMAlgKDF2, TPMAlgKDF1SP800108,
		TPMAlgRSASSA, TPMAlgRSAES, TPMAlgRSAPSS, TPMAlgOAEP,
		TPMAlgECDSA, TPMAlgECDH, TPMAlgECDAA, TPMAlgECSchnorr, TPMAlgECMQV,
	} {
		p.SetAlg(a, true)
	}
	for _, c := range [...]TPMECCCurve{TPMECCNistP224, TPMECCNistP256, TPMECCNistP384, TPMECCNistP521, TPMECCBNP256} {
		p.SetCurve(c, true)
	}
	for _, n := range [...]int{1024, 2048, 3072, 4096} {
		p.SetRSABits(n, true)
	}
	for _, n := range symSizes {
		p.SetSymBits(TPMAlgAES, int(n), true)
	}
	p.SetPCRBanks(TPMAlgSHA1, TPMAlgSHA256, TPMAlgSHA384, TPMAlgSHA512)
	for cc := TPMCCFirst; cc < TPMCCVerifySequenceComplete; cc++ {
		p.SetCommand(cc, true)
	}
	for _, cc := range [...]TPMCC{
		TPMCCFieldUpgradeStart, TPMCCFieldUpgradeData, TPMCCFirmwareRead,
		TPMCCACGetCapability, TPMCCACSend, TPMCCPolicyACSendSelect,
	} {
		p.SetCommand(cc, false)
	}
	return p
}

// knownAlg reports whether this package knows a, for a nil Profile.
func knownAlg(a TPMAlgID) bool {
	switch a {
	case TPMAlgRSA, TPMAlgKeyedHash, TPMAlgECC, TPMAlgSymCipher,
		TPMAlgMLKEM, TPMAlgMLDSA, TPMAlgHashMLDSA,
		TPMAlgSHA1, TPMAlgSHA256, TPMAlgSHA384, TPMAlgSHA512,
		TPMAlgSM3256, TPMAlgSHA3256, TPMAlgSHA3384, TPMAlgSHA3512,
		TPMAlgTDES, TPMAlgAES, TPMAlgSM4, TPMAlgCamellia,
		TPMAlgCTR, TPMAlgOFB, TPMAlgCBC, TPMAlgCFB, TPMAlgECB,
		TPMAlgHMAC, TPMAlgCMAC,
		TPMAlgMGF1, TPMAlgHKDF, TPMAlgKDF1SP80056A, TPMAlgKDF2, TPMAlgKDF1SP800108,
		TPMAlgRSASSA, TPMAlgRSAES, TPMAlgRSAPSS, TPMAlgOAEP,
		TPMAlgECDSA, TPMAlgECDH, TPMAlgECDAA, TPMAlgSM2, TPMAlgECSchnorr, TPMAlgECMQV,
		TPMAlgEDDSA, TPMAlgEDDSAPH,
		TPMAlgXOR, TPMAlgNull:
		return true
	}
	return false
}

// knownCurve reports whether this package knows c, for a nil Profile.
func knownCurve(c TPMECCCurve) bool {
	switch c {
	case TPMECCNistP192, TPMECCNistP224, TPMECCNistP256, TPMECCNistP384, TPMECCNistP521,
		TPMECCBNP256, TPMECCBNP638, TPMECCSM2P256,
		TPMECCBrainpoolP256R1, TPMECCBrainpoolP384R1, TPMECCBrainpoolP512R1,
		TPMECCCurve25519, TPMECCCurve448:
		return true
	}
	return false
}

func set64(s []uint64, i int, on bool) {
	if i < 0 || i >= 64*len(s) {
		return
	}
	if on {
		s[i/64] |= 1 << (i % 64)
	} else {
		s[i/64] &^= 1 << (i % 64)
	}
}

func set8(s *uint8, bit uint8, on bool) {
	if on {
		*s |= bit
	} else {
		*s &^= bit
	}
}

// HasAlg reports whether the TPM offers an algorithm.
func (p *Profile) HasAlg(a TPMAlgID) bool {
	if p == nil {
		return knownAlg(a)
	}
	return a < 256 && p.algs[a/64]>>(a%64)&1 != 0
}

// SetAlg adds or takes away an algorithm that this package knows.
func (p *Profile) SetAlg(a TPMAlgID, on bool) {
	if knownAlg(a) {
		set64(p.algs[:], int(a), on)
	}
}

// HasCurve reports whether the TPM offers a curve.
func (p *Profile) HasCurve(c TPMECCCurve) bool {
	if p == nil {
		return knownCurve(c)
	}
	return c < 128 && p.curves[c/64]>>(c%64)&1 != 0
}

// SetCurve adds or takes away a curve that this package knows.
func (p *Profile) SetCurve(c TPMECCCurve, on bool) {
	if knownCurve(c) {
		set64(p.curves[:], int(c), on)
	}
}

// RSABits reports whether the TPM offers RSA keys of n bits.
func (p *Profile) RSABits(n int) bool {
	bit := bitOf(rsaSizes[:], n)
	if p == nil {
		return bit != 0
	}
	return p.rsa&bit != 0
}

// SetRSABits adds or takes away an RSA key size: 1024, 2048, 3072 or 4096.
func (p *Profile) SetRSABits(n int, on bool) { set8(&p.rsa, bitOf(rsaSizes[:], n), on) }

// mlSets returns the parameter sets of an algorithm, and those it can have at
// all.
func (p *Profile) mlSets(a TPMAlgID) (has *uint8, all uint8) {
	switch a {
	case TPMAlgMLKEM:
		return &p.mlkem, 7
	case TPMAlgMLDSA, TPMAlgHashMLDSA:
		return &p.mldsa, 7
	}
	return nil, 0
}

// MLSet reports whether the TPM offers a parameter set of TPM_ALG_MLKEM or
// TPM_ALG_MLDSA; TPM_ALG_HASH_MLDSA has those of the latter.
func (p *Profile) MLSet(a TPMAlgID, set uint16) bool {
	if set < 1 || set > 3 {
		return false
	}
	if p == nil {
		return true
	}
	has, _ := p.mlSets(a)
	return has != nil && *has>>(set-1)&1 != 0
}

// SetMLSet adds or takes away a parameter set of TPM_ALG_MLKEM or TPM_ALG_MLDSA.
func (p *Profile) SetMLSet(a TPMAlgID, set uint16, on bool) {
	if has, all := p.mlSets(a); has != nil && set >= 1 {
		set8(has, 1<<(set-1)&all, on)
	}
}

// symBits returns the key sizes of a block cipher, and the sizes that it can
// have at all.
func (p *Profile) symBits(a TPMAlgID) (has *uint8, all uint8) {
	switch a {
	case TPMAlgAES:
		return &p.aes, 7
	case TPMAlgCamellia:
		return &p.camellia, 7
	case TPMAlgSM4:
		return &p.sm4, 1
	case TPMAlgTDES:
		return &p.tdes, 3
	}
	return nil, 0
}

// SymBits reports whether the TPM offers keys of n bits for a block cipher.
func (p *Profile) SymBits(a TPMAlgID, n int) bool {
	bit := bitOf(symSizes[:], n)
	if p == nil {
		var all Profile
		_, sizes := all.symBits(a)
		return sizes&bit != 0
	}
	has, _ := p.symBits(a)
	return has != nil && *has&bit != 0
}

// SetSymBits adds or takes away a key size of a block cipher: 128, 192 or 256.
func (p *Profile) SetSymBits(a TPMAlgID, n int, on bool) {
	if has, all := p.symBits(a); has != nil {
		set8(has, bitOf(symSizes[:], n)&all, on)
	}
}

// HasCommand reports whether the TPM offers a command.
func (p *Profile) HasCommand(cc TPMCC) bool {
	if cc < TPMCCFirst || cc > TPMCCLast {
		return false
	}
	if p == nil {
		return CommandByCode(cc) != nil
	}
	i := int(cc - TPMCCFirst)
	return p.commands[i/64]>>(i%64)&1 != 0
}

// SetCommand adds or takes away a command of the specification.
func (p *Profile) SetCommand(cc TPMCC, on bool) {
	if CommandByCode(cc) != nil {
		set64(p.commands[:], int(cc-TPMCCFirst), on)
	}
}

// PCRBanks returns the PCR banks in the order in which they are reported. They
// are what the TPM can have; which are allocated is state of the TPM.
func (p *Profile) PCRBanks() []TPMAlgID {
	if p == nil {
		return []TPMAlgID{TPMAlgSHA1, TPMAlgSHA256, TPMAlgSHA384, TPMAlgSHA512}
	}
	n := 0
	for n < len(p.banks) && p.banks[n] != 0 {
		n++
	}
	return append([]TPMAlgID(nil), p.banks[:n]...)
}

// SetPCRBanks sets the PCR banks: at most HashCount hash algorithms.
func (p *Profile) SetPCRBanks(banks ...TPMAlgID) {
	p.banks = [HashCount]TPMAlgID{}
	copy(p.banks[:], banks)
}

// NVIndexSize returns the size in bytes of the largest NV index
// (TPM_PT_NV_INDEX_MAX).
func (p *Profile) NVIndexSize() int {
	switch {
	case p == nil:
		return MaxNVIndexSize
	case p.nvIndex == 0:
		return defaultNVIndexSize
	}
	return int(p.nvIndex)
}

// SetNVIndexSize sets the size in bytes of the largest NV index: 2048 to
// MaxNVIndexSize. It does nothing for another.
func (p *Profile) SetNVIndexSize(n int) {
	if n < defaultNVIndexSize || n > MaxNVIndexSize {
		return
	}
	if p.nvIndex = uint16(n); n == defaultNVIndexSize {
		p.nvIndex = 0
	}
}

// The version of a Profile's stored form: a byte of version, the bit sets in the
// order of the fields, then the banks. Version 2 has the size of NV indices
// besides, version 3 that and the parameter sets of ML-KEM and ML-DSA; each is
// written only for what the one before cannot say.
const (
	profileVersion1 = 1
	profileVersion2 = 2
	profileVersion3 = 3
)

// errProfile is returned for a stored Profile that is not understood.
var errProfile = errors.New("tcg: stored profile is of unknown version or not well formed")

// Marshal appends the stored form of p.
func (p *Profile) Marshal(w *Writer) {
	version := uint8(profileVersion1)
	if p.nvIndex != 0 {
		version = profileVersion2
	}
	if p.mlkem|p.mldsa != 0 {
		version = profileVersion3
	}
	w.Uint8(version)
	for _, v := range p.algs {
		w.Uint64(v)
	}
	for _, v := range p.curves {
		w.Uint64(v)
	}
	for _, v := range p.commands {
		w.Uint64(v)
	}
	for _, v := range [...]uint8{p.rsa, p.aes, p.camellia, p.sm4, p.tdes} {
		w.Uint8(v)
	}
	for _, v := range p.banks {
		w.Uint16(uint16(v))
	}
	if version >= profileVersion2 {
		w.Uint16(p.nvIndex)
	}
	if version == profileVersion3 {
		w.Uint8(p.mlkem)
		w.Uint8(p.mldsa)
	}
}

// Unmarshal reads the stored form of a Profile. Anything that Marshal would
// not write, such as an algorithm that this package does not know, is an
// error: a TPM must not come up with less than it was made with.
func (p *Profile) Unmarshal(r *Reader) error {
	version := r.Uint8()
	if version < profileVersion1 || version > profileVersion3 {
		r.Fail(TPMRCValue)
		return errProfile
	}
	var q Profile
	for i := range q.algs {
		q.algs[i] = r.Uint64()
	}
	for i := range q.curves {
		q.curves[i] = r.Uint64()
	}
	for i := range q.commands {
		q.commands[i] = r.Uint64()
	}
	for _, f := range [...]*uint8{&q.rsa, &q.aes, &q.camellia, &q.sm4, &q.tdes} {
		*f = r.Uint8()
	}
	for i := range q.banks {
		q.banks[i] = TPMAlgID(r.Uint16())
	}
	if version >= profileVersion2 {
		if q.nvIndex = r.Uint16(); q.nvIndex == 0 && version == profileVersion2 {
			r.Fail(TPMRCValue)
		}
	}
	if version == profileVersion3 {
		if q.mlkem, q.mldsa = r.Uint8(), r.Uint8(); q.mlkem|q.mldsa == 0 {
			r.Fail(TPMRCValue)
		}
	}
	if r.Err() != TPMRCSuccess || !q.valid() {
		r.Fail(TPMRCValue)
		return errProfile
	}
	*p = q
	return nil
}

// valid reports whether p has nothing that this package does not know.
func (p *Profile) valid() bool {
	for i := 0; i < 64*len(p.algs); i++ {
		if a := TPMAlgID(i); p.HasAlg(a) && !knownAlg(a) {
			return false
		}
	}
	for i := 0; i < 64*len(p.curves); i++ {
		if c := TPMECCCurve(i); p.HasCurve(c) && !knownCurve(c) {
			return false
		}
	}
	for i := 0; i < 64*len(p.commands); i++ {
		if p.commands[i/64]>>(i%64)&1 != 0 && CommandByCode(TPMCCFirst+TPMCC(i)) == nil {
			return false
		}
	}
	ended := false
	for _, b := range p.banks {
		switch {
		case b == 0:
			ended = true
		case ended || b.DigestSize() == 0 || !p.HasAlg(b):
			return false
		}
	}
	if p.nvIndex != 0 && (p.nvIndex <= defaultNVIndexSize || p.nvIndex > MaxNVIndexSize) {
		return false
	}
	return p.rsa < 16 && p.aes < 8 && p.camellia < 8 && p.sm4 < 2 && p.tdes < 4 && p.mlkem < 8 && p.mldsa < 8
}
