package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"stubtpm/tools/initramfs"
	"stubtpm/tools/xenlab/wire"
)

var applets = []string{"sh", "cat", "echo", "ls", "cp", "mv", "rm", "mkdir", "ln", "chmod", "dd", "truncate",
	"sleep", "date", "dmesg", "grep", "sed", "awk", "head", "tail", "tr", "cut", "sort", "wc", "test", "[",
	"true", "false", "ps", "kill", "losetup", "stat", "hexdump", "od", "xxd", "base64", "sha256sum", "cmp",
	"touch", "find", "xargs", "env", "printf", "seq", "tar", "sync", "poweroff", "vi", "less", "gzip", "clear", "uname",
	"free", "top", "uptime", "mount", "umount", "id", "basename", "dirname", "readlink", "realpath", "expr", "usleep", "time", "lsmod", "timeout", "stty", "reset", "pidof", "pgrep", "insmod", "mknod", "nohup", "setsid", "which", "vmstat", "taskset", "ip", "nc", "mkfifo"}

// blockScript takes the place of Xen's hotplug script for disks: the lab's
// disks are block devices already (loop), so there is nothing to set up, and
// nobody else to exclude.
const blockScript = `#!/bin/sh
# Called by xl with "add" or "remove"; the device is in xenstore.
[ "$1" = add ] || exit 0
dev=$(xenstore-read "$XENBUS_PATH/params")
numbers=$(stat -L -c '%t:%T' "$dev") || {
	xenstore-write "$XENBUS_PATH/hotplug-error" "no such device: $dev" "$XENBUS_PATH/hotplug-status" error
	exit 1
}
xenstore-write "$XENBUS_PATH/physical-device" "$numbers" "$XENBUS_PATH/physical-device-path" "$dev" \
	"$XENBUS_PATH/hotplug-status" connected
`

// controlTTY is QEMU's second serial port as dom0 sees it.
const controlTTY = "/dev/ttyS1"

