// Package site is the certification authority of a site: it admits hosts by
// credential activation, certifies their managers' keys, and revokes.
//
// A site is a folder. docs/site.md has its files and the policy. What is issued is
// recorded on disk before anybody gets it, so that all of it can be revoked.
package site

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"stubtpm/vtpmmgr/cert"
)

// skew is how far a verifier's clock may be behind the site's.
const skew = 5 * time.Minute

// A Site is an open site. Close lets others open it.
type Site struct {
	dir    string
	now    time.Time
	state  *state
	policy *Policy
	root   *x509.Certificate
	key    crypto.Signer // nil if it was not opened to sign
	done   func()

	// Replace lets Certify admit another chip as a manager that was admitted before.
	Replace bool
}

// Init makes a site in a folder, which must hold none. The key is made by newKey.
func Init(dir, name string, years int, newKey func(dir string) (crypto.Signer, error), now time.Time) error {
	if !isName(name) || years < 1 || years > 50 {
		return fmt.Errorf("site: a name of at most %d printable characters, and 1 to 50 years, are needed, not %q and %d", maxName, name, years)
	}
	if err := os.MkdirAll(filepath.Join(dir, vendorsDir), 0o700); err != nil {
		return err
	}
	done, err := lock(dir)
	if err != nil {
		return err
	}
	defer done()
	// A key without a state is of an Init that did not end: it signed nothing that
	// anybody has.
	if _, err := os.Stat(filepath.Join(dir, stateFile)); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("site: %s is a site already", dir)
	}
	for _, f := range []string{keyFile, tpmKeyFile} {
		if err := os.Remove(filepath.Join(dir, f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	key, err := newKey(dir)
	if err != nil {
		return err
	}
	der, err := cert.Site(key, name, cert.Terms{NotBefore: now.Add(-skew), NotAfter: now.AddDate(years, 0, 0)})
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, rootFile), pemOf(der)); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, policyFile)); errors.Is(err, fs.ErrNotExist) {
		b, err := json.MarshalIndent(defaultPolicy(), "", "  ")
		if err != nil {
			return err
		}
		if err := writeFile(filepath.Join(dir, policyFile), append(b, '\n')); err != nil {
			return err
		}
	}
	return (&state{Version: stateVersion}).save(dir)
}

// maxName is the number of characters that a commonName may have (X.520, ub-common-name).
const maxName = 64

func isName(s string) bool {
	return s != "" && utf8.ValidString(s) && utf8.RuneCountInString(s) <= maxName && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// checkRoot returns why no host certificate below the site's, and no revocation list of it,
// would be accepted.
func checkRoot(c *x509.Certificate, now time.Time) error {
	switch {
	case !c.IsCA || c.KeyUsage&x509.KeyUsageCertSign == 0 || c.KeyUsage&x509.KeyUsageCRLSign == 0:
		return fmt.Errorf("site: %s is not that of a CA which signs certificates and revocation lists", rootFile)
	case c.MaxPathLen == 0 && c.MaxPathLenZero:
		return fmt.Errorf("site: %s has path length 0, and hosts are CAs below it: 1 is needed", rootFile)
	case now.Before(c.NotBefore) || now.After(c.NotAfter):
		return fmt.Errorf("site: %s is valid from %s to %s", rootFile, c.NotBefore.UTC().Format(time.DateOnly), c.NotAfter.UTC().Format(time.DateOnly))
	}
	return nil
}

// Open opens a site. With a nil loadKey it can be read only.
func Open(dir string, loadKey func(dir string) (crypto.Signer, error), now time.Time) (s *Site, err error) {
	if _, err := loadState(dir); err != nil {
		return nil, err // makes no file in a folder that is no site
	}
	s = &Site{dir: dir, now: now}
	if s.done, err = lock(dir); err != nil {
		return nil, err
	}
	done := s.done // s is nil where there is an error
	defer func() {
		if err != nil {
			done()
		}
	}()
	if s.state, err = loadState(dir); err != nil {
		return nil, err
	}
	if s.policy, err = loadPolicy(dir); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(dir, rootFile))
	if err != nil {
		return nil, err
	}
	if s.root, err = parseOne(b); err != nil {
		return nil, fmt.Errorf("site: %s: %w", rootFile, err)
	}
	if loadKey == nil {
		return s, nil
	}
	if err := checkRoot(s.root, now); err != nil {
		return nil, err
	}
	if s.key, err = loadKey(dir); err != nil {
		return nil, err
	}
	if !bytes.Equal(x509Key(s.key.Public()), s.root.RawSubjectPublicKeyInfo) {
		return nil, fmt.Errorf("site: the key is not that of %s", rootFile)
	}
	return s, nil
}

// Close lets others open the site.
func (s *Site) Close() { s.done() }

