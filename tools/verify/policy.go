package verify

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"stubtpm/tools/strictjson"
	"stubtpm/vtpmmgr/evidence"
)

// A Policy is what the verifier's owner asks of evidence. An empty list asks
// nothing. Hashes and ids are in lower-case hexadecimal.
type Policy struct {
	Roots        []string `json:"roots"` // PEM files of sites, relative to the policy's folder
	AllowNoSite  bool     `json:"allowNoSite"`
	HardwareOnly bool     `json:"hardwareOnly"` // refuse every vTPM
	Vendors      []string `json:"vendors"`      // PEM files of makers of TPMs; of VerifyEK only

	CRLs        []string `json:"crls"` // DER files of revocation lists, relative to the policy's folder
	RequireCRLs bool     `json:"requireCRLs"`

	Managers          []string `json:"managers"`
	ManagerImages     []string `json:"managerImages"`
	ManagerMinVersion uint32   `json:"managerMinVersion"`

	UUIDs      []string `json:"uuids"`
	Groups     []uint32 `json:"groups"`
	Images     []string `json:"images"`
	MeasuredBy []string `json:"measuredBy"` // "host", "administrator", "nobody"
	MinVersion uint32   `json:"minVersion"`

	MaxLedgerEpoch  *uint32  `json:"maxLedgerEpoch"`
	MaxEpoch        *uint32  `json:"maxEpoch"`
	AllowMigratable bool     `json:"allowMigratable"`
	Guards          []string `json:"guards"` // "strict", "bounded", "budget"
	RequireXSM      bool     `json:"requireXSM"`
	RequireStart    bool     `json:"requireStart"`

	// Of the guest's start; any of them asks that it was measured.
	RequireMeasuredStart bool     `json:"requireMeasuredStart"`
	StartImages          []string `json:"startImages"`     // SHA-256 of kernels or loaders as loaded
	StartReportedBy      []string `json:"startReportedBy"` // "host", "administrator"
	StartMeasurers       []string `json:"startMeasurers"`  // names, as "stubtpm-host 1"

	MaxAge string `json:"maxAge"` // as "5m"; for any age, leave it out

	// By PCR, as "sha256:7", the values of which it must have one.
	HardwarePCRs map[string][]string `json:"hardwarePCRs"`
	GuestPCRs    map[string][]string `json:"guestPCRs"`

	RequireHardwareLog bool `json:"requireHardwareLog"`
	RequireGuestLog    bool `json:"requireGuestLog"`

	// By number of PCR, 0 to 9, the SHA-256 digests that events in it may have.
	GuestEvents map[string][]string `json:"guestEvents"`

	roots   []*x509.Certificate
	vendors []*x509.Certificate
	crls    []*x509.RevocationList
	maxAge  time.Duration
}

