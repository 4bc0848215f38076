package scenario

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
)

// read returns the contents of a file of the guest.
func (g guest) read(ctx context.Context, name string) ([]byte, error) {
	out, err := g.run(ctx, "base64 "+name)
	if err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(strings.Join(strings.Fields(out), ""))
}

// errIMA is returned for a list of IMA that does not parse.
var errIMA = errors.New("malformed list of IMA's measurements")

// replayIMA returns what IMA's list extends PCR 10 of the SHA-256 bank to, and how many
// entries it has. An entry is PCR u32, SHA-1 digest, length u32 and name of the template,
// length u32 and data (Linux, security/integrity/ima/ima_fs.c). The other banks get the
// hash of the data, or ones for a violation.
func replayIMA(b []byte) (pcr [sha256.Size]byte, entries int, err error) {
	take := func(n uint32) (p []byte) {
		if err != nil || uint64(n) > uint64(len(b)) {
			err = errIMA
			return nil
		}
		p, b = b[:n], b[n:]
		return p
	}
	number := func() uint32 {
		if p := take(4); p != nil {
			return binary.LittleEndian.Uint32(p)
		}
		return 0
	}
	for len(b) > 0 && err == nil {
		number()
		violation := strings.Trim(string(take(20)), "\x00") == ""
		take(number())
		digest := sha256.Sum256(take(number()))
		if violation {
			for i := range digest {
				digest[i] = 0xFF
			}
		}
		pcr = sha256.Sum256(append(pcr[:], digest[:]...))
		entries++
	}
	return pcr, entries, err
}

// IMA has the guest's kernel measure programs, and replays its list.
func (d *Doorbell) IMA(ctx context.Context, g guest) error {
	out, err := d.run(ctx, g, securityFS+"echo 'measure func=BPRM_CHECK' > /sys/kernel/security/ima/policy; uname -r; tpm2_pcrread sha256:10")
	if err != nil {
		return err
	}
	// The programs that read the list must be on it.
	for range 2 {
		if out, err = d.run(ctx, g, "base64 "+imaLog+" > /dev/null; tpm2_pcrread sha256:10"); err != nil {
			return err
		}
	}
	list, err := g.read(ctx, imaLog)
	if err != nil {
		return err
	}
	pcr, entries, err := replayIMA(list)
	if err != nil {
		return err
	}
	// A program that IMA has seen is not measured again.
	const times = `mkdir -p /tmp/ima; for i in 1 2 3 4 5 6 7 8 9 10; do cp /bin/busybox /tmp/ima/busybox$i; done
run() { a=$(cut -d' ' -f1 /proc/uptime); for i in 1 2 3 4 5 6 7 8 9 10; do /tmp/ima/busybox$i true; done; echo "$1 from $a s to $(cut -d' ' -f1 /proc/uptime) s of uptime"; }
run "ten programs, measured"; run "the same again"; rm -r /tmp/ima`
	if more, err := d.run(ctx, g, times); err != nil {
		return err
	} else {
		d.r.Show(guestName, "programs with IMA", more)
	}
	check(d.r, "IMA's list replays to PCR 10", entries > 2 && parsePCRs(out)["sha256:10"] == fmt.Sprintf("0x%x", pcr), "%d entries, %x\n%s", entries, pcr, out)
	return nil
}

// openDisk opens the encrypted disk with the TPM and prints the secret on it.
const openDisk = `a=$(cut -d' ' -f1 /proc/uptime)
SYSTEMD_LOG_LEVEL=debug systemd-cryptsetup attach vault /dev/xvda - tpm2-device=/dev/tpmrm0,headless=1 2>attach.log && {
	echo "unlocked from $a s to $(cut -d' ' -f1 /proc/uptime) s of uptime"
	dd if=/dev/mapper/vault bs=512 count=1 2>/dev/null | tr -d '\0'; echo; systemd-cryptsetup detach vault
} || { echo 'the disk stays closed'; grep -v 'Requesting JSON' attach.log; }
`

// changedWords is the other command line that a guest is started with.
const changedWords = "changed"

// Encrypted has systemd bind the key of a disk to what was measured: the disk opens
// after a reboot, and not with another command line. It returns the guest that runs
// at the end.
func (d *Doorbell) Encrypted(ctx context.Context, g guest) (guest, error) {
	d.r.Step("guest: systemd-cryptenroll --tpm2-pcrs=0+1+4+9+12 /dev/xvda")
	out, err := d.run(ctx, g, `mkdir -p /run/cryptsetup /run/systemd /tmp
printf pass > pass
cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 /dev/xvda pass
PASSWORD=pass systemd-cryptenroll --tpm2-device=/dev/tpmrm0 --tpm2-pcrs=0+1+4+9+12 /dev/xvda
cryptsetup open --key-file pass /dev/xvda vault
printf '%s' '`+secret+`' | dd of=/dev/mapper/vault bs=512 conv=sync 2>/dev/null; cryptsetup close vault
`+openDisk+"sync")
	if err != nil {
		return g, err
	}
	check(d.r, "systemd opens a LUKS disk with its TPM", strings.Contains(out, secret), "%s", out)
	d.r.Step("guest: reboot")
	before := d.log.length()
	// It does not live to say how this ended.
	bctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	g.Run(bctx, "echo b > /proc/sysrq-trigger")
	if err := d.log.await(ctx, limit, before, "served by"); err != nil {
		return g, d.why(err)
	}
	if g, err = d.connect(ctx); err != nil {
		return g, err
	}
	if out, err = d.run(ctx, g, "mkdir -p /run/cryptsetup /run/systemd\n"+openDisk); err != nil {
		return g, err
	}
	d.r.Show(guestName, "systemd-cryptsetup attach, after a reboot", out)
	check(d.r, "after a reboot, which xl made a new domain of, the disk opens again", strings.Contains(out, secret), "%s", out)
	if g, err = d.again(ctx, changedWords); err != nil {
		return g, err
	}
	if out, err = d.run(ctx, g, "mkdir -p /run/cryptsetup /run/systemd\n"+openDisk); err != nil {
		return g, err
	}
	check(d.r, "with another command line the disk stays closed", strings.Contains(out, "the disk stays closed") && strings.Contains(out, "policy digest"), "%s", out)
	return g, nil
}
