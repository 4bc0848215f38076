package vtpmmgr

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/block"
	"stubtpm/drivers/slot"
)

// The root key, under which the ledger is sealed, is itself sealed in the
// hardware TPM: a child of its storage key, under a policy over its PCRs. The
// blob is in the first sectors of the manager's disk.

// Why there is no root key. Each is its own case for an operator.
var (
	ErrUninitialised = errors.New("vtpmmgr: disk has no root key: initialise it by an explicit order")
	ErrInitialised   = errors.New("vtpmmgr: disk has a root key already: will not initialise it again")
	ErrRoot          = errors.New("vtpmmgr: root record is malformed")
	ErrNotBlank      = errors.New("vtpmmgr: disk is not blank: will not initialise it")
	ErrOtherTPM      = errors.New("vtpmmgr: the hardware TPM is not the one that holds the root key")
	ErrCleared       = errors.New("vtpmmgr: the hardware TPM was cleared: the root key is gone with its storage key")
	ErrPCR           = errors.New("vtpmmgr: the hardware TPM's PCRs are not those of the policy")
)

// rootArea is how many bytes at the start of the disk belong to the root
// record; the ledger's slots come behind it.
const rootArea = 64 << 10

const (
	rootMagic   = "stubMGR\x00"
	rootVersion = 1
	rootSize    = block.SectorSize // one, so that it is written whole or not at all
	rootPCRs    = 24

	// policyPCR says that the policy of the sealed object is PolicyPCR alone.
	// A policy that a signature may update (PolicyOr of PolicyPCR and
	// PolicyAuthorize) is to get the next number.
	policyPCR = 1
)

// A root is the record of the sealed root key.
type root struct {
	pcrs    []uint   // SHA-256 PCRs of the policy
	srkName []byte   // of the storage key: tells a TPM that lost the root key
	ekName  []byte   // of the endorsement key: tells a cleared TPM from another
	public  []byte   // TPM2B_PUBLIC of the sealed object, its content
	private []byte   // TPM2B_PRIVATE, its content
	id      [16]byte // of this manager: its ledger's image carries it
}

// encode writes the record: magic 8, version 2, id 16, policy 1, PCR mask 4,
// four fields with a length of 2 before each, zeros, and in the last 32 bytes
// the SHA-256 hash of all before.
func (r *root) encode() ([]byte, error) {
	b := []byte(rootMagic)
	b = binary.BigEndian.AppendUint16(b, rootVersion)
	b = append(b, r.id[:]...)
	b = append(b, policyPCR)
	mask := uint32(0)
	for _, n := range r.pcrs {
		mask |= 1 << n
	}
	b = binary.BigEndian.AppendUint32(b, mask)
	for _, f := range [][]byte{r.srkName, r.ekName, r.public, r.private} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(f)))
		b = append(b, f...)
	}
	if len(b) > rootSize-sha256.Size {
		return nil, fmt.Errorf("%w: %d bytes do not fit", ErrRoot, len(b))
	}
	b = append(b, make([]byte, rootSize-sha256.Size-len(b))...)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...), nil
}

