package site

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"stubtpm/tools/strictjson"
	"stubtpm/vtpmmgr/identity"
)

// A Policy says whom a site admits. Hashes are in lower-case hexadecimal.
type Policy struct {
	// Months is for how long a host certificate is valid.
	Months int `json:"months"`

	// ManagerImages are the SHA-256 hashes of the managers' images that are
	// admitted, and MinVersion is their lowest security version. Without any
	// image no host is admitted; "any" takes all.
	ManagerImages []string `json:"managerImages"`
	MinVersion    uint32   `json:"minVersion"`

	// PCRs are those that the policy of a host's keys must name, and the SHA-256
	// values that each may have; an empty list takes all values.
	PCRs map[string][]string `json:"pcrs"`

	// CRL is the URL at which the site's revocation list will be, or empty. A
	// list is valid for CRLDays.
	CRL     string `json:"crl"`
	CRLDays int    `json:"crlDays"`
}

// anyImage, in place of a hash, takes all images.
const anyImage = "any"

func defaultPolicy() *Policy {
	return &Policy{Months: 3, ManagerImages: []string{}, PCRs: map[string][]string{}, CRLDays: 30}
}

func loadPolicy(dir string) (*Policy, error) {
	b, err := os.ReadFile(filepath.Join(dir, policyFile))
	if err != nil {
		return nil, err
	}
	return ParsePolicy(b)
}

// ParsePolicy reads a policy in JSON. An unknown field, which may be a misspelt
// demand, is an error, and so is a name that is there twice.
func ParsePolicy(b []byte) (*Policy, error) {
	p := new(Policy)
	if err := strictjson.Decode(b, p); err != nil {
		return nil, fmt.Errorf("site: %s: %w", policyFile, err)
	}
	return p, p.check()
}

func (p *Policy) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("site: %s: %s", policyFile, fmt.Sprintf(format, args...))
	}
	if p.Months < 1 || p.Months > 120 || p.CRLDays < 1 || p.CRLDays > 3650 {
		return bad("months %d (1 to 120), crlDays %d (1 to 3650)", p.Months, p.CRLDays)
	}
	for _, h := range p.ManagerImages {
		if h != anyImage && !isHash(h) {
			return bad("managerImages: %q", h)
		}
	}
	for n, values := range p.PCRs {
		if i, err := strconv.Atoi(n); err != nil || i < 0 || i > 23 || strconv.Itoa(i) != n {
			return bad("PCR %q", n)
		}
		for _, v := range values {
			if !isHash(v) {
				return bad("PCR %s: %q", n, v)
			}
		}
	}
	return nil
}

// isHash reports whether s is a SHA-256 digest in lower-case hexadecimal.
func isHash(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32 && hex.EncodeToString(b) == s
}

// checkManager refuses a manager that the policy does not admit.
func (p *Policy) checkManager(r *identity.Request) error {
	image := hex.EncodeToString(r.Image[:])
	switch {
	case !slices.Contains(p.ManagerImages, image) && !slices.Contains(p.ManagerImages, anyImage):
		return fmt.Errorf("%w: managerImages in %s does not have %s", ErrRefused, policyFile, image)
	case r.SecurityVersion < p.MinVersion:
		return fmt.Errorf("%w: the manager has security version %d, the policy wants %d", ErrRefused, r.SecurityVersion, p.MinVersion)
	}
	return p.checkPCRs(&r.Policy)
}

// checkPCRs refuses keys that obey other PCRs than the policy wants.
func (p *Policy) checkPCRs(keys *identity.Policy) error {
	for n, values := range p.PCRs {
		i := slices.IndexFunc(keys.PCRs, func(k uint) bool { return strconv.Itoa(int(k)) == n })
		if i < 0 {
			return fmt.Errorf("%w: the keys' policy does not have PCR %s", ErrRefused, n)
		}
		if v := hex.EncodeToString(keys.Values[32*i : 32*i+32]); len(values) > 0 && !slices.Contains(values, v) {
			return fmt.Errorf("%w: PCR %s is %s", ErrRefused, n, v)
		}
	}
	return nil
}
