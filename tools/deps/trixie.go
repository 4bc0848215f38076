package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"stubtpm/tools/initramfs"
	"stubtpm/tools/xenlab/lab"
)

// ofTrixie lists the packages of Debian 13 that the lab takes files of, and what needs each
// of them. Packages that these depend on are unpacked too.
var ofTrixie = [...]struct{ name, why string }{
	{"xen-hypervisor-4.20-amd64", "the hypervisor"},
	{"xen-utils-4.20", "dom0's programs"},
	{"xenstore-utils", "the same"},
	{"dmsetup", "a disk that stalls, in dom0"},
	{"linux-image-amd64", "the kernel of dom0 and guest"},
	{"busybox-static", "userland of dom0 and guest"},
	{"tpm2-tools", "clients in the guest"},
	{"cryptsetup-bin", "a guest's encrypted disk"},
	{"systemd", "the same: systemd-cryptenroll; and systemd-pcrlock"},
	{"systemd-cryptsetup", "the same"},
	{"systemd-boot-efi", "the stub of a unified kernel image in a test"},
	{"libtss2-esys-3.0.2-0t64", "opened by systemd at run time"},
	{"libtss2-mu-4.0.1-0t64", "the same"},
	{"libtss2-rc0t64", "the same"},
	{"libtss2-tcti-device0t64", "opened by tpm2-tools and systemd at run time"},
	{"libgcc-s1", "opened by xl at run time"},
}

// suite is the name of Debian 13.
const suite = "trixie"

// trixie downloads the packages of Debian 13 and unpacks them below
// initramfs.SysrootTrixie. This does not need root.
func (g *getter) trixie() error {
	if len(lab.Missing(lab.Trixie)) == 0 {
		fmt.Fprintln(g.out, "deps: the packages of Debian 13 are there")
		return nil
	}
	var names []string
	for _, p := range ofTrixie {
		names = append(names, p.name)
	}
	fmt.Fprintf(g.out, "deps: to unpack below %s: %s, and what they depend on\n", initramfs.SysrootTrixie, strings.Join(names, ", "))
	if g.dry {
		return nil
	}
	dir, err := filepath.Abs(filepath.Join(filepath.Dir(initramfs.SysrootTrixie), "apt-"+suite))
	if err != nil {
		return err
	}
	options, err := aptDirectory(dir)
	if err != nil {
		return err
	}
	apt := func(args ...string) error {
		return g.command("", append(append([]string{"apt-get"}, options...), args...)...)
	}
	if err := apt("update", "-q"); err != nil {
		return err
	}
	// Packages of an earlier time must not be unpacked with these.
	if err := apt("clean"); err != nil {
		return err
	}
	if err := apt(append([]string{"install", "-y", "-q", "--download-only", "--no-install-recommends"}, names...)...); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(dir, "archives", "*.deb"))
	if err != nil || len(debs) == 0 {
		return fmt.Errorf("apt-get left no package in %s/archives", dir)
	}
	if err := g.unpackMerged(debs, initramfs.SysrootTrixie); err != nil {
		return err
	}
	if lines := lab.Missing(lab.Trixie); len(lines) > 0 {
		return fmt.Errorf("still missing:\n  %s", strings.Join(lines, "\n  "))
	}
	fmt.Fprintf(g.out, "deps: %d packages of Debian 13 are unpacked\n", len(debs))
	return apt("clean")
}

// aptDirectory creates apt's files for Debian 13 in a directory, with no package
// installed, and returns the options that make apt-get use them alone. The keys of
// Debian's archive are the host's.
func aptDirectory(dir string) ([]string, error) {
	for _, d := range []string{"lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	sources, err := sources()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "sources.list"), []byte(sources), 0o644); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "status"), nil, 0o644); err != nil {
		return nil, err
	}
	var options []string
	for _, o := range []string{
		"Dir::State=" + dir, "Dir::State::lists=" + dir + "/lists", "Dir::State::status=" + dir + "/status",
		"Dir::State::extended_states=" + dir + "/extended_states",
		"Dir::Cache=" + dir, "Dir::Cache::archives=" + dir + "/archives",
		"Dir::Etc::sourcelist=" + dir + "/sources.list", "Dir::Etc::sourceparts=/dev/null",
		"Dir::Etc::preferences=/dev/null", "Dir::Etc::preferencesparts=/dev/null",
		// apt's own user may not be able to write here.
		"APT::Sandbox::User=root",
		"APT::Architecture=amd64", "APT::Architectures=amd64",
	} {
		options = append(options, "-o", o)
	}
	return options, nil
}

// sources returns apt's sources of Debian 13: those of the host's own Debian, with the
// name of the release replaced.
func sources() (string, error) {
	c := exec.Command("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages")
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(c.Args, " "), err)
	}
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", err
	}
	name := ""
	for line := range strings.Lines(string(release)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "VERSION_CODENAME="); ok {
			name = strings.Trim(v, `"`)
		}
	}
	return renamed(string(out), name)
}

// renamed returns apt's sources for lines of address, release and component in which the
// release is that of a name, such as bookworm, or a part of it, such as
// bookworm-security.
func renamed(targets, name string) (string, error) {
	var list strings.Builder
	for line := range strings.Lines(targets) {
		f := strings.Fields(line)
		if len(f) != 3 || f[2] != "main" || name == "" {
			continue
		}
		if part, ok := strings.CutPrefix(f[1], name); ok && (part == "" || part[0] == '-') {
			fmt.Fprintf(&list, "deb %s %s main\n", f[0], suite+part)
		}
	}
	if list.Len() == 0 {
		return "", errors.New("apt has no source of this host's own Debian (/etc/os-release: " + name + "); after apt-get update it should")
	}
	return list.String(), nil
}

// unpackMerged unpacks packages into a new root whose /bin, /lib and so on are links into
// /usr, as Debian 13 has them.
func (g *getter) unpackMerged(debs []string, root string) error {
	if err := os.RemoveAll(root); err != nil {
		return err
	}
	for _, d := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.MkdirAll(filepath.Join(root, "usr", d), 0o755); err != nil {
			return err
		}
		if err := os.Symlink("usr/"+d, filepath.Join(root, d)); err != nil {
			return err
		}
	}
	for _, d := range debs {
		if err := g.command("", "dpkg-deb", "-x", d, root); err != nil {
			return err
		}
		if err := addSums(d, root); err != nil {
			return err
		}
	}
	return nil
}