func pemOf(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func (s *Site) review(request, ekCertificate []byte) (*admission, error) {
	roots, err := vendorRoots(s.dir)
	if err != nil {
		return nil, err
	}
	v := &reviewer{policy: s.policy, check: func(der, chain, public []byte) error {
		_, err := checkEK(der, chain, public, roots, s.now)
		return err
	}}
	return v.review(request, ekCertificate)
}

func idOf(request []byte) string {
	h := sha256.Sum256(request)
	return hex.EncodeToString(h[:])
}

// Challenge answers a request, in its wire form, with a challenge in its own. A
// challenge that waits for the same request is void. An EK certificate in DER
// takes the place of the request's.
func (s *Site) Challenge(request, ekCertificate []byte) ([]byte, error) {
	a, err := s.review(request, ekCertificate)
	if err != nil {
		return nil, err
	}
	c, w, err := a.challenge(s.now)
	if err != nil {
		return nil, err
	}
	b, err := c.Marshal()
	if err != nil {
		return nil, err
	}
	for id, p := range s.state.Pending {
		if s.now.After(p.Until) {
			delete(s.state.Pending, id)
		}
	}
	s.state.Pending[idOf(request)] = w
	return b, s.state.save(s.dir)
}

// Certify returns the host certificate, DER, for a request that was challenged and
// the answer to that. A challenge is good for one certificate. Earlier certificates of that
// manager for other keys are revoked: whoever has new keys cannot revoke what the old ones
// certified. If they are of another chip, it is an error unless Replace is set.
func (s *Site) Certify(request, answer, ekCertificate []byte) ([]byte, error) {
	w := s.state.Pending[idOf(request)]
	if w == nil {
		return nil, fmt.Errorf("%w: no challenge for this request waits for an answer", ErrRefused)
	}
	a, err := s.review(request, ekCertificate)
	if err != nil {
		return nil, err
	}
	if err := a.checkAnswer(request, answer, w, s.now); err != nil {
		return nil, err
	}
	earlier, err := s.earlier(a)
	if err != nil {
		return nil, err
	}
	until := s.now.AddDate(0, s.policy.Months, 0)
	if until.After(s.root.NotAfter) {
		until = s.root.NotAfter
	}
	issuer := &cert.Issuer{Certificate: s.root, Key: s.key}
	der, err := issuer.Host(a.certifier, a.claims, cert.Terms{NotBefore: s.now.Add(-skew), NotAfter: until, CRL: s.policy.CRL})
	if err != nil {
		return nil, err
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	delete(s.state.Pending, idOf(request))
	for _, i := range earlier {
		i.Revoked = &s.now
	}
	s.state.Issued = append(s.state.Issued, &Issued{Serial: fmt.Sprintf("%x", c.SerialNumber), Manager: hex.EncodeToString(a.claims.Manager[:]),
		Chip: a.chip(), Until: c.NotAfter, Certificate: der})
	if err := s.state.save(s.dir); err != nil {
		return nil, err
	}
	return der, nil
}

// earlier returns the certificates of a manager for other keys that are not revoked.
func (s *Site) earlier(a *admission) (all []*Issued, err error) {
	manager, own := hex.EncodeToString(a.claims.Manager[:]), x509Key(a.certifier)
	for _, i := range s.state.Issued {
		if i.Manager != manager || i.Revoked != nil {
			continue
		}
		c, err := x509.ParseCertificate(i.Certificate)
		if err != nil {
			return nil, fmt.Errorf("site: %s: serial number %s: %w", stateFile, i.Serial, err)
		}
		if bytes.Equal(c.RawSubjectPublicKeyInfo, own) {
			continue
		}
		if i.Chip != a.chip() && !s.Replace {
			return nil, fmt.Errorf("%w: manager %s was admitted with another chip (serial %s); if its host was replaced, use --replace, which revokes that certificate", ErrRefused, manager, i.Serial)
		}
		all = append(all, i)
	}
	return all, nil
}

// Revoke revokes the certificate with a serial number, or all of a manager, both in
// hexadecimal. It returns how many it revoked, which were not before.
func (s *Site) Revoke(which string) (int, error) {
	n, known := 0, false
	for _, i := range s.state.Issued {
		if i.Serial != which && i.Manager != which {
			continue
		}
		known = true
		if i.Revoked == nil {
			now := s.now
			i.Revoked, n = &now, n+1
		}
	}
	if !known {
		return 0, fmt.Errorf("site: no certificate has the serial number, or is of the manager, %q", which)
	}
	return n, s.state.save(s.dir)
}

// CRL returns the site's revocation list, DER. A certificate stays on it after its
// end, too.
func (s *Site) CRL() ([]byte, error) {
	var revoked []cert.Revocation
	for _, i := range s.state.Issued {
		if i.Revoked == nil {
			continue
		}
		serial, ok := new(big.Int).SetString(i.Serial, 16)
		if !ok {
			return nil, fmt.Errorf("site: %s: serial number %q", stateFile, i.Serial)
		}
		revoked = append(revoked, cert.Revocation{Serial: serial, Time: *i.Revoked})
	}
	s.state.CRLNumber++
	if err := s.state.save(s.dir); err != nil {
		return nil, err
	}
	issuer := &cert.Issuer{Certificate: s.root, Key: s.key}
	return issuer.CRL(s.state.CRLNumber, revoked, cert.Terms{NotBefore: s.now.Add(-skew), NotAfter: s.now.AddDate(0, 0, s.policy.CRLDays)})
}

// Issued returns the certificates that the site made, in their order.
func (s *Site) Issued() []*Issued { return s.state.Issued }
