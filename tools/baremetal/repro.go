package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// runRepro builds packages twice, from two copies of the module in directories
// with names of different length, one of them with an empty build cache, and
// compares the images.
func runRepro(args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		args = []string{"./stubdom/runtimetest"}
	}
	gomod, err := goEnv("GOMOD")
	if err != nil {
		return err
	}
	goroot, err := goEnv("GOROOT")
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "baremetal-repro-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	sums := make(map[string][2][sha256.Size]byte)
	for i, name := range []string{"a", "another-and-longer-name"} {
		dir := filepath.Join(tmp, name, "module")
		if err := copyTree(filepath.Dir(gomod), dir); err != nil {
			return err
		}
		ov, err := overlay(goroot, filepath.Join(tmp, name, "overlay"))
		if err != nil {
			return err
		}
		for _, pkg := range args {
			b := builder{pkg: pkg, dir: dir, overlay: ov, addr: defaultAddr, stdout: stdout, stderr: stderr,
				out: filepath.Join(tmp, name, "image.elf")}
			if i == 1 {
				b.cache = filepath.Join(tmp, name, "cache")
			}
			if err := b.build(); err != nil {
				return err
			}
			image, err := os.ReadFile(b.out)
			if err != nil {
				return err
			}
			pair := sums[pkg]
			pair[i] = sha256.Sum256(image)
			sums[pkg] = pair
		}
	}
	for _, pkg := range args {
		pair := sums[pkg]
		if pair[0] != pair[1] {
			return fmt.Errorf("%s: two builds differ: %x and %x", pkg, pair[0], pair[1])
		}
		fmt.Fprintf(stdout, "%x  %s, the same from two directories\n", pair[0], pkg)
	}
	return nil
}

// copyTree copies the regular files below from, but for version control's.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, p)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == ".git" {
				return filepath.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), b, 0o644)
	})
}
