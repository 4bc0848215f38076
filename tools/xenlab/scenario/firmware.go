package scenario

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"stubtpm/tools/xenlab/lab"
)

// A Host is a machine that is booted several times. Its hardware TPM and its disks keep
// their contents, and its firmware is updated.
type Host struct {
	r      Report
	dir    string // for files that are kept from boot to boot
	images Images
	boot   func(opt lab.Options) (*lab.Machine, error)

	s *Stack
	// pcrs are the values of the manager's PCRs by firmware, as on another machine of
	// the same model.
	pcrs map[string][]string
}

// carriedFiles are the files of dom0 that are kept from boot to boot.
var carriedFiles = [...]string{adminKey, hostKey, operatorKey}

const operatorKey = "/operator.key"

// sealedPCRs are the PCRs to which the manager's root key is sealed by default.
var sealedPCRs = [...]int{0, 1, 2, 3, 4, 5, 7}

// carried returns the host file for a file that is kept.
func (h *Host) carried(name string) string { return filepath.Join(h.dir, filepath.Base(name)) }

// Boot starts the machine with a firmware, which first measures itself into PCR 0.
func (h *Host) Boot(ctx context.Context, firmware string) error {
	h.r.Step("host: boots with firmware %s", firmware)
	files := h.images.Files()
	sources := map[string]string{}
	for _, n := range carriedFiles {
		if _, err := os.Stat(h.carried(n)); err == nil {
			files[n] = h.carried(n)
		}
	}
	for _, n := range []string{managerName, vtpmName} {
		if f := h.carried(n + ".img"); exists(f) {
			sources[n] = "/carried/" + n + ".img"
			files[sources[n]] = f
		}
	}
	m, err := h.boot(lab.Options{Files: files})
	if err != nil {
		return err
	}
	h.s = NewStack(m)
	h.s.Sources = sources
	g, err := h.s.direct(ctx, h.r)
	if err != nil {
		return err
	}
	out, err := g.run(ctx, fmt.Sprintf("tpm2_pcrread sha256:0,1,2,3,4,5,7 | sed -n 's/.*0x//p'\ntpm2_pcrextend 0:sha256=%x\ntpm2_pcrread sha256:0 | sed -n 's/.*0x//p'", measuredAs(firmware)))
	if err != nil {
		return err
	}
	values := strings.Fields(strings.ToLower(out))
	if len(values) != len(sealedPCRs)+1 {
		return fmt.Errorf("PCRs: %q", out)
	}
	for name := range h.pcrs {
		p := append([]string{}, values[:len(sealedPCRs)]...)
		b, err := hex.DecodeString(p[0])
		if err != nil {
			return err
		}
		m := measuredAs(name)
		p[0] = fmt.Sprintf("%x", sha256.Sum256(append(b, m[:]...)))
		h.pcrs[name] = p
	}
	if got, want := values[len(sealedPCRs)], h.pcrs[firmware][0]; got != want {
		return fmt.Errorf("PCR 0 with firmware %s is %s, computed %s", firmware, got, want)
	}
	return h.s.Destroy(ctx, "other-system")
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// measuredAs returns the digest with which a firmware extends PCR 0.
func measuredAs(firmware string) [32]byte { return sha256.Sum256([]byte("firmware " + firmware)) }

// Off shuts the domains down, keeps their disks and dom0's keys, and powers the machine
// off.
func (h *Host) Off(ctx context.Context) error {
	for _, n := range []string{guestName, vtpmName, managerName} {
		if _, err := h.s.domid(ctx, n); err != nil {
			continue // it does not run
		}
		command := "xl shutdown " + n
		if n == guestName {
			command = "xl destroy " + n
		}
		if _, err := h.s.M.Dom0.Run(ctx, command); err != nil {
			return err
		}
		limited, cancel := context.WithTimeout(ctx, time.Minute)
		err := h.s.M.Gone(limited, n)
		cancel()
		if err != nil {
			return err
		}
	}
	take := map[string]string{}
	for _, n := range carriedFiles {
		take[n] = h.carried(n)
	}
	for _, n := range []string{managerName, vtpmName} {
		if h.s.disks[n] != "" {
			take[h.s.disks[n]] = h.carried(n + ".img")
		}
	}
	for from, to := range take {
		b, err := h.s.M.Take(ctx, from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(to, b, 0o600); err != nil {
			return err
		}
	}
	h.s.M.Close()
	return nil
}

// operatorWord matches the operator's public key in the output of keygen.
var operatorWord = regexp.MustCompile(`operator=04[0-9a-f]+`)

// Manufacture creates a manager with an operator, who may approve other firmware, and a
// vTPM with data.
func (h *Host) Manufacture(ctx context.Context) error {
	out, err := h.s.M.Dom0.Run(ctx, adminCommand+" mgr keygen --for operator "+operatorKey)
	if err != nil {
		return err
	}
	if h.s.InitWords = operatorWord.FindString(out); h.s.InitWords == "" {
		return fmt.Errorf("keygen: %s", out)
	}
	if err := h.s.StartManager(ctx); err != nil {
		return err
	}
	if err := h.s.Enroll(ctx, vtpmUUID); err != nil {
		return err
	}
	return h.s.serves(ctx, h.r, "a vTPM is made", vtpmName, vtpmUUID)
}

// Approve signs the PCR values of a firmware as the operator, and sends the approval to
// the manager.
func (h *Host) Approve(ctx context.Context, firmware string) error {
	var words []string
	for i, n := range sealedPCRs {
		words = append(words, fmt.Sprintf("%d=%s", n, h.pcrs[firmware][i]))
	}
	file := "/approval-" + firmware
	out, err := h.s.M.Dom0.Run(ctx, fmt.Sprintf("%[1]s mgr approve-pcrs sign %[2]s --operator-key %[3]s -o %[4]s && %[1]s mgr -key %[5]s approve-pcrs send %[4]s",
		adminCommand, strings.Join(words, " "), operatorKey, file, adminKey))
	check(h.r, "firmware "+firmware+" is approved", err == nil, "%v\n%s", err, out)
	return err
}

// Opens starts the manager and the vTPM, and claims that both serve.
func (h *Host) Opens(ctx context.Context, claim string) error {
	serves, err := h.s.StartManagerWith(ctx, "")
	check(h.r, claim+": the manager serves", err == nil && serves, "%v\n%s", err, h.s.Since(managerName))
	if err != nil || !serves {
		return ErrClaims
	}
	out, err := h.s.M.Dom0.Run(ctx, adminCommand+" mgr status --check")
	check(h.r, claim+": and is well", err == nil, "%v\n%s", err, out)
	return h.s.serves(ctx, h.r, claim+": the vTPM serves", vtpmName, vtpmUUID)
}

// Shut claims that the manager does not serve, and reports that.
func (h *Host) Shut(ctx context.Context, claim string) error {
	serves, err := h.s.StartManagerWith(ctx, "")
	if err != nil {
		return err
	}
	said := h.s.Since(managerName)
	check(h.r, claim, !serves && strings.Contains(said, "PCR"), "it serves: %v\n%s", serves, said)
	h.r.Show(managerName, "console", grep(said, 2, managerFailed))
	return nil
}

// A boot is one start of a host: its firmware, and the steps that follow.
type boot struct {
	firmware string
	run      func() error
}

// Updates boots a host with firmware A and updates it to B and to C, each approved
// before. After C was approved, the host is booted once more with B. With back, it then
// returns to an earlier firmware, boots one that was not approved, and continues.
func (h *Host) Updates(ctx context.Context, back bool) error {
	h.pcrs = map[string][]string{"A": nil, "B": nil, "C": nil, "X": nil}
	boots := []boot{
		{"A", func() error {
			if err := h.Manufacture(ctx); err != nil {
				return err
			}
			return h.Approve(ctx, "B")
		}},
		{"B", func() error {
			if err := h.Opens(ctx, "after the first update"); err != nil {
				return err
			}
			return h.Approve(ctx, "C")
		}},
		{"B", func() error { return h.Opens(ctx, "booted once more before the second update") }},
		{"C", func() error { return h.Opens(ctx, "after the second update") }},
	}
	if back {
		boots = append(boots, []boot{
			{"B", func() error { return h.Opens(ctx, "back before the second update") }},
			{"X", func() error {
				return h.Shut(ctx, "with a firmware that nobody approved, the manager does not serve, and says why")
			}},
			{"C", func() error { return h.Opens(ctx, "with the second update again") }},
		}...)
	}
	for _, b := range boots {
		if err := h.Boot(ctx, b.firmware); err != nil {
			return err
		}
		if err := b.run(); err != nil {
			return err
		}
		if err := h.Off(ctx); err != nil {
			return err
		}
	}
	return nil
}
