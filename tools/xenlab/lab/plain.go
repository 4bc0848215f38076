package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// Plain boots the kernel of Linux guests in another QEMU, without Xen, with a program of the
// guests' initramfs instead of their agent, and a swtpm of its own behind TIS. It returns
// what the program writes to the console until it turns the machine off.
func (m *Machine) Plain(ctx context.Context, program string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	state, sock := m.path("plain-tpm"), m.path("plain-tpm.sock")
	os.Remove(sock)
	if err := os.MkdirAll(state, 0o700); err != nil {
		return "", err
	}
	if err := m.spawn("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+state, "--ctrl", "type=unixio,path="+sock, "--terminate"); err != nil {
		return "", err
	}
	if err := waitForFile(ctx, sock, 10*time.Second); err != nil {
		return "", fmt.Errorf("lab: swtpm: %w", err)
	}
	kernel, initrd := m.GuestFiles()
	out, err := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "tcg", "-cpu", tcgCPU, "-M", "q35", "-m", "512",
		"-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio", "-kernel", kernel, "-initrd", initrd,
		"-append", "console=ttyS0 quiet loglevel=4 panic=-1 random.trust_cpu=on rdinit="+program,
		"-chardev", "socket,id=tpm,path="+sock, "-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-tis,tpmdev=tpm0").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("lab: QEMU: %w", err)
	}
	return string(out), err
}
