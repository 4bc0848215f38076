// Command image measures unikernels and writes what is needed to boot them.
//
// Synopsis:
//
//	image measure FILE ...                hashes and memory of each image, from the file alone
//	image manifest DIR                    writes DIR/manifest.json about every *.elf in DIR
//	image verify DIR                      measures the images of DIR/manifest.json again
//	image config manager|vtpm|guest ...   prints an xl configuration; -help lists the options
//
// The exit code is 0 for success, 1 for an error or a mismatch, 2 for wrong
// usage.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"stubtpm/image"
)

func main() {
	os.Exit(exit(run(os.Args[1:], os.Stdout, os.Stderr), os.Stderr))
}

var errUsage = errors.New("usage: image measure FILE ... | manifest DIR | verify DIR | config manager|vtpm|guest [options]")

func exit(err error, stderr io.Writer) int {
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintln(stderr, err)
		return 2
	}
	fmt.Fprintf(stderr, "image: %v\n", err)
	return 1
}

func run(args []string, stdout, stderr io.Writer) error {
	if len(args) < 2 {
		return errUsage
	}
	rest := args[1:]
	switch args[0] {
	case "measure":
		for _, f := range rest {
			m, err := image.Measure(f)
			if err != nil {
				return err
			}
			b, err := json.MarshalIndent(m, "", "  ")
			if err != nil {
				return err
			}
			fmt.Fprintf(stdout, "%s\n%s\n", f, b)
		}
		return nil
	case "manifest":
		return manifest(rest[0], stdout)
	case "verify":
		b, err := os.ReadFile(filepath.Join(rest[0], "manifest.json"))
		if err != nil {
			return err
		}
		m, err := image.DecodeManifest(b)
		if err != nil {
			return err
		}
		return m.Verify(rest[0])
	case "config":
		return config(rest, stdout, stderr)
	}
	return errUsage
}

func manifest(dir string, stdout io.Writer) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.elf"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("no *.elf in %s", dir)
	}
	m, err := image.NewManifest(files...)
	if err != nil {
		return err
	}
	b, err := m.Encode()
	if err != nil {
		return err
	}
	for _, e := range m.Images {
		fmt.Fprintf(stdout, "%-14s %8d bytes, %5.1f MiB loaded, SHA-256 %s\n", e.Name, e.Size, float64(e.High-e.Low)/(1<<20), e.SHA256)
	}
	return os.WriteFile(filepath.Join(dir, "manifest.json"), b, 0o644)
}

func config(args []string, stdout, stderr io.Writer) error {
	var d image.Domain
	switch args[0] {
	case "manager":
		d = image.Manager(image.ManagerImage)
	case "vtpm":
		d = image.VTPM(image.VTPMImage, "", "vtpmmgr")
	case "guest":
		d = image.Guest("/boot/vmlinuz", "/boot/initrd.img", "console=hvc0", "vtpm", 512)
	default:
		return errUsage
	}
	f := flag.NewFlagSet("config "+args[0], flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&d.Name, "name", d.Name, "domain's name")
	f.StringVar(&d.Kernel, "kernel", d.Kernel, "image or kernel, path in dom0")
	f.StringVar(&d.Extra, "extra", d.Extra, "command line")
	f.IntVar(&d.Memory, "memory", d.Memory, "MiB")
	f.Func("disk", "block device in dom0 (may be repeated)", func(s string) error { d.Disks = append(d.Disks, s); return nil })
	if args[0] == "manager" {
		f.StringVar(&d.IOMem, "iomem", d.IOMem, "pages of the hardware TPM's registers")
	} else {
		f.StringVar(&d.VTPM.Backend, "backend", d.VTPM.Backend, "domain that serves this one")
		f.StringVar(&d.VTPM.UUID, "uuid", d.VTPM.UUID, "identity of the vTPM towards its manager")
	}
	if args[0] == "guest" {
		f.StringVar(&d.Ramdisk, "ramdisk", d.Ramdisk, "initramfs, path in dom0")
	}
	if err := f.Parse(args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if args[0] == "vtpm" && d.VTPM.UUID == "" {
		return errors.New("config vtpm: -uuid is needed: it is the vTPM's identity and must not change")
	}
	text, err := d.Config()
	if err != nil {
		return err
	}
	_, err = io.WriteString(stdout, text)
	return err
}