// LoadPolicy reads a policy and the files that it names.
func LoadPolicy(file string) (*Policy, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	p, err := ParsePolicy(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	dir := filepath.Dir(file)
	for _, name := range p.Roots {
		b, err := os.ReadFile(join(dir, name))
		if err != nil {
			return nil, err
		}
		if err := p.AddRoots(b); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, name := range p.Vendors {
		b, err := os.ReadFile(join(dir, name))
		if err != nil {
			return nil, err
		}
		if p.vendors, err = appendPEM(p.vendors, b); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, name := range p.CRLs {
		b, err := os.ReadFile(join(dir, name))
		if err != nil {
			return nil, err
		}
		l, err := x509.ParseRevocationList(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		p.crls = append(p.crls, l)
	}
	return p, nil
}

func join(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

// ParsePolicy reads a policy in JSON. An unknown field, which may be a misspelt
// demand, is an error, and so is a name that is there twice and a value that nothing can
// have.
func ParsePolicy(b []byte) (*Policy, error) {
	p := new(Policy)
	if err := strictjson.Decode(b, p); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	return p, p.check()
}

// AddRoots adds the certificates of a PEM file.
func (p *Policy) AddRoots(pemBytes []byte) (err error) {
	p.roots, err = appendPEM(p.roots, pemBytes)
	return err
}

// appendPEM appends the certificates of a PEM file, which must have at least one.
func appendPEM(list []*x509.Certificate, b []byte) ([]*x509.Certificate, error) {
	block, _ := pem.Decode(b)
	if block == nil {
		return list, errors.New("no certificate in PEM")
	}
	certs, err := ParseCertificates(b)
	return append(list, certs...), err
}

func (p *Policy) check() error {
	for _, l := range []struct {
		name string
		list []string
		size int
	}{{"managers", p.Managers, 16}, {"managerImages", p.ManagerImages, 32}, {"uuids", p.UUIDs, 16}, {"images", p.Images, 32}, {"startImages", p.StartImages, 32}} {
		for _, s := range l.list {
			if err := checkHex(s, l.size); err != nil {
				return fmt.Errorf("policy: %s: %w", l.name, err)
			}
		}
	}
	for _, g := range p.Guards {
		if g != "strict" && g != "bounded" && g != "budget" {
			return fmt.Errorf("policy: guards: %q", g)
		}
	}
	for _, m := range p.MeasuredBy {
		if m != "host" && m != "administrator" && m != "nobody" {
			return fmt.Errorf("policy: measuredBy: %q", m)
		}
	}
	for _, m := range p.StartReportedBy {
		if m != "host" && m != "administrator" {
			return fmt.Errorf("policy: startReportedBy: %q", m)
		}
	}
	for _, m := range p.StartMeasurers {
		if (&evidence.Start{Program: [32]byte{1}, Reporter: evidence.Host, Measurer: m}).Check() != nil {
			return fmt.Errorf("policy: startMeasurers: %q", m)
		}
	}
	if p.MaxAge != "" {
		var err error
		if p.maxAge, err = time.ParseDuration(p.MaxAge); err != nil || p.maxAge <= 0 {
			return fmt.Errorf("policy: maxAge: %q", p.MaxAge)
		}
	}
	return p.checkPCRs()
}

var pcrName = regexp.MustCompile(`^(sha256|sha384|sha512):([0-9]|1[0-9]|2[0-3])$`)

func (p *Policy) checkPCRs() error {
	size := map[string]int{"sha256": 32, "sha384": 48, "sha512": 64}
	for _, pcrs := range []map[string][]string{p.HardwarePCRs, p.GuestPCRs} {
		for name, values := range pcrs {
			m := pcrName.FindStringSubmatch(name)
			if m == nil || len(values) == 0 {
				return fmt.Errorf("policy: PCR %q, %d values", name, len(values))
			}
			for _, v := range values {
				if err := checkHex(v, size[m[1]]); err != nil {
					return fmt.Errorf("policy: PCR %s: %w", name, err)
				}
			}
		}
	}
	for pcr, values := range p.GuestEvents {
		if n, err := strconv.Atoi(pcr); err != nil || n < 0 || n > lastLogged || pcrNumber(n) != pcr {
			return fmt.Errorf("policy: guestEvents: PCR %q", pcr)
		}
		for _, v := range values {
			if err := checkHex(v, 32); err != nil {
				return fmt.Errorf("policy: guestEvents: %w", err)
			}
		}
	}
	return nil
}

// checkHex checks that s is size bytes in lower-case hexadecimal: anything else
// would never be found, or match less than its author meant.
func checkHex(s string, size int) error {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != size || hex.EncodeToString(b) != s {
		return fmt.Errorf("%q is not %d bytes in lower-case hexadecimal", s, size)
	}
	return nil
}

// asksStart reports whether the policy asks that the guest's start was measured.
func (p *Policy) asksStart() bool {
	return p.RequireMeasuredStart || len(p.StartImages) > 0 || len(p.StartReportedBy) > 0 || len(p.StartMeasurers) > 0
}

func pcrNumber(n int) string { return strconv.Itoa(n) }
