package scenario

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Processors has a guest with two virtual processors, to which two are added while it runs,
// use its TPM on all of them at once. The guest of the stack must not run.
func (d *Doorbell) Processors(ctx context.Context) error {
	config, err := d.config(ctx, "")
	if err != nil {
		return err
	}
	config = strings.Replace(config, "vcpus = 1\n", "vcpus = 2\nmaxvcpus = 4\n", 1)
	if err := d.M.Create(ctx, guestName, config); err != nil {
		return d.why(err)
	}
	g, err := d.connect(ctx)
	if err != nil {
		return err
	}
	if _, err := d.M.Dom0.Run(ctx, "xl vcpu-set --ignore-host "+guestName+" 4"); err != nil {
		return err
	}
	const script = `for i in $(seq 100); do [ -e /sys/devices/system/cpu/cpu3/online ] && break; usleep 100000; done
for i in 1 2 3; do [ "$(cat /sys/devices/system/cpu/cpu$i/online)" = 1 ] || echo 1 > /sys/devices/system/cpu/cpu$i/online; done
cat /sys/devices/system/cpu/online
pids=
for i in 0 1 2 3; do
	(for n in 1 2 3 4 5; do taskset -c $i tpm2_getrandom -Q 8 || exit 1; done; echo "processor $i done") & pids="$pids $!"
done
for p in $pids; do wait $p; done`
	out, err := d.run(ctx, g, script)
	if err != nil {
		return err
	}
	check(d.r, "a guest uses its TPM on four processors at once, two of them added while it runs", strings.Contains(out, "0-3\n") && strings.Count(out, " done") == 4, "%s", out)
	return d.end(ctx)
}

// end destroys the guest, and checks that the toolstack has nothing to complain about.
func (d *Doorbell) end(ctx context.Context) error {
	begin := time.Now()
	out, err := d.M.Dom0.Run(ctx, "xl destroy "+guestName+" 2>&1; sleep 1; xl list | tail -n +2")
	if err != nil {
		return err
	}
	took := time.Since(begin) - time.Second
	check(d.r, fmt.Sprintf("xl destroys the guest without an error (%.1f s), and no zombie is left", took.Seconds()),
		!strings.Contains(out, "libxl") && !strings.Contains(out, "(null)") && !strings.Contains("\n"+out, "\n"+guestName+" "), "%s", out)
	return nil
}

// StartTimes prints how long a guest's start takes without a TPM, and measured.
func (d *Doorbell) StartTimes(ctx context.Context) error {
	for _, side := range []struct {
		name string
		tpm  bool
	}{{"without a TPM", false}, {"measured", true}} {
		config, err := d.config(ctx, "")
		if err != nil {
			return err
		}
		if !side.tpm {
			config = strings.Replace(config, "vtpm =", "#", 1)
		}
		begin := time.Now()
		if err := d.M.Create(ctx, guestName, config); err != nil {
			return d.why(err)
		}
		created := time.Since(begin)
		if _, err := d.M.ConnectGuest(ctx, guestName, 2*time.Minute); err != nil {
			return d.why(err)
		}
		d.r.Show("dom0", "start of a guest "+side.name, fmt.Sprintf("xl create %.1f s, the guest's agent after %.1f s; %s", created.Seconds(), time.Since(begin).Seconds(), grep(d.log.tail(4), 1, "hashed")))
		if err := d.end(ctx); err != nil {
			return err
		}
	}
	return nil
}
