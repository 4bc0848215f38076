// Deb builds the Debian packages of this project.
//
// Synopsis:
//
//	deb [-o directory] package ...
//
// Packages:
//
//	stubtpm-guest   for a Xen guest: guestbridge and its systemd unit
//	stubtpm-host    for dom0: the unikernels, stubtpm, stubtpm-host and its units
//
// A package is made by dpkg-deb of static Go programs and the files below this
// command's own directory, with times of SOURCE_DATE_EPOCH (0 if unset), so that
// the same source gives the same bytes. The exit code is 0 if all were built, 1 if
// not, 2 for wrong usage.
package main

import (
	"embed"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"stubtpm/image"
)

// version is the version of all packages.
const version = "0.1.0"

// A debian describes a package.
type debian struct {
	name, depends, description string
	// programs maps the path of a program in the package to its Go package.
	programs map[string]string
	// images maps the path of an image in the package to its unikernel.
	images map[string]string
	// printed maps the path of a generated file to the program that prints it,
	// with its arguments.
	printed map[string][]string
	// pages is the program that writes the manual pages, if there is one.
	pages string
	// manifest is the path of the manifest of the images, if there is one.
	manifest string
	// files maps the path of a file in the package to one of this directory.
	files map[string]string
	// units are enabled and started when the package is installed.
	units []string
}

//go:embed guest host
var files embed.FS

var packages = []debian{{
	name:        "stubtpm-guest",
	description: "TPM 2.0 with a resource manager for a Xen guest\n xen-tpmfront registers its TPM as a 1.2 without /dev/tpmrm0. This service adds\n a TPM 2.0 by the kernel's module tpm_vtpm_proxy and passes its commands on.",
	programs:    map[string]string{"usr/sbin/guestbridge": "stubtpm/tools/guestbridge", "usr/sbin/stubtpm-guest": "stubtpm/tools/stubtpm-guest"},
	files:       map[string]string{"lib/systemd/system/stubtpm-guest.service": "guest/stubtpm-guest.service"},
	units:       []string{"stubtpm-guest.service"},
}, {
	name:        "stubtpm-host",
	depends:     "xen-utils-common",
	description: "virtual TPM 2.0s for Xen guests, each in a domain of its own\n The unikernels of vTPMs and their manager, the administrator's command stubtpm,\n and units that start them, start them again, and connect them again.",
	programs: map[string]string{
		"usr/sbin/stubtpm-host": "stubtpm/tools/stubtpm-host",
		"usr/sbin/stubtpm":      "stubtpm/tools/stubtpm",
	},
	images: map[string]string{
		"usr/lib/stubtpm/vtpmmgr.elf": "stubtpm/stubdom/vtpmmgr",
		"usr/lib/stubtpm/vtpm.elf":    "stubtpm/stubdom/vtpm",
		"usr/lib/stubtpm/loader.elf":  "stubtpm/stubdom/loader",
	},
	printed: map[string][]string{
		"usr/share/bash-completion/completions/stubtpm":    {"usr/sbin/stubtpm", "completion", "bash"},
		"usr/share/zsh/vendor-completions/_stubtpm":        {"usr/sbin/stubtpm", "completion", "zsh"},
		"usr/share/fish/vendor_completions.d/stubtpm.fish": {"usr/sbin/stubtpm", "completion", "fish"},
	},
	pages:    "usr/sbin/stubtpm",
	manifest: "usr/lib/stubtpm/manifest.json",
	files: map[string]string{
		"lib/systemd/system/stubtpm-manager.service":  "host/stubtpm-manager.service",
		"lib/systemd/system/stubtpm-vtpm@.service":    "host/stubtpm-vtpm@.service",
		"lib/systemd/system/stubtpm-doorbell.service": "host/stubtpm-doorbell.service",
		"lib/systemd/system/stubtpm-domain@.service":  "host/stubtpm-domain@.service",
		"usr/share/doc/stubtpm-host/dom0-tpm.cfg":     "host/dom0-tpm.cfg",
	},
	units: []string{"stubtpm-manager.service", "stubtpm-doorbell.service"},
}}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("deb", flag.ContinueOnError)
	f.SetOutput(stderr)
	out := f.String("o", ".", "`directory` for the packages")
	if err := f.Parse(args); err != nil || f.NArg() == 0 {
		return 2
	}
	for _, name := range f.Args() {
		i := 0
		for i < len(packages) && packages[i].name != name {
			i++
		}
		if i == len(packages) {
			fmt.Fprintf(stderr, "deb: no package of the name %s\n", name)
			return 2
		}
		file, err := packages[i].build(*out)
		if err != nil {
			fmt.Fprintf(stderr, "deb: %s: %v\n", name, err)
			return 1
		}
		fmt.Fprintln(stdout, file)
	}
	return 0
}

