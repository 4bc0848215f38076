package scenario

import (
	"context"
	"fmt"
	"strings"
	"time"

	"stubtpm/tools/xenlab/lab"
)

// A tpmSide is a TPM of some guest whose times are printed.
type tpmSide struct {
	name, device string
	guest        *lab.Guest
}

// Numbers prints the times of a guest's TPM by its control area, and beside them those of
// another guest's by the ring, without and with guestbridge, in one run. The guest with the
// control area must run.
func (d *Doorbell) Numbers(ctx context.Context, g guest, neighbour *lab.Guest) error {
	sides := []tpmSide{{"tpm_crb", "/dev/tpm0", g.Guest}, {"tpm_crb, resource manager", "/dev/tpmrm0", g.Guest}, {"xen-tpmfront", "/dev/tpm0", neighbour}}
	for _, side := range sides {
		if err := d.times(ctx, side); err != nil {
			return err
		}
	}
	return d.bridged(ctx, neighbour)
}

// times prints the times of one TPM.
func (d *Doorbell) times(ctx context.Context, side tpmSide) error {
	for _, c := range []struct{ name, program string }{{"TPM2_ReadClock", "ping"}, {"TPM2_PCR_Extend", "extend"}} {
		out, err := side.guest.Run(ctx, "/init "+c.program+" "+side.device+" 300")
		if err != nil {
			return d.why(err)
		}
		d.r.Show("us", c.name+", "+side.name, strings.TrimSpace(out))
	}
	before, err := d.cpuTime(ctx)
	if err != nil {
		return err
	}
	start := time.Now()
	if _, err := side.guest.Run(ctx, "/init extend "+side.device+" 1000"); err != nil {
		return d.why(err)
	}
	took := time.Since(start)
	after, err := d.cpuTime(ctx)
	if err != nil {
		return err
	}
	d.r.Show("dom0", "1,000 extends in a row by "+side.name, fmt.Sprintf("%.1f s; CPU of dom0 %.1f s, of the guest's vTPM %.1f s",
		took.Seconds(), after["Domain-0"]-before["Domain-0"], after[vtpmName]-before[vtpmName]+after[neighbourVTPM]-before[neighbourVTPM]))
	return nil
}

// bridged prints the times of a guest that uses guestbridge.
func (d *Doorbell) bridged(ctx context.Context, g *lab.Guest) error {
	module, err := d.M.KernelModule("kernel/drivers/char/tpm/tpm_vtpm_proxy.ko")
	if err != nil {
		return err
	}
	out, err := g.Run(ctx, "insmod "+module.Path+" && { "+bridgeCommand+" </dev/null >bridge.log 2>&1 & echo $! > bridge.pid; }\n"+
		"for i in $(seq 300); do [ -e /dev/tpmrm0 ] && exit 0; usleep 200000; done; cat bridge.log; exit 1")
	if err != nil {
		return fmt.Errorf("guestbridge: %w\n%s", err, out)
	}
	if err := d.times(ctx, tpmSide{"guestbridge, resource manager", "/dev/tpmrm0", g}); err != nil {
		return err
	}
	_, err = g.Run(ctx, "kill $(cat bridge.pid); for i in $(seq 300); do [ -e /dev/tpmrm0 ] || exit 0; usleep 200000; done; exit 1")
	return err
}

// plainScript is the program that Linux runs in QEMU without Xen, from the same files as a
// guest's.
const plainScript = `#!/bin/sh
mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev
readlink -f /sys/class/tpm/tpm0/device/driver
echo "ReadClock $(/init ping /dev/tpm0 300)"
echo "PCR_Extend $(/init extend /dev/tpm0 300)"
a=$(cut -d' ' -f1 /proc/uptime); /init extend /dev/tpm0 1000 >/dev/null; echo "1,000 extends from $a s to $(cut -d' ' -f1 /proc/uptime) s of uptime"
poweroff -f
`

// plainCommand is plainScript in guests.
const plainCommand = "/plain"

// Plain prints the times of swtpm behind QEMU's TIS, with the guest's kernel and QEMU's
// emulation but without Xen.
func (d *Doorbell) Plain(ctx context.Context) error {
	d.r.Step("the guest's kernel in QEMU without Xen, with swtpm")
	out, err := d.M.Plain(ctx, plainCommand)
	if err == nil && !strings.Contains(out, "uptime") {
		err = ErrClaims
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	d.r.Show("QEMU", "tpm_tis, swtpm", out)
	return nil
}

// idle checks that the doorbell rests when no guest rings.
func (d *Doorbell) idle(ctx context.Context) error {
	const look = `pid=$(grep -l doorbell /proc/[0-9]*/cmdline | grep -v self | head -n 1 | cut -d/ -f3)
a=$(cut -d' ' -f14,15 /proc/$pid/stat); sleep 10; b=$(cut -d' ' -f14,15 /proc/$pid/stat); grep VmRSS /proc/$pid/status; echo "ticks: $a, after 10 s $b"
[ "$a" = "$b" ] && echo idle`
	out, err := d.M.Dom0.Run(ctx, look)
	if err != nil {
		return err
	}
	d.r.Show("dom0", "stubtpm-host doorbell, idle", out)
	check(d.r, "the doorbell uses no processor while no guest rings", strings.Contains(out, "idle") && strings.Contains(out, "VmRSS"), "%s", out)
	return nil
}
