package property

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// An Approval says that a policy of PCR values is as good as any other that the
// key approves under the reference.
type Approval struct {
	key       *Key
	ref       []byte
	pcrs      []PCR
	approved  []byte // digest of the policy
	signature []byte // TPMT_SIGNATURE
}

// Approve signs PCR values.
func Approve(key crypto.Signer, ref []byte, pcrs []PCR) (*Approval, error) {
	k, err := NewKey(key.Public())
	if err != nil {
		return nil, err
	}
	if err := errors.Join(checkRef(ref), sortPCRs(pcrs)); err != nil {
		return nil, err
	}
	a := &Approval{key: k, ref: ref, pcrs: pcrs}
	if a.approved, err = pcrPolicy(pcrs); err != nil {
		return nil, err
	}
	a.signature, err = sign(key, a.message())
	return a, err
}

// message is what is signed: TPM2_PolicyAuthorize hashes it to aHash.
func (a *Approval) message() []byte { return slices.Concat(a.approved, a.ref) }

// Files of an approval, each as a program of tpm2-tools takes it.
const (
	keyFile       = "key.pub"   // TPM2B_PUBLIC: tpm2_loadexternal -u
	nameFile      = "key.name"  // its Name: tpm2_policyauthorize -n
	refFile       = "ref"       // policyRef: tpm2_policyauthorize -q
	pcrsFile      = "pcrs"      // selection: tpm2_policypcr -l
	valuesFile    = "values"    // of the PCRs: tpm2_policypcr -f
	approvedFile  = "approved"  // approvedPolicy: tpm2_policyauthorize -i
	messageFile   = "message"   // tpm2_verifysignature -m
	signatureFile = "signature" // TPMT_SIGNATURE: tpm2_verifysignature -s
)

// maxFile is more than any file of an approval has.
const maxFile = 8192

func (a *Approval) files() map[string][]byte {
	_, text := selection(a.pcrs)
	return map[string][]byte{keyFile: a.key.area(), nameFile: a.key.name, refFile: a.ref, pcrsFile: []byte(text), valuesFile: values(a.pcrs),
		approvedFile: a.approved, messageFile: a.message(), signatureFile: a.signature}
}

// Write makes the folder dir with the files of the approval. It is there whole or
// not at all, and replaces none.
func (a *Approval) Write(dir string) (err error) {
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("property: %s is there already", dir)
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), ".approval-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(temp)
		}
	}()
	for name, b := range a.files() {
		if err := os.WriteFile(filepath.Join(temp, name), b, 0o644); err != nil {
			return err
		}
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return err
	}
	return os.Rename(temp, dir)
}

// Read reads the folder of an approval and verifies that its files are those of one
// approval, which its key signed. Whose key that is, the caller must know.
func Read(dir string) (*Approval, error) {
	files := map[string][]byte{}
	for _, name := range []string{keyFile, nameFile, refFile, pcrsFile, valuesFile, approvedFile, messageFile, signatureFile} {
		b, err := readFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		files[name] = b
	}
	return parse(files)
}

// parse is the inverse of files.
func parse(files map[string][]byte) (*Approval, error) {
	a := &Approval{ref: files[refFile], signature: files[signatureFile]}
	if err := checkRef(a.ref); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	var err error
	if a.key, err = parseArea(files[keyFile]); err != nil {
		return nil, err
	}
	if a.pcrs, err = parseSelection(string(files[pcrsFile]), files[valuesFile]); err != nil {
		return nil, err
	}
	if a.approved, err = pcrPolicy(a.pcrs); err != nil {
		return nil, err
	}
	for name, b := range a.files() {
		if !bytes.Equal(b, files[name]) {
			return nil, fmt.Errorf("%w: file %s is not what the others lead to", ErrRefused, name)
		}
	}
	return a, a.key.verify(a.message(), a.signature)
}

// readFile reads a file of an approval.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%w: %s is too large", ErrRefused, name)
	}
	return b, err
}
