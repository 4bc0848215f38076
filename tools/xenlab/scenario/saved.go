package scenario

import (
	"context"
	"fmt"
	"strings"
	"time"

	"stubtpm/tools/xenlab/lab"
)

// A restored guest has /dev/tpm1 instead of /dev/tpm0.
const readPCRs = `export TPM2TOOLS_TCTI=device:$(ls -t /dev/tpm[0-9] | head -n 1)
tpm2_pcrread sha256:0,9 | grep -E '(0|9) :'
`

// zeroPCR is the end of a line of tpm2_pcrread for a PCR at its start value.
var zeroPCR = "0x" + strings.Repeat("0", 64)

// SavedGuest saves and restores a guest whose vTPM takes the host's word alone for a
// start: it finds PCRs that are neither its own nor those of a start. A guest that is
// created with stubtpm-host finds those of a start, and one that xl creates does not.
func (s *Stack) SavedGuest(ctx context.Context, r Report, p *Pair) error {
	amend := func(starts string) error {
		_, err := s.M.Dom0.Run(ctx, fmt.Sprintf("%s mgr -key %s amend %s --starts %s", adminCommand, adminKey, p.uuid, starts))
		return err
	}
	if err := amend("attested"); err != nil {
		return err
	}
	r.Step("dom0: xl save %s; xl restore", p.name)
	out, err := s.M.Dom0.Run(ctx, fmt.Sprintf("xl save %[1]s /tmp/%[1]s.save 2>&1 && xl restore /tmp/%[1]s.save 2>&1; code=$?; rm -f /tmp/%[1]s.save; exit $code", p.name))
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	r.Show("dom0", "xl save; xl restore", lastLines(out, 4))
	if err := s.again(ctx, p); err != nil {
		return err
	}
	pcrs := func(claim string, fresh bool) error {
		var out string
		var err error
		// The driver connects when it resumes.
		for range 20 {
			if out, err = p.guest.run(ctx, readPCRs); err == nil {
				break
			}
			if e := sleep(ctx, 2*time.Second); e != nil {
				return e
			}
		}
		if err != nil {
			return fmt.Errorf("%w\n%s:\n%s", err, p.vtpm, last(s.Since(p.vtpm), 12))
		}
		r.Show(p.name, "tpm2_pcrread sha256:0,9", out)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		ok := len(lines) == 2
		for _, l := range lines {
			ok = ok && strings.HasSuffix(strings.TrimSpace(l), zeroPCR) == fresh && !strings.Contains(p.pcr, lastField(l))
		}
		check(r, claim, ok, "%s\n%s:\n%s", out, p.vtpm, last(s.Since(p.vtpm), 12))
		if !ok {
			return ErrClaims
		}
		return nil
	}
	if err := pcrs("a guest that was restored finds PCRs that are neither its own nor those of a start", false); err != nil {
		return err
	}
	for _, c := range []struct {
		create, claim string
		fresh         bool
	}{
		{"xl create -q ", "a guest that xl created alone finds PCRs that say so", false},
		{hostCommand + " create -tell " + adminKey + " ", "a guest that stubtpm-host created finds the PCRs of a start", true},
	} {
		if err := s.Destroy(ctx, p.name); err != nil {
			return err
		}
		disk, err := s.disk(ctx, p.name)
		if err != nil {
			return err
		}
		config := lab.GuestConfigLine(p.name, guestMiB, "", fmt.Sprintf("disk = [\"%s,raw,xvda,rw\"]", disk),
			fmt.Sprintf("vtpm = [\"backend=%s,uuid=%s\"]", p.vtpm, p.uuid))
		file := "/etc/xen/" + p.name + ".cfg"
		if _, err := s.M.Dom0.RunInput(ctx, "cat > "+file, []byte(config)); err != nil {
			return err
		}
		r.Step("dom0: %s%s", c.create, file)
		if out, err := s.M.Dom0.Run(ctx, c.create+file+" 2>&1"); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		if err := s.again(ctx, p); err != nil {
			return err
		}
		if err := pcrs(c.claim, c.fresh); err != nil {
			return err
		}
	}
	return amend("plain")
}

// again connects to the agent of a pair's guest that has another domain than before.
func (s *Stack) again(ctx context.Context, p *Pair) error {
	g, err := s.M.ConnectGuest(ctx, p.name, 120*time.Second)
	if err != nil {
		return err
	}
	p.guest = guest{g, p.r}
	return nil
}

func lastField(line string) string {
	f := strings.Fields(line)
	if len(f) == 0 {
		return "nothing"
	}
	return f[len(f)-1]
}
