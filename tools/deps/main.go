// Command deps installs the Debian 12 packages that this project's tests and its
// Xen lab need, and reports what it could not install.
//
// Synopsis:
//
//	deps [-n] [-for everyday|fleet|trixie]
//
// Programs are installed with apt-get, as root or with sudo. The Xen hypervisor
// and the Linux kernel are only downloaded and unpacked below build/sysroot,
// because their installation would change what the host boots. Packages that are
// installed already are left alone.
//
// Options: -n prints what would be done. -for everyday installs, instead of these,
// the packages that the first lines of tools/everyday's scripts name; some of them
// are services that may not be wanted on a workstation. -for fleet downloads etcd-server,
// which tools/fleet's tests run, and unpacks it below build/sysroot, unless the host has
// it: installed it would be a service. -for trixie downloads the
// packages of Debian 13 that the Xen lab can run instead of Debian 12's, and all that they
// depend on, and unpacks them below build/sysroot-trixie; it installs nothing and does not
// need root. apt's sources for that are the host's own, with the name of the release
// replaced.
//
// The exit code is 0 if nothing is missing afterwards, 1 otherwise.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"stubtpm/tools/initramfs"
	"stubtpm/tools/xenlab/lab"
)

// installed lists the packages to install, and what needs each of them.
var installed = [...]struct{ name, why string }{
	{"qemu-system-x86", "runs the lab and the bare-metal self-test"},
	{"seabios", "QEMU's firmware"},
	{"ipxe-qemu", "QEMU's option ROMs"},
	{"xen-utils-4.17", "dom0's programs in the lab"},
	{"xenstore-utils", "the same"},
	{"dmsetup", "a disk that stalls, in the lab's dom0"},
	{"swtpm", "the lab's hardware TPM, and the other side of comparisons"},
	{"swtpm-tools", "the same"},
	{"tpm2-tools", "clients in the guest and in the conformance tests"},
	{"cryptsetup-bin", "a guest's encrypted disk"},
	{"systemd", "the same: systemd-cryptenroll"},
	{"openssl", "another client's cryptography in the tests"},
	{"xxd", "the same"},
	{"linux-libc-dev", "Linux's headers, with which a test compares numbers"},
	{"checkpolicy", "compiles the FLASK policy module"},
	{"m4", "the same"},
	{"sbsigntool", "signs EFI programs, with which hashes of them are compared"},
	{"pesign", "the same"},
	{"osslsigncode", "the same"},
	{"systemd-boot-efi", "the stub of a unified kernel image in a test"},
	{"binutils", "objcopy, which makes such an image"},
	{"busybox-static", "userland of dom0 and guest"},
	{"e2fsprogs", "makes file systems for the loader's tests"},
	{"dosfstools", "the same"},
	{"mtools", "the same"},
	{"fdisk", "makes partition tables for them"},
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("deps", flag.ContinueOnError)
	f.SetOutput(stderr)
	dry := f.Bool("n", false, "print what would be done")
	purpose := f.String("for", "", "\"everyday\": only the packages of tools/everyday's scripts; \"fleet\": only etcd; \"trixie\": only those of Debian 13 for the Xen lab")
	if err := f.Parse(args); err != nil {
		return 2
	}
	g := getter{dry: *dry, out: stdout}
	get := g.all
	switch *purpose {
	case "":
	case "everyday":
		get = g.everyday
	case "fleet":
		get = g.fleet
	case "trixie":
		get = g.trixie
	default:
		fmt.Fprintf(stderr, "deps: -for %s: there are only everyday, fleet and trixie\n", *purpose)
		return 2
	}
	if err := get(); err != nil {
		fmt.Fprintf(stderr, "deps: %v\n", err)
		return 1
	}
	return 0
}

// A getter installs packages.
type getter struct {
	dry     bool
	out     io.Writer
	updated bool
}

func (g *getter) all() error {
	var names []string
	for _, p := range installed {
		names = append(names, p.name)
	}
	if err := g.missing(names); err != nil {
		return err
	}
	if g.dry {
		fmt.Fprintf(g.out, "to unpack below %s, if not there: %s\n", initramfs.Sysroot, strings.Join(unpacked, ", "))
		return nil
	}
	if _, err := initramfs.FindKernel(); err != nil {
		if err := g.unpackKernel(); err != nil {
			return err
		}
	}
	if lines := lab.Missing(lab.Bookworm); len(lines) > 0 {
		// Only the hypervisor is left.
		if err := g.unpack("xen-hypervisor-4.17-amd64"); err != nil {
			return err
		}
	}
	if lines := lab.Missing(lab.Bookworm); len(lines) > 0 {
		return fmt.Errorf("still missing:\n  %s", strings.Join(lines, "\n  "))
	}
	fmt.Fprintln(g.out, "deps: all is there")
	return nil
}

// missing installs the packages that are not installed.
func (g *getter) missing(names []string) error {
	names = slices.DeleteFunc(names, have)
	if len(names) == 0 {
		return nil
	}
	return g.install(names)
}

// everyday installs what tools/everyday's scripts need, each of which lists its
// packages in its first line, and what they and tools/conformance need besides.
func (g *getter) everyday() error {
	files, err := filepath.Glob("tools/everyday/testdata/*.sh")
	if err != nil || len(files) == 0 {
		return errors.New("no script in tools/everyday/testdata: run it at the root of the project")
	}
	names := []string{"tpm2-tools", "swtpm-tools", "openssl", "xxd"}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		line, _, _ := strings.Cut(string(b), "\n")
		if list, ok := strings.CutPrefix(line, "# packages: "); ok {
			names = append(names, strings.Fields(list)...)
		}
	}
	slices.Sort(names)
	if err := g.missing(slices.Compact(names)); err != nil {
		return err
	}
	fmt.Fprintln(g.out, "deps: everyday's packages are there")
	return nil
}