// dom0Archive builds dom0's root file system. files maps names in it to files
// of the host.
func dom0Archive(o Options, k initramfs.Kernel, agent string, files map[string]string) (*initramfs.Archive, error) {
	a, err := o.Distribution.archive()
	if err != nil {
		return nil, err
	}
	if err := a.Busybox(applets...); err != nil {
		return nil, err
	}
	xenDir := o.Distribution.xenDir()
	err = a.Programs([]string{xenDir}, "xl", "xenstored", "xenconsoled", "xenconsole", "xen-init-dom0", "libxl-save-helper")
	if err != nil {
		return nil, err
	}
	if err := a.Programs([]string{"/usr/bin", "/usr/sbin"}, "xenstore-read", "xenstore-write", "xenstore-ls", "xenstore-list", "xenstore-rm"); err != nil {
		return nil, err
	}
	if err := a.Programs([]string{"/usr/sbin", "/sbin"}, "dmsetup"); err != nil {
		return nil, err
	}
	// Opened at run time by pthread_cancel: xl aborts without it.
	if err := a.Library("libgcc_s.so.1"); err != nil {
		return nil, err
	}
	a.File("/etc/xen/scripts/block", 0o755, []byte(blockScript))
	a.File("/etc/xen/xl.conf", 0o644, []byte("autoballoon=\"0\"\nclaim_mode=1\n"))
	mods, err := a.AddModules(k, append([]string{"xen-evtchn", "xen-gntdev", "xen-gntalloc", "xen-privcmd", "xenfs", "xen-blkback", "loop", "dm-mod"}, o.Modules...)...)
	if err != nil {
		return nil, err
	}
	c := wire.Config{Dom0: true, XenDir: xenDir, Modules: mods, Console: controlTTY, Hostname: "dom0", Xenstored: o.Xenstored}
	if err := addAgent(a, agent, c); err != nil {
		return nil, err
	}
	for name, src := range files {
		if err := a.Copy(name, src); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// guestArchive builds the root file system of a Linux guest with tpm2-tools and, with
// encryption, what an encrypted disk needs.
func guestArchive(o Options, k initramfs.Kernel, agent string) (*initramfs.Archive, error) {
	a, err := o.Distribution.archive()
	if err != nil {
		return nil, err
	}
	if err := a.Busybox(applets...); err != nil {
		return nil, err
	}
	if err := a.Program("/usr/bin/tpm2"); err != nil {
		return nil, err
	}
	tools, err := os.ReadDir(filepath.Join(o.Distribution.root(), "usr/bin"))
	if err != nil {
		return nil, err
	}
	for _, t := range tools {
		if len(t.Name()) > 5 && t.Name()[:5] == "tpm2_" {
			a.Link("/usr/bin/"+t.Name(), "tpm2")
		}
	}
	// Opened at run time by tpm2-tools.
	if err := a.Library("libtss2-tcti-device.so.0"); err != nil {
		return nil, err
	}
	// The last three let a program in the guest speak to Xen itself.
	mods, err := a.AddModules(k, "xen-tpmfront", "xen-blkfront", "xen-evtchn", "xen-gntalloc", "xen-gntdev")
	if err != nil {
		return nil, err
	}
	// For a guest that changes what is on the disk that it boots from.
	ext4, err := a.AddModules(k, "crc32c_generic", "ext4") // ext4 asks for the first by name
	if err != nil {
		return nil, err
	}
	mods = append(mods, ext4...)
	// For tools/guestbridge: there, but not loaded.
	if _, err := a.AddModules(k, "tpm_vtpm_proxy"); err != nil {
		return nil, err
	}
	if o.Encryption {
		more, err := addEncryption(o.Distribution, a, k)
		if err != nil {
			return nil, err
		}
		mods = append(mods, more...)
	}
	for name, src := range o.GuestFiles {
		if err := a.Copy(name, src); err != nil {
			return nil, err
		}
	}
	a.File("/etc/passwd", 0o644, []byte("root::0:0:root:/root:/bin/sh\n"))
	a.File("/etc/group", 0o644, []byte("root:x:0:\n"))
	a.File("/root/.profile", 0o644, []byte("export TPM2TOOLS_TCTI=device:/dev/tpm0\nPS1='guest# '\n"))
	return a, addAgent(a, agent, wire.Config{Modules: mods, Console: "/dev/hvc0", Hostname: "guest"})
}

// addEncryption adds programs and libraries, and returns the modules to load.
func addEncryption(d Distribution, a *initramfs.Archive, k initramfs.Kernel) ([]string, error) {
	programs := []string{"systemd-cryptenroll", "cryptsetup", "systemd-cryptsetup"}
	// Opened at run time by the first and the last.
	libraries := []string{"libtss2-esys.so.0", "libtss2-mu.so.0", "libtss2-rc.so.0"}
	if d == Trixie {
		programs = append(programs, "systemd-pcrlock")
		libraries = append(libraries, "libcryptsetup.so.12")
		if err := a.Tree("/usr/lib/pcrlock.d"); err != nil {
			return nil, err
		}
	}
	if err := a.Programs([]string{"/usr/bin", "/usr/sbin", "/lib/systemd"}, programs...); err != nil {
		return nil, err
	}
	for _, l := range libraries {
		if err := a.Library(l); err != nil {
			return nil, err
		}
	}
	// cryptsetup's plugin for systemd's tokens.
	if err := a.Program("/usr/lib/x86_64-linux-gnu/cryptsetup/libcryptsetup-token-systemd-tpm2.so"); err != nil {
		return nil, err
	}
	return a.AddModules(k, "dm-crypt", "ecb", "xts", "algif_skcipher")
}

func addAgent(a *initramfs.Archive, agent string, c wire.Config) error {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	a.File(wire.ConfigFile, 0o644, b)
	if err := a.Copy("/init", agent); err != nil {
		return fmt.Errorf("the lab's agent: %w", err)
	}
	return nil
}
