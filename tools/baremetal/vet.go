package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// runVet runs go vet with the tags of an image. Vet does not take overlays that
// add a package, so it gets a GOROOT of symbolic links with the changed files. The
// check of unsafe.Pointer is off: here addresses come from hardware.
func runVet(args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		args = []string{"./board/...", "./drivers/...", "./stubdom/..."}
	}
	goroot, err := goEnv("GOROOT")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "baremetal-vet-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	shadow := filepath.Join(dir, "goroot")
	if err := shadowRoot(goroot, shadow, filepath.Join(dir, "files")); err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(goroot, "bin", "go"), append([]string{"vet", "-unsafeptr=false", "-tags", imageTags + "," + overlayTag}, args...)...)
	cmd.Env = append(os.Environ(), "GOROOT="+shadow, "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOTOOLCHAIN=local")
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go vet: %w", err)
	}
	return nil
}

// shadowRoot makes a tree of links to goroot in which the port's files stand at
// their places. Directories without a changed file are one link.
func shadowRoot(goroot, shadow, files string) error {
	changed, err := overlayFiles(goroot, files)
	if err != nil {
		return err
	}
	return shadowDir(goroot, shadow, changed)
}

func shadowDir(from, to string, changed map[string]string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for _, e := range entries {
		stock, link := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		if _, ok := changed[stock]; ok {
			continue
		}
		if e.IsDir() && anyBelow(stock, changed) {
			if err := shadowDir(stock, link, changed); err != nil {
				return err
			}
			continue
		}
		if err := os.Symlink(stock, link); err != nil {
			return err
		}
	}
	for stock, text := range changed {
		if filepath.Dir(stock) == from && text != "" {
			if err := os.Symlink(text, filepath.Join(to, filepath.Base(stock))); err != nil {
				return err
			}
		}
	}
	// A package that stock lacks, such as runtime/goos.
	made := make(map[string]bool)
	for stock := range changed {
		rest, ok := strings.CutPrefix(stock, from+string(filepath.Separator))
		if !ok {
			continue
		}
		first, _, deeper := strings.Cut(rest, string(filepath.Separator))
		sub := filepath.Join(from, first)
		if _, err := os.Stat(sub); !deeper || err == nil || made[sub] {
			continue
		}
		made[sub] = true
		if err := shadowDir(sub, filepath.Join(to, first), changed); err != nil {
			return err
		}
	}
	return nil
}

func anyBelow(dir string, changed map[string]string) bool {
	for stock := range changed {
		if strings.HasPrefix(stock, dir+string(filepath.Separator)) {
			return true
		}
	}
	return false
}
