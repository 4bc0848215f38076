package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stubtpm/tools/hosted/tpmproc"
	"stubtpm/tools/initramfs"
)

// guestScript uses the bridge's device as Debian's programs find it: several
// of tpm2-tools at once, so that only a resource manager can help, and
// systemd-cryptenroll with a LUKS volume in a file. Then the bridge is stopped.
const guestScript = `#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmpfs /run
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
end() { [ "$1" = ok ] || dmesg | tail -n 20; echo "GUEST $1"; poweroff -f; }
step() { n=$1; shift; echo "STEP $n"; "$@" || end "failed: $n"; }
for m in $MODULES; do insmod $m || end "failed: insmod $m"; done
# As in a Xen guest, there is no resource manager's device of the first TPM:
# systemd takes what it finds by this directory.
rm -f /dev/tpmrm0
mount -t tmpfs none /sys/class/tpmrm
guestbridge -tpm /dev/tpm0 & bridge=$!
for i in 1 2 3 4 5 6 7 8 9 10; do [ -L /dev/tpmrm0 ] && break; sleep 1; done
step "link" test -c /dev/tpmrm0
step "node" test -c /dev/tpmrm1
mkdir /sys/class/tpmrm/tpmrm1
step "version" grep -q 2 /sys/class/tpm/tpm1/tpm_version_major
(tpm2_getrandom 8 -T device:/dev/tpm0 >/dev/null 2>&1) && end "failed: tpm0 is not held"
export TPM2TOOLS_TCTI=device:/dev/tpmrm0
step "primary" tpm2_createprimary -Q -C o -G ecc -c /p.ctx
for i in 1 2 3 4 5; do
	tpm2_createprimary -Q -C o -G ecc:ecdsa-sha256 -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign' -c /p$i.ctx || end "failed: primary $i"
	echo $i > /m$i
done
for i in 1 2 3 4 5; do (tpm2_sign -Q -c /p$i.ctx -g sha256 -o /s$i /m$i && tpm2_verifysignature -Q -c /p$i.ctx -g sha256 -m /m$i -s /s$i && touch /ok$i) & pids="$pids $!"; done
wait $pids
for i in 1 2 3 4 5; do step "signature $i of five at once" test -f /ok$i; done
dd if=/dev/zero of=/luks bs=1M count=20 2>/dev/null
printf secret > /pass
step "luksFormat" cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 /luks /pass
export PASSWORD=secret
D=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
step "extend" tpm2_pcrextend 16:sha256=$D
step "systemd-cryptenroll" systemd-cryptenroll --tpm2-device=auto --tpm2-pcrs=16 /luks
step "open by the TPM" cryptsetup open --test-passphrase --token-only /luks
step "extend again" tpm2_pcrextend 16:sha256=$D
echo "STEP not with another PCR"; timeout 10 cryptsetup open --test-passphrase --token-only /luks </dev/null && end "failed: opened with another PCR"
kill $bridge; wait $bridge; echo "STEP bridge ended with $?"
step "link is gone" test ! -e /dev/tpmrm0
for i in 1 2 3 4 5; do [ -e /dev/tpm1 ] || break; sleep 1; done
step "device is gone" test ! -e /dev/tpm1
step "tpm0 is free" tpm2_getrandom 8 -T device:/dev/tpm0 --hex
end ok
`

// TestLinux runs the bridge under Debian's kernel with its own module.
// There /dev/tpm0 is QEMU's TIS; the Xen lab has it on xen-tpmfront.
func TestLinux(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a virtual machine: not with -short")
	}
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Skip("qemu-system-x86_64 is not installed (package qemu-system-x86)")
	}
	dir := t.TempDir()
	program, err := tpmproc.Build(dir)
	if err != nil {
		t.Fatal(err)
	}
	bridge := filepath.Join(dir, "guestbridge")
	build := exec.Command("go", "build", "-o", bridge, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	k, err := initramfs.FindKernel()
	if err != nil {
		t.Skip(err)
	}
	a := initramfs.New()
	modules, err := a.AddModules(k, "tpm_vtpm_proxy", "algif_skcipher", "algif_hash", "xts", "aes_generic", "loop")
	err = errors.Join(err, a.Copy("/usr/bin/guestbridge", bridge),
		a.Busybox("sh", "mount", "poweroff", "[", "sync", "dmesg", "grep", "test", "echo", "cat", "insmod", "sleep", "rm", "kill", "tail", "timeout", "touch", "mkdir", "printf", "dd"),
		a.Programs([]string{"/usr/bin", "/usr/sbin"}, "tpm2", "systemd-cryptenroll", "cryptsetup"),
		a.Library("libtss2-tcti-device.so.0"), a.Library("libtss2-esys.so.0"), a.Library("libtss2-rc.so.0"), a.Library("libtss2-mu.so.0"),
		a.Library("cryptsetup/libcryptsetup-token-systemd-tpm2.so"))
	if err != nil {
		t.Skip(err)
	}
	for _, name := range []string{"createprimary", "getrandom", "sign", "verifysignature", "pcrextend"} {
		a.Link("/usr/bin/tpm2_"+name, "tpm2")
	}
	a.File("/init", 0o755, []byte(strings.Replace(guestScript, "$MODULES", strings.Join(modules, " "), 1)))
	initrd := filepath.Join(dir, "initrd")
	state := filepath.Join(dir, "state")
	if err := errors.Join(a.WriteFile(initrd), os.Mkdir(state, 0o700)); err != nil {
		t.Fatal(err)
	}
	out, err := boot(qemu, program, state, k.Image, initrd)
	if err != nil || !strings.Contains(out, "GUEST ok") {
		t.Fatalf("the guest did not get through: %v\n%s", err, out)
	}
	t.Log(out)
}

func boot(qemu string, program []string, state, kernel, initrd string) (string, error) {
	tpm, err := tpmproc.StartForQEMU(program, state)
	if err != nil {
		return "", err
	}
	defer tpm.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, qemu, "-M", "q35", "-accel", "tcg", "-m", "512", "-nodefaults", "-nographic",
		"-no-reboot", "-serial", "stdio", "-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 quiet panic=-1",
		"-chardev", "socket,id=ctl,path="+tpm.Control, "-tpmdev", "emulator,id=tpm0,chardev=ctl", "-device", "tpm-tis,tpmdev=tpm0")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("QEMU: %w; TPM: %s", err, tpm.Output())
	}
	return out.String(), nil
}
