package hosted_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stubtpm/tools/hosted/tpmproc"
	"stubtpm/tools/initramfs"
)

// guestFirst is what the first boot does: seals a secret to PCR 16 as it is
// after an extend, and leaves it in the TPM.
const guestFirst = `
step "device" test -c /dev/tpmrm0
step "self-test" tpm2_selftest -f
step "random" tpm2_getrandom --hex 16
step "reset" tpm2_pcrreset 16
step "extend" tpm2_pcrextend 16:sha256=$D
step "read" tpm2_pcrread sha256:16
step "primary" tpm2_createprimary -Q -C o -G ecc -c /p.ctx
step "policy" tpm2_createpolicy -Q --policy-pcr -l sha256:16 -L /pol
echo -n opensesame > /secret
step "seal" tpm2_create -Q -C /p.ctx -L /pol -i /secret -u /s.pub -r /s.priv
step "load" tpm2_load -Q -C /p.ctx -u /s.pub -r /s.priv -c /s.ctx
step "unseal" tpm2_unseal -c /s.ctx -p pcr:sha256:16
step "keep" tpm2_evictcontrol -Q -C o -c /s.ctx 0x81000010
step "key" tpm2_create -Q -C /p.ctx -G ecc:ecdsa -u /k.pub -r /k.priv
step "load key" tpm2_load -Q -C /p.ctx -u /k.pub -r /k.priv -c /k.ctx
step "quote" tpm2_quote -Q -c /k.ctx -l sha256:0,16 -q abcd -m /q.msg -s /q.sig -o /q.pcr
step "public" tpm2_readpublic -Q -c /k.ctx -f pem -o /k.pem
step "check quote" tpm2_checkquote -Q -u /k.pem -m /q.msg -s /q.sig -f /q.pcr -q abcd
`

// guestSecond is the second boot: PCR 16 has its start value again, so that the
// secret stays shut until the same extend.
const guestSecond = `
step "device" test -c /dev/tpmrm0
refuse "unseal with other PCRs" tpm2_unseal -c 0x81000010 -p pcr:sha256:16
step "reset" tpm2_pcrreset 16
step "extend" tpm2_pcrextend 16:sha256=$D
step "unseal" tpm2_unseal -c 0x81000010 -p pcr:sha256:16
`

const guestInit = `#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
export PATH=/bin:/sbin:/usr/bin:/usr/sbin TPM2TOOLS_TCTI=device:/dev/tpmrm0
D=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
end() { [ "$1" = ok ] || dmesg | grep -i tpm; echo "GUEST $1"; sync; poweroff -f; }
step() { n=$1; shift; echo "STEP $n"; "$@" || end "failed: $n"; echo; }
refuse() { n=$1; shift; echo "STEP $n"; "$@" && end "failed: $n"; echo; }
# The kernel's own driver has spoken to the TPM before.
dmesg | grep -i tpm
`

// TestQEMU boots Debian's kernel with QEMU's -tpmdev emulator on `stubtpm
// socket`, once with the CRB and once with the TIS interface, on one state.
// HOSTED_QEMU_TPM names another program ("swtpm socket"), for a baseline; ACCEL
// an accelerator of QEMU, software emulation if empty.
func TestQEMU(t *testing.T) {
	if testing.Short() {
		t.Skip("boots two virtual machines: not with -short")
	}
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Skip("qemu-system-x86_64 is not installed (package qemu-system-x86)")
	}
	dir := t.TempDir()
	program := strings.Fields(os.Getenv("HOSTED_QEMU_TPM"))
	if len(program) == 0 {
		if program, err = tpmproc.Build(dir); err != nil {
			t.Fatal(err)
		}
	}
	state := filepath.Join(dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, boot := range []struct{ device, script string }{{"tpm-crb", guestFirst}, {"tpm-tis", guestSecond}} {
		initrd := filepath.Join(dir, boot.device+".cpio")
		kernel := guest(t, initrd, boot.script)
		out := boots(t, qemu, program, state, boot.device, kernel, initrd)
		if !strings.Contains(out, "GUEST ok") {
			t.Fatalf("%s: the guest did not get through:\n%s", boot.device, out)
		}
		if !strings.Contains(out, "opensesame") {
			t.Errorf("%s: the secret was not unsealed:\n%s", boot.device, out)
		}
	}
}

// guest writes an initramfs whose init runs the script, and returns the kernel.
func guest(t *testing.T, file, script string) (kernel string) {
	t.Helper()
	k, err := initramfs.FindKernel()
	if err != nil {
		t.Skip(err)
	}
	a := initramfs.New()
	err = errors.Join(
		a.Busybox("sh", "mount", "poweroff", "[", "sync", "dmesg", "grep", "test", "echo", "cat"),
		a.Programs([]string{"/usr/bin"}, "tpm2"),
		a.Library("libtss2-tcti-device.so.0"))
	if err != nil {
		t.Skip(err)
	}
	for _, name := range strings.Fields(script) {
		if strings.HasPrefix(name, "tpm2_") {
			a.Link("/usr/bin/"+name, "tpm2")
		}
	}
	a.File("/init", 0o755, []byte(guestInit+script+"end ok\n"))
	if err := a.WriteFile(file); err != nil {
		t.Fatal(err)
	}
	return k.Image
}

// boots runs a guest to its end and returns what it printed.
func boots(t *testing.T, qemu string, program []string, state, device, kernel, initrd string) string {
	t.Helper()
	tpm, err := tpmproc.StartForQEMU(program, state)
	if err != nil {
		t.Fatal(err)
	}
	defer tpm.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	accel := os.Getenv("ACCEL")
	if accel == "" {
		accel = "tcg"
	}
	cmd := exec.CommandContext(ctx, qemu, "-M", "q35", "-accel", accel, "-m", "512", "-nodefaults", "-nographic",
		"-no-reboot", "-serial", "stdio", "-kernel", kernel, "-initrd", initrd,
		"-append", "console=ttyS0 quiet panic=-1",
		"-chardev", "socket,id=ctl,path="+tpm.Control, "-tpmdev", "emulator,id=tpm0,chardev=ctl",
		"-device", device+",tpmdev=tpm0")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	if err := cmd.Run(); err != nil {
		t.Fatalf("QEMU: %v\n%s\nTPM: %s", err, out.String(), tpm.Output())
	}
	t.Logf("%s: boot and script %.1f s", device, time.Since(start).Seconds())
	return out.String()
}