// build creates the package in a directory and returns its file name.
func (p *debian) build(dir string) (string, error) {
	tree, err := os.MkdirTemp("", "deb")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tree)
	if err := os.Chmod(tree, 0o755); err != nil {
		return "", err
	}
	for to, pkg := range p.programs {
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(tree, to), pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
		if b, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("go build %s: %w\n%s", pkg, err, b)
		}
	}
	for to, pkg := range p.images {
		file, err := filepath.Abs(filepath.Join(tree, to))
		if err != nil {
			return "", err
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return "", err
		}
		if b, err := exec.Command("go", "run", "stubtpm/tools/baremetal", "build", "-o", file, pkg).CombinedOutput(); err != nil {
			return "", fmt.Errorf("baremetal build %s: %w\n%s", pkg, err, b)
		}
	}
	if err := p.derive(tree); err != nil {
		return "", err
	}
	for to, from := range p.files {
		b, err := files.ReadFile(from)
		if err != nil {
			return "", err
		}
		if err := write(filepath.Join(tree, to), b, 0o644); err != nil {
			return "", err
		}
	}
	for name, text := range p.control() {
		mode := fs.FileMode(0o755)
		if name == "control" {
			mode = 0o644
		}
		if err := write(filepath.Join(tree, "DEBIAN", name), []byte(text), mode); err != nil {
			return "", err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	file := filepath.Join(dir, fmt.Sprintf("%s_%s_amd64.deb", p.name, version))
	cmd := exec.Command("dpkg-deb", "--root-owner-group", "--build", tree, file)
	cmd.Env = os.Environ()
	if os.Getenv("SOURCE_DATE_EPOCH") == "" {
		cmd.Env = append(cmd.Env, "SOURCE_DATE_EPOCH=0")
	}
	if b, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("dpkg-deb: %w\n%s", err, b)
	}
	return file, nil
}

// derive writes the files that are generated from the programs and images in the tree.
func (p *debian) derive(tree string) error {
	for to, words := range p.printed {
		b, err := exec.Command(filepath.Join(tree, words[0]), words[1:]...).Output()
		if err != nil {
			return fmt.Errorf("%s: %w", strings.Join(words, " "), err)
		}
		if err := write(filepath.Join(tree, to), b, 0o644); err != nil {
			return err
		}
	}
	if p.pages != "" {
		if b, err := exec.Command(filepath.Join(tree, p.pages), "man", filepath.Join(tree, "usr/share/man")).CombinedOutput(); err != nil {
			return fmt.Errorf("%s man: %w\n%s", p.pages, err, b)
		}
	}
	if p.manifest == "" {
		return nil
	}
	var list []string
	for to := range p.images {
		list = append(list, filepath.Join(tree, to))
	}
	m, err := image.NewManifest(list...)
	if err != nil {
		return err
	}
	b, err := m.Encode()
	if err != nil {
		return err
	}
	return write(filepath.Join(tree, p.manifest), b, 0o644)
}

// control returns the files of the package's control area.
func (p *debian) control() map[string]string {
	depends := ""
	if p.depends != "" {
		depends = "Depends: " + p.depends + "\n"
	}
	m := map[string]string{"control": "Package: " + p.name + "\nVersion: " + version +
		"\nArchitecture: amd64\nMaintainer: stubtpm <stubtpm@localhost>\nSection: admin\nPriority: optional\n" +
		depends + "Description: " + p.description + "\n"}
	if len(p.units) == 0 {
		return m
	}
	units := strings.Join(p.units, " ")
	// A chroot or an image under construction has no running systemd.
	const running = "[ -d /run/systemd/system ]"
	m["postinst"] = "#!/bin/sh\nset -e\nif [ \"$1\" = configure ] && command -v systemctl >/dev/null; then\n\tsystemctl enable " + units +
		"\n\tif " + running + "; then systemctl daemon-reload; systemctl restart " + units + " || true; fi\nfi\n"
	m["prerm"] = "#!/bin/sh\nset -e\nif [ \"$1\" = remove ] && command -v systemctl >/dev/null; then\n\tif " + running +
		"; then systemctl stop " + units + " || true; fi\n\tsystemctl disable " + units + "\nfi\n"
	return m
}

func write(name string, b []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(name, b, mode); err != nil {
		return err
	}
	return os.Chmod(name, mode)
}
