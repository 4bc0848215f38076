package scenario

import (
	"context"
	"fmt"
	"strings"
	"time"

	"stubtpm/tools/xenlab/lab"
)

// restartDaemon kills the doorbell and starts it again.
func (d *Doorbell) restartDaemon(ctx context.Context) error {
	if err := d.proc.Kill(); err != nil {
		return err
	}
	if _, _, err := d.proc.Wait(ctx); err != nil {
		return err
	}
	return d.startDaemon(ctx)
}

// Life has everything around a guest end and come back while the guest increments
// counters in its TPM: no count that was answered is lost.
func (d *Doorbell) Life(ctx context.Context, g guest, kills int) error {
	load := &loadLog{name: guestName}
	if err := load.start(g.Guest, 20*time.Millisecond); err != nil {
		return err
	}
	more := func(claim string) error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
		defer cancel()
		err := load.await(ctx, 10)
		if err != nil {
			err = d.why(err)
		}
		check(d.r, claim, err == nil, "%v", err)
		if err != nil {
			return ErrClaims
		}
		return nil
	}
	if err := more("a guest counts in its TPM"); err != nil {
		return err
	}
	load.mark()
	d.r.Step("dom0: the doorbell is killed %d times", kills)
	for range kills {
		if err := d.restartDaemon(ctx); err != nil {
			return err
		}
		if err := load.await(ctx, 3); err != nil {
			return d.why(err)
		}
	}
	check(d.r, fmt.Sprintf("the doorbell was killed %d times: every command was answered, none failed", kills), load.lostNothing(), "%v", load)
	d.r.Step("the manager's domain is destroyed %d times", max(1, kills/10))
	for range max(1, kills/10) {
		load.mark()
		// `stubtpm-host run` would note the number.
		if _, err := d.M.Dom0.Run(ctx, "mkdir -p /run/stubtpm; xl domid "+managerName+" > /run/stubtpm/"+managerName+".domains"); err != nil {
			return err
		}
		if err := d.Destroy(ctx, managerName); err != nil {
			return err
		}
		if err := d.StartManager(ctx); err != nil {
			return err
		}
		if out, err := d.M.Dom0.Run(ctx, hostCommand+" reattach "+managerName+" 2>&1"); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		if err := more("the manager was destroyed: the guest goes on with its TPM"); err != nil {
			return err
		}
	}
	d.r.Step("dom0: xl pause; xl unpause")
	if _, err := d.M.Dom0.Run(ctx, "xl pause "+guestName+" && sleep 3 && xl unpause "+guestName); err != nil {
		return err
	}
	if err := more("a guest that was paused goes on"); err != nil {
		return err
	}
	d.r.Step("the domain of the vTPM is destroyed %d times", max(2, kills/10))
	for range max(2, kills/10) {
		load.mark()
		if err := d.Destroy(ctx, vtpmName); err != nil {
			return err
		}
		if err := d.startVTPM(ctx); err != nil {
			return err
		}
		if err := load.await(ctx, 6); err != nil {
			return d.why(err)
		}
	}
	if err := more("the vTPM's domain was destroyed: the guest goes on with the next one, and no count is lost"); err != nil {
		return err
	}
	out, err := d.run(ctx, g, "tpm2_pcrread sha256:0,9")
	if err != nil {
		return err
	}
	measured, err := d.predict(changedWords)
	if err != nil {
		return err
	}
	values, err := measured.Log.Replay(0x000B)
	if err != nil {
		return err
	}
	pcrs := parsePCRs(out)
	check(d.r, "the PCRs that were lost with it show that: they are neither those of the start nor of a TPM that was switched on",
		pcrs["sha256:0"] != fmt.Sprintf("0x%x", values[0]) && pcrs["sha256:9"] != fmt.Sprintf("0x%x", values[9]) && pcrs["sha256:9"] != zeroPCR && len(pcrs) == 2, "%s", out)
	if err := d.restored(ctx, load); err != nil {
		return err
	}
	return more("after all that the guest still counts")
}

// restored saves and restores the guest.
func (d *Doorbell) restored(ctx context.Context, load *loadLog) error {
	// A vTPM whose guests must be measured has no TPM for one that was restored.
	if err := d.amend(ctx, "attested"); err != nil {
		return err
	}
	// The guest's processes go on after the restore: the next load must find the TPM free.
	if err := load.stop(ctx); err != nil {
		return err
	}
	d.r.Step("dom0: xl save; xl restore")
	before := d.log.length()
	load.mark()
	out, err := d.M.Dom0.Run(ctx, fmt.Sprintf("xl save %[1]s /tmp/%[1]s.save 2>&1 && xl restore /tmp/%[1]s.save 2>&1; code=$?; rm -f /tmp/%[1]s.save; exit $code", guestName))
	if err != nil {
		return d.why(fmt.Errorf("%w: %s", err, out))
	}
	err = d.log.await(ctx, time.Minute, before, "was restored")
	check(d.r, "what Xen knows tells it from a new one", err == nil, "%v\n%s", err, d.log.tail(10))
	g, err := d.connect(ctx)
	if err != nil {
		return err
	}
	if err := load.start(g.Guest, 20*time.Millisecond); err != nil {
		return err
	}
	err = load.awaitFound(ctx, time.Minute)
	check(d.r, "a guest that was saved and restored goes on with its TPM, and no count is lost", err == nil, "%v", err)
	if err != nil {
		return d.why(ErrClaims)
	}
	list, err := d.M.Domains(ctx)
	if err != nil {
		return err
	}
	names := ""
	for _, l := range list {
		names += " " + l.Name
	}
	check(d.r, "no domain is left behind", len(list) == 4, "%s", names)
	return d.amend(ctx, "measured")
}

