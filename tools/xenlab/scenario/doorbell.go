package scenario

import (
	"context"
	"fmt"
	"strings"
	"time"

	"stubtpm/tools/xenlab/lab"
)

// A Doorbell is a stack whose guest has a TPM 2.0 that its kernel finds by itself:
// `stubtpm-host doorbell` runs in dom0.
type Doorbell struct {
	*Stack
	r    Report
	proc *lab.Proc
	log  *lineLog
}

// NewDoorbell starts a manager, a vTPM and the doorbell.
func NewDoorbell(ctx context.Context, r Report, s *Stack) (*Doorbell, error) {
	d := &Doorbell{Stack: s, r: r, log: &lineLog{}}
	r.Step("manager and vTPM")
	if err := s.StartManager(ctx); err != nil {
		return nil, err
	}
	if err := s.Enroll(ctx, vtpmUUID); err != nil {
		return nil, err
	}
	if err := d.startVTPM(ctx); err != nil {
		return nil, err
	}
	return d, d.startDaemon(ctx)
}

func (d *Doorbell) startVTPM(ctx context.Context) error {
	mark, err := d.StartVTPM(ctx, vtpmName, vtpmUUID)
	if err == nil && mark != vtpmReady {
		err = fmt.Errorf("%s does not serve; its console says:\n%s", vtpmName, d.Since(vtpmName))
	}
	return err
}

// startDaemon starts the doorbell.
func (d *Doorbell) startDaemon(ctx context.Context) (err error) {
	d.proc, err = d.M.Dom0.Start(false, d.log.add, hostCommand, "doorbell", "-tell", hostKey)
	return err
}

// start creates the guest and waits for its agent.
func (d *Doorbell) start(ctx context.Context) (guest, error) {
	disk, err := d.disk(ctx, guestName)
	if err != nil {
		return guest{}, err
	}
	config := lab.GuestConfigLine(guestName, guestMiB, "", fmt.Sprintf("disk = [\"%s,raw,xvda,rw\"]", disk),
		fmt.Sprintf("vtpm = [\"backend=Domain-0,uuid=%s\"]", vtpmUUID))
	d.r.Step("guest: xl create %s", guestName)
	begin := time.Now()
	if err := d.M.Create(ctx, guestName, config); err != nil {
		return guest{}, fmt.Errorf("%w\n%s\n%s", err, d.log.tail(20), d.Since(vtpmName))
	}
	d.r.Step("xl create took %v", time.Since(begin).Round(time.Millisecond))
	g, err := d.M.ConnectGuest(ctx, guestName, 90*time.Second)
	return guest{g, d.r}, err
}

// Device shows that a stock kernel finds a TPM 2.0.
func (d *Doorbell) Device(ctx context.Context) (guest, error) {
	g, err := d.start(ctx)
	if err != nil {
		return g, err
	}
	const script = `ls /dev/tpm0 /dev/tpmrm0
readlink -f /sys/class/tpm/tpm0/device/driver; cat /sys/class/tpm/tpm0/tpm_version_major
ls /dev/tpm1 2>/dev/null || echo 'no second TPM'
export TPM2TOOLS_TCTI=device:/dev/tpmrm0
tpm2_getrandom --hex 16; echo; tpm2_pcrread sha256:0,4,8,9,10
mountpoint -q /sys/kernel/security || mount -t securityfs s /sys/kernel/security
cp /sys/kernel/security/tpm0/binary_bios_measurements log; ls -l log; tpm2_eventlog log; tpm2_pcrread`
	out, err := g.run(ctx, script)
	if err != nil {
		return g, fmt.Errorf("%w\n%s\n%s", err, d.log.tail(20), d.Since(vtpmName))
	}
	d.r.Show(guestName, "ls /dev/tpm*; tpm2_getrandom", out)
	check(d.r, "the guest's stock kernel finds a TPM 2.0 by tpm_crb, with a resource manager", strings.Contains(out, "/bus/acpi/drivers/tpm_crb\n2\n") && strings.Contains(out, "/dev/tpmrm0"), "%s", out)
	check(d.r, "and no second one by xen-tpmfront", strings.Contains(out, "no second TPM"), "%s", out)
	return g, nil
}
