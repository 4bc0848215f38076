package tcg

// A TPMANV is the attributes of an NV index.
type TPMANV uint32

// Part 2 v1.85, Table 249 (TPMA_NV).
const (
	TPMANVPPWrite        TPMANV = 1 << 0
	TPMANVOwnerWrite     TPMANV = 1 << 1
	TPMANVAuthWrite      TPMANV = 1 << 2
	TPMANVPolicyWrite    TPMANV = 1 << 3
	TPMANVPolicyDelete   TPMANV = 1 << 10
	TPMANVWriteLocked    TPMANV = 1 << 11
	TPMANVWriteAll       TPMANV = 1 << 12
	TPMANVWriteDefine    TPMANV = 1 << 13
	TPMANVWriteSTClear   TPMANV = 1 << 14
	TPMANVGlobalLock     TPMANV = 1 << 15
	TPMANVPPRead         TPMANV = 1 << 16
	TPMANVOwnerRead      TPMANV = 1 << 17
	TPMANVAuthRead       TPMANV = 1 << 18
	TPMANVPolicyRead     TPMANV = 1 << 19
	TPMANVNoDA           TPMANV = 1 << 25
	TPMANVOrderly        TPMANV = 1 << 26
	TPMANVClearSTClear   TPMANV = 1 << 27
	TPMANVReadLocked     TPMANV = 1 << 28
	TPMANVWritten        TPMANV = 1 << 29
	TPMANVPlatformCreate TPMANV = 1 << 30
	TPMANVReadSTClear    TPMANV = 1 << 31

	tpmaNVNTShift  = 4
	tpmaNVNTMask   = TPMANV(0xF) << tpmaNVNTShift
	tpmaNVReserved = TPMANV(3)<<8 | TPMANV(0x1F)<<20
)

// A TPMANVExp is the attributes of an external NV index: TPMA_NV in the low 32
// bits, and more above.
type TPMANVExp uint64

// Part 2 v1.85, Table 250 (TPMA_NV_EXP).
const (
	TPMANVExpEncryption   TPMANVExp = 1 << 32
	TPMANVExpIntegrity    TPMANVExp = 1 << 33
	TPMANVExpAntiRollback TPMANVExp = 1 << 34

	tpmaNVExpReserved = ^(TPMANVExp(1)<<35 - 1)
)

// Has reports whether all of bits are set.
func (a TPMANV) Has(bits TPMANV) bool { return a&bits == bits }

// NT returns the kind of the index.
func (a TPMANV) NT() TPMNT { return TPMNT(a & tpmaNVNTMask >> tpmaNVNTShift) }

// WithNT returns a with another kind of index.
func (a TPMANV) WithNT(t TPMNT) TPMANV {
	return a&^tpmaNVNTMask | TPMANV(t)<<tpmaNVNTShift&tpmaNVNTMask
}

// Marshal appends a.
func (a TPMANV) Marshal(w *Writer) { w.Uint32(uint32(a)) }

// Unmarshal reads a. Whether its kind of index exists is left to the command.
func (a *TPMANV) Unmarshal(r *Reader) {
	*a = TPMANV(r.Uint32())
	if *a&tpmaNVReserved != 0 {
		r.Fail(TPMRCReservedBits)
	}
}

// NV returns the part of a that every NV index has.
func (a TPMANVExp) NV() TPMANV { return TPMANV(a) }

// Marshal appends a.
func (a TPMANVExp) Marshal(w *Writer) { w.Uint64(uint64(a)) }

// Unmarshal reads a.
func (a *TPMANVExp) Unmarshal(r *Reader) {
	*a = TPMANVExp(r.Uint64())
	if *a&tpmaNVExpReserved != 0 || a.NV()&tpmaNVReserved != 0 {
		r.Fail(TPMRCReservedBits)
	}
}
