package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// Tags of every image. linkcpuinit and linkramstart tell the tamago library that
// the board brings the entry and the memory's start; stockgo tells the board
// that the port's hooks for exceptions are there.
const (
	imageTags  = "tamago,linkcpuinit,linkramstart"
	overlayTag = "stockgo"
)

// defaultAddr is where images are linked: 2 MiB, since libxl refuses a kernel
// that lies above a small domain's memory, and the first 2 MiB hold the page
// that must stay unmapped for nil dereferences.
const defaultAddr = "0x201000"

// A builder holds what one image needs.
type builder struct {
	pkg, out, tags, addr string
	strip                bool
	test                 bool   // build the package's tests
	dir                  string // working directory of go build
	overlay              string // from the stock tree if empty
	cache                string // build cache, the user's if empty
	stdout, stderr       io.Writer
}

func runBuild(args []string, stdout, stderr io.Writer) error {
	fl := flag.NewFlagSet("build", flag.ContinueOnError)
	fl.SetOutput(stderr)
	b := builder{stdout: stdout, stderr: stderr}
	fl.StringVar(&b.out, "o", "", "image `file` (default: the package's name with .elf)")
	fl.StringVar(&b.tags, "tags", "", "further build tags, by commas")
	fl.StringVar(&b.addr, "ldaddr", defaultAddr, "link `address`")
	fl.BoolVar(&b.strip, "s", false, "leave out symbols and debug information")
	if err := fl.Parse(args); err != nil || fl.NArg() != 1 {
		return errUsage
	}
	b.pkg = fl.Arg(0)
	return b.build()
}

// build makes the image, adds the PVH note and checks it. The check needs the
// symbols: a stripped image is linked twice.
func (b *builder) build() error {
	if b.out == "" {
		b.out = path.Base(b.pkg) + ".elf"
	}
	out, err := filepath.Abs(b.out)
	if err != nil {
		return err
	}
	b.out = out
	if err := b.link(false); err != nil {
		return err
	}
	if _, err := scanImage(b.out); err != nil {
		os.Remove(b.out)
		return err
	}
	if b.strip {
		if err := b.link(true); err != nil {
			return err
		}
	}
	return addPVHNote(b.out)
}

// link runs go build.
func (b *builder) link(strip bool) error {
	cmd, err := b.goBuild(strip)
	if err != nil {
		return err
	}
	cmd.Dir = b.dir
	cmd.Stdout, cmd.Stderr = b.stdout, b.stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build %s: %w", b.pkg, err)
	}
	return nil
}

// goBuild returns the command that links b.out.
func (b *builder) goBuild(strip bool) (*exec.Cmd, error) {
	goTool, goos := "go", "linux"
	tags := imageTags
	var args []string
	if tree := os.Getenv("TAMAGO"); tree != "" {
		// An upstream TamaGo toolchain has the port built in; it finds the
		// hooks by GOOSPKG, the documented overlay of runtime/goos. This way is
		// kept simple and is not tested in this repository.
		goTool, goos = tree, "tamago"
	} else {
		if b.overlay == "" {
			goroot, err := goEnv("GOROOT")
			if err != nil {
				return nil, err
			}
			if b.overlay, err = cachedOverlay(goroot); err != nil {
				return nil, err
			}
		}
		tags += "," + overlayTag
		args = append(args, "-overlay", b.overlay)
	}
	if b.tags != "" {
		tags += "," + b.tags
	}
	ldflags := "-T " + b.addr + " -R 0x1000 -E cpuinit"
	if strip {
		ldflags = "-s -w " + ldflags
	}
	verb := []string{"build"}
	if b.test {
		verb = []string{"test", "-c", "-vet=off"}
	}
	args = append(verb, append(args, "-trimpath", "-buildvcs=false", "-tags", tags,
		"-ldflags", ldflags, "-o", b.out, b.pkg)...)
	cmd := exec.Command(goTool, args...)
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH=amd64", "GOAMD64=v1", "CGO_ENABLED=0",
		"GOFLAGS=-mod=readonly", "GOWORK=off", "GOTOOLCHAIN=local")
	if b.cache != "" {
		cmd.Env = append(cmd.Env, "GOCACHE="+b.cache)
	}
	if goos == "tamago" {
		cmd.Env = append(cmd.Env, "GOOSPKG=github.com/usbarmory/tamago")
	}
	return cmd, nil
}

// cachedOverlay makes the overlay in the user's cache directory, under a name made
// from all that goes into it: builds of different ports at the same time do
// not disturb each other.
func cachedOverlay(goroot string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	version, err := goEnv("GOVERSION")
	if err != nil {
		return "", err
	}
	sum, err := portSum(goroot, version)
	if err != nil {
		return "", err
	}
	return overlay(goroot, filepath.Join(cache, "stubtpm", "baremetal", sum))
}

func goEnv(name string) (string, error) {
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		return "", fmt.Errorf("go env %s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}