// fleet unpacks what tools/fleet's tests run.
func (g *getter) fleet() error {
	const pkg = "etcd-server"
	_, err := os.Stat(filepath.Join(initramfs.Sysroot, "usr/bin/etcd"))
	if _, perr := exec.LookPath("etcd"); err == nil || perr == nil {
		fmt.Fprintln(g.out, "deps: etcd is there")
		return nil
	}
	if g.dry {
		fmt.Fprintf(g.out, "to unpack below %s: %s\n", initramfs.Sysroot, pkg)
		return nil
	}
	return g.unpack(pkg)
}

// unpacked lists the packages that are only unpacked.
var unpacked = []string{"xen-hypervisor-4.17-amd64", "the kernel that linux-image-amd64 depends on"}

// have reports whether a package is installed.
func have(pkg string) bool {
	out, err := exec.Command("dpkg-query", "-W", "-f", "${db:Status-Status}", pkg).Output()
	return err == nil && string(out) == "installed"
}

func (g *getter) install(pkgs []string) error {
	list := strings.Join(pkgs, " ")
	cmd := "apt-get install --no-install-recommends " + list
	fmt.Fprintf(g.out, "deps: to install: %s\n", list)
	if g.dry {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("there is no apt-get here; this needs Debian 12 or these programs by other means: %s", list)
	}
	if os.Geteuid() != 0 {
		if _, err := exec.LookPath("sudo"); err != nil {
			return fmt.Errorf("neither root nor sudo; as root run:\n  apt-get update && %s", cmd)
		}
	}
	if err := g.update(); err != nil {
		return err
	}
	args := append([]string{"install", "-y", "-q", "--no-install-recommends"}, pkgs...)
	if err := g.apt(args...); err != nil {
		return fmt.Errorf("%w; by hand:\n  %s", err, cmd)
	}
	return nil
}

// update fetches the package lists once.
func (g *getter) update() error {
	if g.updated {
		return nil
	}
	g.updated = true
	return g.apt("update", "-q")
}

// apt runs apt-get as root.
func (g *getter) apt(args ...string) error {
	argv := append([]string{"env", "DEBIAN_FRONTEND=noninteractive", "apt-get"}, args...)
	if os.Geteuid() != 0 {
		argv = append([]string{"sudo"}, argv...)
	}
	return g.command("", argv...)
}

func (g *getter) command(dir string, argv ...string) error {
	c := exec.Command(argv[0], argv[1:]...)
	c.Dir, c.Stdout, c.Stderr, c.Stdin = dir, g.out, g.out, os.Stdin
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
	}
	return nil
}

// unpackKernel finds the kernel package behind linux-image-amd64.
func (g *getter) unpackKernel() error {
	find := func() string {
		out, _ := exec.Command("apt-cache", "depends", "--important", "linux-image-amd64").Output()
		for _, l := range strings.Split(string(out), "\n") {
			if _, pkg, ok := strings.Cut(l, "Depends: "); ok && strings.HasPrefix(pkg, "linux-image-") {
				return pkg
			}
		}
		return ""
	}
	pkg := find()
	if pkg == "" && (os.Geteuid() == 0 || hasSudo()) {
		if err := g.update(); err != nil {
			return err
		}
		pkg = find()
	}
	if pkg == "" {
		return fmt.Errorf("apt-cache knows no linux-image-amd64; as root run: apt-get update")
	}
	return g.unpack(pkg)
}

func hasSudo() bool {
	_, err := exec.LookPath("sudo")
	return err == nil
}

// unpack downloads a package and unpacks it below the sysroot. This does not need
// root, only recent package lists.
func (g *getter) unpack(pkg string) error {
	dir := filepath.Join(filepath.Dir(initramfs.Sysroot), "debs")
	for _, d := range []string{dir, initramfs.Sysroot} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	fmt.Fprintf(g.out, "deps: to unpack below %s: %s\n", initramfs.Sysroot, pkg)
	// apt's sandbox user may not be able to write here: download as ourselves.
	download := []string{"apt-get", "-o", "APT::Sandbox::User=root", "download", "-q", pkg}
	if err := g.command(dir, download...); err != nil {
		if os.Geteuid() != 0 && !hasSudo() {
			return err
		}
		if uerr := g.update(); uerr != nil {
			return uerr
		}
		if err := g.command(dir, download...); err != nil {
			return err
		}
	}
	debs, err := filepath.Glob(filepath.Join(dir, pkg+"_*.deb"))
	if err != nil || len(debs) == 0 {
		return fmt.Errorf("apt-get download %s left no package in %s", pkg, dir)
	}
	if err := g.command("", "dpkg-deb", "-x", debs[len(debs)-1], initramfs.Sysroot); err != nil {
		return err
	}
	return addSums(debs[len(debs)-1], initramfs.Sysroot)
}

// addSums adds a package's list of sums to that of a root, with which the lab shows that a
// file is Debian's.
func addSums(deb, root string) error {
	sums, err := exec.Command("dpkg-deb", "-I", deb, "md5sums").Output()
	if err != nil {
		return nil // a package need not have one
	}
	l, err := os.OpenFile(filepath.Join(root, "md5sums"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = l.Write(sums)
	return errors.Join(err, l.Close())
}
