package scenario

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// bridgeCommand is tools/guestbridge in a guest.
const bridgeCommand = "/usr/sbin/guestbridge"

// bridgeScript checks that there is no resource manager without the bridge, and uses
// the one of the bridge: with more objects at a time than a TPM can hold, and with
// unmodified programs in parallel. MODULE stands for the path of the kernel module.
const bridgeScript = `set -e
test ! -e /dev/tpmrm0
insmod MODULE
guestbridge 2>/tmp/bridge.log & bridge=$!
for i in $(seq 600); do [ -e /dev/tpmrm0 ] && break; usleep 200000; done
[ -e /dev/tpmrm0 ] || {
	echo 'no device in two minutes'; ls -l /dev/tpm* /sys/class/tpm /sys/class/tpmrm; dmesg | tail -n 20
	for t in /proc/$bridge/task/*; do cat $t/stat $t/wchan $t/stack; done
	kill -QUIT $bridge; sleep 2; cat /tmp/bridge.log; exit 1
}
echo "version $(cat /sys/class/tpm/tpm1/tpm_version_major), $(readlink /dev/tpmrm0)"
if tpm2_getrandom 8 -T device:/dev/tpm0 >/dev/null 2>&1; then echo 'tpm0 is not held'; exit 1; fi
export TPM2TOOLS_TCTI=device:/dev/tpmrm0
echo "random $(tpm2_getrandom --hex 16)"
for i in 1 2 3 4 5; do
	tpm2_createprimary -Q -C o -G ecc:ecdsa-sha256 -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign' -c /tmp/k$i.ctx
	echo $i > /tmp/m$i
done
pids=
for i in 1 2 3 4 5; do
	(tpm2_sign -Q -c /tmp/k$i.ctx -g sha256 -o /tmp/s$i /tmp/m$i && tpm2_verifysignature -Q -c /tmp/k$i.ctx -g sha256 -m /tmp/m$i -s /tmp/s$i && echo "signature $i good") &
	pids="$pids $!"
done
wait $pids
kill $bridge
wait $bridge && echo 'the bridge ended well'
for i in $(seq 150); do [ -e /dev/tpm1 ] || break; usleep 200000; done
test ! -e /dev/tpm1 && test ! -e /dev/tpmrm0
tpm2_getrandom 8 -T device:/dev/tpm0 --hex > /dev/null
echo 'tpm0 is free again'
`

// bridge uses guestbridge's /dev/tpmrm0 in a guest. No other program may have the TPM
// open.
func (l *Life) bridge(ctx context.Context, g *lifeGuest) error {
	l.r.Step("%s: guestbridge", g.name)
	module, err := l.M.KernelModule("kernel/drivers/char/tpm/tpm_vtpm_proxy.ko")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 6*time.Minute)
	defer cancel()
	out, err := g.load.agent().Run(ctx, "PATH=$PATH:/usr/sbin\n"+strings.Replace(bridgeScript, "MODULE", module.Path, 1))
	holds := err == nil
	for _, want := range []string{"version 2, /dev/tpmrm1", "random ", "signature 5 good", "the bridge ended well", "tpm0 is free again"} {
		holds = holds && strings.Contains(out, want)
	}
	check(l.r, "with guestbridge, unmodified programs share the guest's TPM by /dev/tpmrm0", holds, "%v\n%s", err, out)
	check(l.r, "five programs at once had their signatures by it", strings.Count(out, " good\n") == 5, "%s", out)
	if !holds {
		return fmt.Errorf("guestbridge: %w", ErrClaims)
	}
	return nil
}
