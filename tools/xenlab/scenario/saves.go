package scenario

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// rawTPM is the environment of tpm2-tools on the TPM itself, without Linux' resource manager:
// objects and sessions stay in the TPM from one program to the next.
const rawTPM = "cd /tmp; export TPM2TOOLS_TCTI=device:/dev/tpm0\n"

// useVolatile has the guest leave things in its TPM that a reset takes away.
const useVolatile = rawTPM + `tpm2_pcrextend 8:sha256=aa00000000000000000000000000000000000000000000000000000000000001
tpm2_createprimary -Q -C o -c primary.ctx
tpm2_startauthsession -S session.ctx --policy-session
tpm2_policypcr -Q -S session.ctx -l sha256:8
`

// showVolatile prints them.
const showVolatile = rawTPM + `tpm2_pcrread sha256:0,4,8,9 | grep :
tpm2_getcap handles-transient
`

// goOn uses the session and the key of before; readclock has resetCount and restartCount.
const goOn = rawTPM + `tpm2_policypcr -Q -S session.ctx -l sha256:8 && echo session goes on
tpm2_readpublic -Q -c primary.ctx && echo key goes on
tpm2_readclock | grep -E 'reset_count|restart_count'
`

// Where dom0 keeps the image of the guest's memory: in its own memory, or on a disk of the
// machine.
const (
	savedFile = "/tmp/guest.image"
	savedDisk = "/dev/vda"
)

// save has xl save the guest to a file, and the guest ends.
func (d *Doorbell) save(ctx context.Context, file string) error {
	d.r.Step("dom0: xl save %s", guestName)
	out, err := d.M.Dom0.Run(ctx, fmt.Sprintf("xl save %s %s 2>&1 && sync", guestName, file))
	if err != nil {
		return d.why(fmt.Errorf("%w: %s", err, out))
	}
	return nil
}

// restore has xl restore the guest from a file, and waits for its agent.
func (d *Doorbell) restore(ctx context.Context, file string) (guest, error) {
	d.r.Step("dom0: xl restore")
	if out, err := d.M.Dom0.Run(ctx, "xl restore "+file+" 2>&1"); err != nil {
		return guest{}, d.why(fmt.Errorf("%w: %s", err, out))
	}
	return d.connect(ctx)
}

// restartVTPM ends the vTPM's domain as its unit does, and starts it.
func (d *Doorbell) restartVTPM(ctx context.Context) error {
	d.r.Step("dom0: xl shutdown %s; and it starts again", vtpmName)
	if out, err := d.M.Dom0.Run(ctx, "xl shutdown "+vtpmName+" 2>&1"); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := d.M.Gone(limited, vtpmName); err != nil {
		return d.why(err)
	}
	return d.startVTPM(ctx)
}

// Saves saves and restores the guest, whose vTPM's record requires measured starts: it goes
// on with its TPM, also if the vTPM's domain ended and started between. The same image once
// more has no TPM; and where the record does not require measured starts, PCRs that say so.
func (d *Doorbell) Saves(ctx context.Context, g guest) error {
	if _, err := g.run(ctx, useVolatile); err != nil {
		return d.why(err)
	}
	var before string
	for n, what := range []string{"with the vTPM's domain as it was", "with the vTPM's domain ended and started between"} {
		var err error
		if before, err = g.run(ctx, showVolatile); err != nil { // what was used since is in it, too
			return d.why(err)
		}
		d.r.Show(guestName, "before", before)
		if err := d.save(ctx, savedFile); err != nil {
			return err
		}
		if n == 1 {
			if err := d.restartVTPM(ctx); err != nil {
				return err
			}
		}
		if g, err = d.restore(ctx, savedFile); err != nil {
			return err
		}
		if err := d.goesOn(ctx, g, before, what); err != nil {
			return err
		}
	}
	return nil
}

// goesOn claims that a restored guest finds its TPM as it was.
func (d *Doorbell) goesOn(ctx context.Context, g guest, before, what string) error {
	after, err := g.run(ctx, showVolatile)
	if err != nil {
		return d.why(err)
	}
	used, err := g.run(ctx, goOn)
	if err != nil {
		return d.why(err)
	}
	d.r.Show(guestName, "after xl restore, "+what, after+used)
	same := after == before
	check(d.r, "saved and restored, "+what+": PCRs and loaded objects are as before", same, "before:\n%s\nafter:\n%s", before, after)
	on := strings.Contains(used, "session goes on") && strings.Contains(used, "key goes on")
	check(d.r, "saved and restored, "+what+": the session and the key of before go on", on, "%s", used)
	if !same || !on {
		return d.why(ErrClaims)
	}
	return nil
}

// carry are files of dom0 that are kept while the host is off, by their names there.
type carry map[string]string

// PowerOff has xl save the guest to the machine's disk, ends the vTPM's domain and then the
// manager's, keeps their disks and dom0's keys in a directory of this computer, and switches
// the machine off. It returns what the guest saw in its TPM, and the files of the next boot.
func (d *Doorbell) PowerOff(ctx context.Context, g guest, dir string) (before string, files carry, err error) {
	if _, err := g.run(ctx, useVolatile); err != nil {
		return "", nil, d.why(err)
	}
	if before, err = g.run(ctx, showVolatile); err != nil {
		return "", nil, d.why(err)
	}
	if err := d.save(ctx, savedDisk); err != nil {
		return "", nil, err
	}
	for _, name := range []string{vtpmName, managerName} {
		if out, err := d.M.Dom0.Run(ctx, "xl shutdown "+name+" 2>&1"); err != nil {
			return "", nil, fmt.Errorf("%w: %s", err, out)
		}
		limited, cancel := context.WithTimeout(ctx, time.Minute)
		err := d.M.Gone(limited, name)
		cancel()
		if err != nil {
			return "", nil, d.why(err)
		}
	}
	files = carry{}
	for from, name := range map[string]string{adminKey: adminKey, hostKey: hostKey, d.disks[managerName]: "/carried/" + managerName + ".img", d.disks[vtpmName]: "/carried/" + vtpmName + ".img"} {
		b, err := d.M.Take(ctx, from)
		if err != nil {
			return "", nil, err
		}
		files[name] = filepath.Join(dir, filepath.Base(name))
		if err := os.WriteFile(files[name], b, 0o600); err != nil {
			return "", nil, err
		}
	}
	d.M.Close()
	return before, files, nil
}

// PowerOn starts manager, vTPM and doorbell on a machine that was switched on again, and has
// xl restore the guest, which goes on with its TPM.
func PowerOn(ctx context.Context, r Report, s *Stack, before string) error {
	d := &Doorbell{Stack: s, r: r, log: &lineLog{}}
	s.Sources = map[string]string{managerName: "/carried/" + managerName + ".img", vtpmName: "/carried/" + vtpmName + ".img"}
	if serves, err := s.StartManagerWith(ctx, ""); err != nil || !serves {
		return fmt.Errorf("the manager serves: %v, %w\n%s", serves, err, s.Since(managerName))
	}
	if err := d.startVTPM(ctx); err != nil {
		return err
	}
	if _, err := d.config(ctx, ""); err != nil { // its disk
		return err
	}
	if err := d.startDaemon(ctx); err != nil {
		return err
	}
	g, err := d.restore(ctx, savedDisk)
	if err != nil {
		return err
	}
	return d.goesOn(ctx, g, before, "with the host switched off and on between")
}
