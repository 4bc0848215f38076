package site

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Files of a site's folder.
const (
	stateFile  = "state.json"  // what was issued and revoked; written by this package only
	policyFile = "policy.json" // whom to admit; written by the operator
	rootFile   = "site.pem"    // the site's certificate
	keyFile    = "key.pem"     // the site's key, PKCS #8
	tpmKeyFile = "key.tpm"     // or that in a TPM
	vendorsDir = "vendors"     // certificates of makers of TPMs, PEM or DER
	lockFile   = "lock"
)

// A state is all that a site must not forget.
type state struct {
	Version   int               `json:"version"`
	CRLNumber uint64            `json:"crlNumber"` // of the last list
	Issued    []*Issued         `json:"issued"`
	Pending   map[string]*asked `json:"pending"` // by SHA-256 of the request
}

const stateVersion = 1

// An Issued is a host certificate that the site made.
type Issued struct {
	Serial      string     `json:"serial"` // hexadecimal
	Manager     string     `json:"manager"`
	Chip        string     `json:"chip"` // SHA-256 of its endorsement key, a TPMT_PUBLIC
	Until       time.Time  `json:"until"`
	Certificate []byte     `json:"certificate"` // DER
	Revoked     *time.Time `json:"revoked,omitempty"`
}

// An asked is a challenge that waits for its answer.
type asked struct {
	Nonce  []byte    `json:"nonce"`
	Secret []byte    `json:"secret"`
	Until  time.Time `json:"until"`
}

// lock keeps other processes out of the folder until done is called.
func lock(dir string) (done func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

func loadState(dir string) (*state, error) {
	b, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("site: %s is no site: make it with `stubtpm site init`", dir)
	}
	if err != nil {
		return nil, err
	}
	s := new(state)
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("site: %s: %w", stateFile, err)
	}
	if s.Version != stateVersion {
		return nil, fmt.Errorf("site: %s: version %d", stateFile, s.Version)
	}
	if s.Pending == nil {
		s.Pending = map[string]*asked{}
	}
	return s, nil
}

func (s *state) save(dir string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, stateFile), append(b, '\n'))
}

// writeFile replaces a file. After a crash there is the old one or the new one,
// and the new one is on the disk when writeFile returns nil.
func writeFile(name string, b []byte) (err error) {
	dir := filepath.Dir(name)
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err = os.Rename(f.Name(), name); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