// amend changes which starts of guests the vTPM's record takes.
func (d *Doorbell) amend(ctx context.Context, starts string) error {
	_, err := d.M.Dom0.Run(ctx, fmt.Sprintf("%s mgr -key %s amend %s --starts %s", adminCommand, adminKey, vtpmUUID, starts))
	return err
}

// Listed has the vTPM's record list the programs that a guest may start: one that starts
// another is destroyed, and one that starts a listed one runs. The guest of the stack must
// not run.
func (d *Doorbell) Listed(ctx context.Context) error {
	d.r.Step("dom0: stubtpm mgr amend --start-images, of another program; xl create %s", guestName)
	const other = "5b1e7c36f0a94d0d8f0c5d1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e"
	if err := d.amend(ctx, "measured --start-images "+other); err != nil {
		return err
	}
	config, err := d.config(ctx, "")
	if err != nil {
		return err
	}
	before := d.log.length()
	// xl may be told before the guest is destroyed, or after.
	if err := d.M.Create(ctx, guestName, config); err != nil {
		d.r.Step("xl create: %v", err)
	}
	err = d.log.await(ctx, 3*time.Minute, before, "starts a program that the vTPM's record does not list")
	check(d.r, "a guest whose program the vTPM's record does not list is not started, and the log says why", err == nil, "%v\n%s", err, d.log.tail(10))
	gone, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err = d.M.Gone(gone, guestName)
	check(d.r, "its domain is destroyed", err == nil, "%v\n%s", err, d.log.tail(10))
	predicted, err := d.predict("")
	if err != nil {
		return err
	}
	if err := d.amend(ctx, fmt.Sprintf("measured --start-images %s,%x", other, predicted.Program)); err != nil {
		return err
	}
	g, err := d.start(ctx, "")
	if err != nil {
		return err
	}
	out, err := d.run(ctx, g, "tpm2_getrandom --hex 8")
	check(d.r, "with the hash that its files predict on the list it starts, and has its TPM", err == nil, "%s\n%v", out, err)
	if err := d.amend(ctx, "measured --start-images any"); err != nil {
		return err
	}
	return d.end(ctx)
}

// Around has guests start in other ways than by the doorbell: none of them gets a TPM that
// was measured. The guest of the stack must not run.
func (d *Doorbell) Around(ctx context.Context) error {
	d.r.Step("a guest with a ring, at a vTPM whose guests must be measured")
	// Linux' driver would wait two minutes for the TPM that is refused.
	config := lab.GuestConfigLine(guestName, guestMiB, "xenlab.skip=xen-tpmfront", fmt.Sprintf("vtpm = [\"backend=%s,uuid=%s\"]", vtpmName, vtpmUUID))
	if err := d.M.Create(ctx, guestName, config); err != nil {
		return err
	}
	g, err := d.connect(ctx)
	if err != nil {
		return err
	}
	out, err := g.run(ctx, "timeout 30 "+abuseCommand+" -duration 1s && echo 'it has a TPM' || echo 'it has none'")
	if err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	_, err = d.consoles[vtpmName].AwaitAny(wait, d.marks[vtpmName], "start was not measured")
	check(d.r, "a guest that goes around the measurement gets no TPM", strings.Contains(out, "it has none") && err == nil, "%s\n%v", out, err)
	d.r.Step("the same guest, attached to the doorbell while it runs")
	before := d.log.length()
	attach := fmt.Sprintf("xl vtpm-detach %[1]s 0 >/dev/null 2>&1; timeout 20 xl vtpm-attach %[1]s backend=Domain-0 uuid=%s 2>&1", guestName, vtpmUUID)
	if out, err := d.M.Dom0.Run(ctx, attach); err == nil {
		return fmt.Errorf("%w: attached while it runs: %s", ErrClaims, out)
	}
	err = d.log.await(ctx, time.Minute, before, "cannot get one while it runs")
	check(d.r, "a guest that runs already gets no TPM, and the log says why", err == nil, "%v\n%s", err, d.log.tail(10))
	return d.Destroy(ctx, guestName)
}
