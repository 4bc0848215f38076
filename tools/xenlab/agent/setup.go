package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"stubtpm/tools/xenlab/wire"
)

var mounts = [...]struct{ source, target, fstype string }{
	{"proc", "/proc", "proc"},
	{"sysfs", "/sys", "sysfs"},
	{"devtmpfs", "/dev", "devtmpfs"},
	{"devpts", "/dev/pts", "devpts"},
	{"tmpfs", "/dev/shm", "tmpfs"},
	{"tmpfs", "/run", "tmpfs"},
	{"tmpfs", "/tmp", "tmpfs"},
}

// setUp mounts file systems, loads modules and sets the environment.
func setUp(c wire.Config) error {
	os.Setenv("PATH", "/usr/bin:/usr/sbin:"+c.XenDir)
	os.Setenv("HOME", "/root")
	os.Setenv("TERM", "linux")
	for _, m := range mounts {
		os.MkdirAll(m.target, 0o755)
		err := unix.Mount(m.source, m.target, m.fstype, 0, "")
		if err != nil && err != unix.EBUSY {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	skip := skipped()
	for _, m := range c.Modules {
		if name, _, _ := strings.Cut(filepath.Base(m), ".ko"); skip[name] {
			continue
		}
		if err := loadModule(m); err != nil {
			return err
		}
	}
	unix.Sethostname([]byte(c.Hostname))
	if err := loopback(); err != nil {
		return err
	}
	return nil
}

// skipped returns the modules that the kernel's command line excludes with
// "xenlab.skip=name,name".
func skipped() map[string]bool {
	skip := map[string]bool{}
	b, _ := os.ReadFile("/proc/cmdline") // mounted above; empty means none
	for _, f := range strings.Fields(string(b)) {
		if list, ok := strings.CutPrefix(f, "xenlab.skip="); ok {
			for _, m := range strings.Split(list, ",") {
				skip[m] = true
			}
		}
	}
	return skip
}

// loadModule loads a module, which the kernel unpacks if it is compressed.
func loadModule(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	flags := 0
	if strings.HasSuffix(path, ".xz") {
		flags = unix.MODULE_INIT_COMPRESSED_FILE
	}
	if err := unix.FinitModule(int(f.Fd()), "", flags); err != nil && err != unix.EEXIST {
		return fmt.Errorf("load %s: %w", path, err)
	}
	return nil
}

// quiet keeps the kernel's messages, except for a panic's, off the console. A guest's
// only console carries the protocol, and a message of the kernel within a line would
// destroy it. The messages stay in dmesg.
func quiet() error {
	// SYSLOG_ACTION_CONSOLE_LEVEL of syslog(2), which takes the level as length.
	const consoleLevel, emergencies = 8, 1
	if _, _, e := unix.Syscall(unix.SYS_SYSLOG, consoleLevel, 0, emergencies); e != 0 {
		return os.NewSyscallError("syslog", e)
	}
	return nil
}

// loopback brings up the interface lo, which tools use among themselves.
func loopback() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr)
}

// startXen starts the services of dom0 in the order of their dependencies, like
// Debian's init script.
func startXen(c wire.Config) error {
	if err := unix.Mount("xenfs", "/proc/xen", "xenfs", 0, ""); err != nil {
		return fmt.Errorf("mount /proc/xen: %w", err)
	}
	for _, d := range []string{"/run/xen", "/run/xenstored", "/var/lib/xen", "/var/lib/xenstored", "/var/log/xen/console", "/var/lock"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := command(c, "xenstored", append([]string{"--pid-file", "/run/xenstored.pid"}, c.Xenstored...)...); err != nil {
		return err
	}
	if err := waitFor("/run/xenstored/socket", 20*time.Second); err != nil {
		return err
	}
	if err := command(c, "xen-init-dom0"); err != nil {
		return err
	}
	return command(c, "xenconsoled", "--log=guest", "--log-dir=/var/log/xen/console", "--pid-file=/run/xenconsoled.pid")
}

func command(c wire.Config, name string, args ...string) error {
	out, err := exec.Command(filepath.Join(c.XenDir, name), args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

func waitFor(path string, limit time.Duration) error {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%s did not appear within %v", path, limit)
}
