package scenario

import (
	"context"
	"fmt"
	"strings"
	"time"

	"stubtpm/tools/xenlab/lab"
)

// Numbers prints the times of a guest's TPM by its control area, and beside them those of
// another guest's by the ring, in one run. The guest with the control area must run.
func (d *Doorbell) Numbers(ctx context.Context, g guest, neighbour *lab.Guest) error {
	const commands = "300"
	for _, c := range []struct{ name, program string }{{"TPM2_ReadClock", "ping"}, {"TPM2_PCR_Extend", "extend"}} {
		for _, side := range []struct {
			name, device string
			guest        *lab.Guest
		}{{"tpm_crb", "/dev/tpm0", g.Guest}, {"tpm_crb, resource manager", "/dev/tpmrm0", g.Guest}, {"xen-tpmfront", "/dev/tpm0", neighbour}} {
			out, err := side.guest.Run(ctx, "/init "+c.program+" "+side.device+" "+commands)
			if err != nil {
				return d.why(err)
			}
			d.r.Show("us", c.name+", "+side.name, strings.TrimSpace(out))
		}
	}
	for _, side := range []struct {
		name  string
		guest *lab.Guest
	}{{"tpm_crb", g.Guest}, {"xen-tpmfront", neighbour}} {
		before, err := d.cpuTime(ctx)
		if err != nil {
			return err
		}
		start := time.Now()
		if _, err := side.guest.Run(ctx, "/init extend /dev/tpm0 1000"); err != nil {
			return d.why(err)
		}
		took := time.Since(start)
		after, err := d.cpuTime(ctx)
		if err != nil {
			return err
		}
		d.r.Show("dom0", "1,000 extends in a row by "+side.name, fmt.Sprintf("%.1f s; CPU of dom0 %.1f s, of the guest's vTPM %.1f s",
			took.Seconds(), after["Domain-0"]-before["Domain-0"], after[vtpmName]-before[vtpmName]+after[neighbourVTPM]-before[neighbourVTPM]))
	}
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