func decodeRoot(b []byte) (r root, err error) {
	if len(b) < rootSize {
		return r, ErrRoot
	}
	if isZero(b[:rootSize]) {
		return r, ErrUninitialised
	}
	if string(b[:8]) != rootMagic {
		return r, ErrRoot
	}
	if v := binary.BigEndian.Uint16(b[8:]); v != rootVersion {
		return r, fmt.Errorf("%w: version %d, known is %d", ErrRoot, v, rootVersion)
	}
	if sum := sha256.Sum256(b[:rootSize-sha256.Size]); !bytes.Equal(sum[:], b[rootSize-sha256.Size:rootSize]) {
		return r, fmt.Errorf("%w: checksum", ErrRoot)
	}
	copy(r.id[:], b[10:])
	if b[26] != policyPCR {
		return r, fmt.Errorf("%w: policy of kind %d", ErrRoot, b[26])
	}
	mask := binary.BigEndian.Uint32(b[27:])
	if mask>>rootPCRs != 0 {
		return r, ErrRoot
	}
	for n := range uint(rootPCRs) {
		if mask&(1<<n) != 0 {
			r.pcrs = append(r.pcrs, n)
		}
	}
	b = b[31 : rootSize-sha256.Size]
	for _, f := range []*[]byte{&r.srkName, &r.ekName, &r.public, &r.private} {
		if len(b) < 2 {
			return r, ErrRoot
		}
		n := int(binary.BigEndian.Uint16(b))
		if n > len(b)-2 {
			return r, ErrRoot
		}
		*f = bytes.Clone(b[2 : 2+n])
		b = b[2+n:]
	}
	if !isZero(b) {
		return r, ErrRoot
	}
	return r, nil
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// checkBlank returns nil if nothing was ever written where the root record
// goes: file systems, partition tables and images of vTPMs have something
// there. A ledger behind it does not matter: without its key it is noise.
func checkBlank(d block.Device) error {
	b := make([]byte, rootArea)
	if _, err := d.ReadAt(b, 0); err != nil {
		return fmt.Errorf("vtpmmgr: %w", err)
	}
	if isZero(b) {
		return nil
	}
	if _, err := decodeRoot(b); err == nil {
		return ErrInitialised
	}
	return ErrNotBlank
}

func readRoot(d block.Device) (root, error) {
	b := make([]byte, rootSize)
	if _, err := d.ReadAt(b, 0); err != nil {
		return root{}, fmt.Errorf("vtpmmgr: %w", err)
	}
	return decodeRoot(b)
}

func writeRoot(d block.Device, r *root) error {
	b, err := r.encode()
	if err != nil {
		return err
	}
	if _, err := d.WriteAt(b, 0); err != nil {
		return fmt.Errorf("vtpmmgr: %w", err)
	}
	if err := d.Flush(); err != nil {
		return fmt.Errorf("vtpmmgr: %w", err)
	}
	return nil
}

// storageKey makes the hardware TPM's storage key and returns how to flush it.
func storageKey(tpm transport.TPM) (*tpm2.CreatePrimaryResponse, func(), error) {
	srk, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.TPMRHOwner,
		InPublic:      tpm2.New2B(tpm2.ECCSRKTemplate),
	}.Execute(tpm)
	if err != nil {
		return nil, nil, fmt.Errorf("vtpmmgr: storage key of the hardware TPM: %w", err)
	}
	// Secrets are encrypted to OutPublic, and it is the name that is pinned:
	// they have to be of one key, whatever sits on the bus.
	public, err := srk.OutPublic.Contents()
	if err == nil {
		var name *tpm2.TPM2BName
		if name, err = tpm2.ObjectName(public); err == nil && !bytes.Equal(name.Buffer, srk.Name.Buffer) {
			err = errors.New("name is not that of the public area")
		}
	}
	if err != nil {
		flush(tpm, srk.ObjectHandle)
		return nil, nil, fmt.Errorf("vtpmmgr: storage key of the hardware TPM: %w", err)
	}
	return srk, func() { flush(tpm, srk.ObjectHandle) }, nil
}

// endorsementName returns the name of the TPM's endorsement key: it outlives
// TPM2_Clear, the storage key does not.
func endorsementName(tpm transport.TPM) ([]byte, error) {
	ek, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.TPMRHEndorsement,
		InPublic:      tpm2.New2B(tpm2.ECCEKTemplate),
	}.Execute(tpm)
	if err != nil {
		return nil, fmt.Errorf("vtpmmgr: endorsement key of the hardware TPM: %w", err)
	}
	flush(tpm, ek.ObjectHandle)
	return ek.Name.Buffer, nil
}

// randomSession opens a session whose answers are authenticated and encrypted,
// for random bytes: what is on the bus to the TPM must not know them. Each use
// renews its nonces, and only TPM2_FlushContext or a reset of the TPM ends it.
func randomSession(tpm transport.TPM, srkName []byte) (tpm2.Session, func() error, error) {
	srk, done, err := storageKey(tpm)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	if !bytes.Equal(srk.Name.Buffer, srkName) {
		return nil, nil, ErrOtherTPM
	}
	options, err := encrypted(srk, tpm2.AESEncryption(128, tpm2.EncryptOut))
	if err != nil {
		return nil, nil, fmt.Errorf("vtpmmgr: %w", err)
	}
	s, end, err := tpm2.HMACSession(tpm, tpm2.TPMAlgSHA256, 16, options...)
	if err != nil {
		return nil, nil, fmt.Errorf("vtpmmgr: session with the hardware TPM: %w", err)
	}
	return s, end, nil
}

func flush(tpm transport.TPM, h tpm2.TPMHandle) {
	tpm2.FlushContext{FlushHandle: h}.Execute(tpm)
}

// encrypted returns the option that encrypts a session's parameters, with a
// key that only the storage key's TPM knows: the bus to the TPM may be probed.
func encrypted(srk *tpm2.CreatePrimaryResponse, dir tpm2.AuthOption) ([]tpm2.AuthOption, error) {
	public, err := srk.OutPublic.Contents()
	if err != nil {
		return nil, err
	}
	return []tpm2.AuthOption{dir, tpm2.Salted(srk.ObjectHandle, *public)}, nil
}

func selection(pcrs []uint) tpm2.TPMLPCRSelection {
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{
		Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(pcrs...),
	}}}
}

