package vtpmmgr

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/block"
)

// The root key, under which the ledger is sealed, is itself sealed in the
// hardware TPM: a child of its storage key, under a policy over its PCRs. The
// blob is in the first sectors of the manager's disk.

// Why there is no root key. Each is its own case for an operator.
var (
	ErrUninitialised = errors.New("vtpmmgr: disk has no root key: initialise it by an explicit order")
	ErrInitialised   = errors.New("vtpmmgr: disk has a root key already: will not initialise it again")
	ErrRoot          = errors.New("vtpmmgr: root record is malformed")
	ErrOtherTPM      = errors.New("vtpmmgr: the hardware TPM is another one, or was cleared")
	ErrPCR           = errors.New("vtpmmgr: the hardware TPM's PCRs are not those of the policy")
)

// rootArea is how many bytes at the start of the disk belong to the root
// record; the ledger's slots come behind it.
const rootArea = 64 << 10

const (
	rootMagic   = "stubMGR\x00"
	rootVersion = 1
	rootSize    = 4096
)

// A root is the record of the sealed root key.
type root struct {
	pcrs    []uint   // SHA-256 PCRs of the policy
	srkName []byte   // of the storage key: tells another TPM
	public  []byte   // TPM2B_PUBLIC of the sealed object, its content
	private []byte   // TPM2B_PRIVATE, its content
	id      [16]byte // of this manager: its ledger's image carries it
}

func (r *root) encode() []byte {
	b := []byte(rootMagic)
	b = binary.BigEndian.AppendUint16(b, rootVersion)
	b = append(b, r.id[:]...)
	mask := uint32(0)
	for _, n := range r.pcrs {
		mask |= 1 << n
	}
	b = binary.BigEndian.AppendUint32(b, mask)
	for _, f := range [][]byte{r.srkName, r.public, r.private} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(f)))
		b = append(b, f...)
	}
	return append(b, make([]byte, rootSize-len(b))...)
}

func decodeRoot(b []byte) (r root, err error) {
	if len(b) < rootSize {
		return r, ErrRoot
	}
	if bytes.Equal(b[:rootSize], make([]byte, rootSize)) {
		return r, ErrUninitialised
	}
	if string(b[:8]) != rootMagic {
		return r, ErrRoot
	}
	if v := binary.BigEndian.Uint16(b[8:]); v != rootVersion {
		return r, fmt.Errorf("%w: version %d, known is %d", ErrRoot, v, rootVersion)
	}
	copy(r.id[:], b[10:])
	mask := binary.BigEndian.Uint32(b[26:])
	for n := range uint(24) {
		if mask&(1<<n) != 0 {
			r.pcrs = append(r.pcrs, n)
		}
	}
	b = b[30:]
	for _, f := range []*[]byte{&r.srkName, &r.public, &r.private} {
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
	return r, nil
}

func readRoot(d block.Device) (root, error) {
	b := make([]byte, rootSize)
	if _, err := d.ReadAt(b, 0); err != nil {
		return root{}, fmt.Errorf("vtpmmgr: %w", err)
	}
	return decodeRoot(b)
}

func writeRoot(d block.Device, r *root) error {
	if _, err := d.WriteAt(r.encode(), 0); err != nil {
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
	return srk, func() { flush(tpm, srk.ObjectHandle) }, nil
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
	return key.OutData.Buffer, nil
}