// policy runs the policy in a session: that the PCRs are as they were.
func policy(pcrs []uint) func(tpm transport.TPM, s tpm2.TPMISHPolicy, _ tpm2.TPM2BNonce) error {
	return func(tpm transport.TPM, s tpm2.TPMISHPolicy, _ tpm2.TPM2BNonce) error {
		_, err := tpm2.PolicyPCR{PolicySession: s, Pcrs: selection(pcrs)}.Execute(tpm)
		return err
	}
}

// seal seals a key in the hardware TPM, to its PCRs as they are now.
func seal(tpm transport.TPM, key []byte, pcrs []uint) (root, error) {
	r := root{pcrs: pcrs}
	for _, n := range pcrs {
		if n >= rootPCRs {
			return r, fmt.Errorf("vtpmmgr: PCR %d: there are %d", n, rootPCRs)
		}
	}
	var err error
	if r.ekName, err = endorsementName(tpm); err != nil {
		return r, err
	}
	srk, done, err := storageKey(tpm)
	if err != nil {
		return r, err
	}
	defer done()
	r.srkName = srk.Name.Buffer

	trial, closeTrial, err := tpm2.PolicySession(tpm, tpm2.TPMAlgSHA256, 16, tpm2.Trial())
	if err != nil {
		return r, fmt.Errorf("vtpmmgr: seal: %w", err)
	}
	defer closeTrial()
	if err := policy(pcrs)(tpm, trial.Handle(), tpm2.TPM2BNonce{}); err != nil {
		return r, fmt.Errorf("vtpmmgr: seal: %w", err)
	}
	digest, err := tpm2.PolicyGetDigest{PolicySession: trial.Handle()}.Execute(tpm)
	if err != nil {
		return r, fmt.Errorf("vtpmmgr: seal: %w", err)
	}
	options, err := encrypted(srk, tpm2.AESEncryption(128, tpm2.EncryptIn))
	if err != nil {
		return r, fmt.Errorf("vtpmmgr: seal: %w", err)
	}
	sealed, err := tpm2.Create{
		ParentHandle: tpm2.AuthHandle{Handle: srk.ObjectHandle, Name: srk.Name,
			Auth: tpm2.HMAC(tpm2.TPMAlgSHA256, 16, options...)},
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
			Data: tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: key}),
		}},
		InPublic: tpm2.New2B(tpm2.TPMTPublic{
			Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
			// No userWithAuth: the policy is the only way.
			ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, NoDA: true},
			AuthPolicy:       digest.PolicyDigest,
		}),
	}.Execute(tpm)
	if err != nil {
		return r, fmt.Errorf("vtpmmgr: seal: %w", err)
	}
	r.public, r.private = sealed.OutPublic.Bytes(), sealed.OutPrivate.Buffer
	return r, nil
}

// unseal recovers the key. A TPM that is not the one is ErrOtherTPM, PCRs that
// are not as they were ErrPCR.
func unseal(tpm transport.TPM, r *root) ([]byte, error) {
	srk, done, err := storageKey(tpm)
	if err != nil {
		return nil, err
	}
	defer done()
	if !bytes.Equal(srk.Name.Buffer, r.srkName) {
		if ek, err := endorsementName(tpm); err == nil && bytes.Equal(ek, r.ekName) {
			return nil, ErrCleared
		}
		return nil, ErrOtherTPM
	}
	sealed, err := tpm2.Load{
		ParentHandle: tpm2.NamedHandle{Handle: srk.ObjectHandle, Name: srk.Name},
		InPrivate:    tpm2.TPM2BPrivate{Buffer: r.private},
		InPublic:     tpm2.BytesAs2B[tpm2.TPMTPublic](r.public),
	}.Execute(tpm)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRoot, err)
	}
	defer flush(tpm, sealed.ObjectHandle)
	options, err := encrypted(srk, tpm2.AESEncryption(128, tpm2.EncryptOut))
	if err != nil {
		return nil, fmt.Errorf("vtpmmgr: unseal: %w", err)
	}
	key, err := tpm2.Unseal{ItemHandle: tpm2.AuthHandle{
		Handle: sealed.ObjectHandle, Name: sealed.Name,
		Auth: tpm2.Policy(tpm2.TPMAlgSHA256, 16, policy(r.pcrs), options...),
	}}.Execute(tpm)
	if errors.Is(err, tpm2.TPMRCPolicyFail) {
		return nil, ErrPCR
	}
	if err != nil {
		return nil, fmt.Errorf("vtpmmgr: unseal: %w", err)
	}
	if len(key.OutData.Buffer) != slot.KeySize {
		return nil, fmt.Errorf("%w: key of %d bytes", ErrRoot, len(key.OutData.Buffer))
	}
	return key.OutData.Buffer, nil
}
