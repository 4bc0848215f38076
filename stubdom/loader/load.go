//go:build tamago

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"stubtpm/board/pvh"
	"stubtpm/image/uki"
	"stubtpm/stubdom/loader/authenticode"
	"stubtpm/stubdom/loader/bzimage"
	"stubtpm/stubdom/loader/entry"
	"stubtpm/stubdom/loader/measure"
)

// A loaded is what was read into memory, as it will be started.
type loaded struct {
	memory   *bzimage.Memory
	path     string     // of the program that was booted
	file     []byte     // all of it
	unified  *uki.Image // nil unless it is unified
	initrd   []byte
	line     string
	external bool // the command line is not, or not only, that of a unified image
}

// A source is a file.
type source interface {
	io.ReaderAt
	io.Closer
}

// open opens a file of a disk.
func open(f fs.FS, name string) (source, int64, error) {
	o, err := f.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := o.Stat()
	if err != nil {
		return nil, 0, err
	}
	r, ok := o.(source)
	if !ok {
		return nil, 0, fmt.Errorf("%s: %w", name, fs.ErrInvalid)
	}
	return r, info.Size(), nil
}

// loadEntry reads what an entry names.
func loadEntry(e entry.Entry, more string) (*loaded, error) {
	if e.Unified != "" {
		return loadFile(e, more)
	}
	memory, addr := pvh.Free()
	l := &loaded{memory: bzimage.NewMemory(memory, addr), path: "\\" + strings.ReplaceAll(e.Linux, "/", "\\"),
		line: strings.TrimSpace(e.Options + " " + more), external: true}
	r, size, err := open(e.FS, e.Linux)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if l.file, err = l.memory.ReadKernel(r, size); err != nil {
		return nil, fmt.Errorf("%s: %w", e.Linux, err)
	}
	for _, name := range e.Initrds {
		r, size, err := open(e.FS, name)
		if err != nil {
			return nil, err
		}
		defer r.Close()
		if _, err = l.memory.ReadInitrd(r, size); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	l.initrd = l.memory.Initrd()
	return l, nil
}

// loadFile reads a unified kernel image of a disk to the end of memory: all of it is
// measured before a part of it is used.
func loadFile(e entry.Entry, more string) (*loaded, error) {
	r, size, err := open(e.FS, e.Unified)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	memory, _ := pvh.Free()
	if size < 0 || size > int64(len(memory)) {
		return nil, fmt.Errorf("%s: %w: %d bytes", e.Unified, bzimage.ErrMemory, size)
	}
	file := memory[(int64(len(memory))-size)&^(pageSize-1):][:size]
	if n, err := r.ReadAt(file, 0); n < len(file) {
		return nil, fmt.Errorf("%s: %w", e.Unified, err)
	}
	return loadUnified(file, "\\"+strings.ReplaceAll(e.Unified, "/", "\\"), more)
}

// loadUnified loads a unified kernel image that is in memory.
func loadUnified(file []byte, path, more string) (*loaded, error) {
	image, err := uki.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, err
	}
	if ok, err := image.Unified(); err != nil || !ok {
		return nil, errors.Join(fmt.Errorf("%s: %w: no section .linux", path, uki.ErrImage), err)
	}
	l := &loaded{memory: newMemory(file), path: path, file: file, unified: image, external: more != ""}
	linux, err := image.Section(".linux")
	if err != nil {
		return nil, err
	}
	if _, err := l.memory.ReadKernel(linux, linux.Size()); err != nil {
		return nil, err
	}
	for _, name := range []string{".ucode", ".initrd"} {
		s, err := image.Section(name)
		if err != nil {
			return nil, err
		}
		if s == nil {
			continue
		}
		if _, err := l.memory.ReadInitrd(s, s.Size()); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	l.initrd = l.memory.Initrd()
	embedded, err := text(image, ".cmdline")
	l.line = strings.TrimSpace(embedded + " " + more)
	return l, err
}

// newMemory returns the memory below a file at its end, or all of it if the file is
// somewhere else.
func newMemory(file []byte) *bzimage.Memory {
	memory, addr := pvh.Free()
	if at := pvh.Address(file); len(memory) > 0 && at >= addr && at < addr+uint64(len(memory)) {
		memory = memory[:at-addr]
	}
	return bzimage.NewMemory(memory, addr)
}

// text returns a section that is text, without zeros and newlines at its end.
func text(image *uki.Image, name string) (string, error) {
	s, err := image.Section(name)
	if s == nil || err != nil {
		return "", err
	}
	if s.Size() > pageSize {
		return "", fmt.Errorf("%w: section %s of %d bytes", uki.ErrImage, name, s.Size())
	}
	b, err := io.ReadAll(s)
	return strings.TrimRight(string(b), "\x00\r\n \t"), err
}

// verify returns an error unless one of the keys of a list has signed the program.
func (l *loaded) verify(list string) error {
	keys, err := authenticode.ParseKeys(list)
	if err != nil {
		return err
	}
	check := keys.VerifyFile
	if l.unified != nil {
		check = keys.Verify
	}
	signer, err := check(l.file)
	if err != nil {
		return fmt.Errorf("%s: %w", l.path, err)
	}
	log("%s is signed by %s", l.path, signer)
	return nil
}

// measured extends the TPM with what was loaded.
func (l *loaded) measured(ctx context.Context, m *measure.Measurer) error {
	var err error
	if l.unified != nil {
		err = m.Unified(ctx, l.unified, l.path)
	} else {
		err = m.Kernel(ctx, l.file, l.path)
	}
	if err == nil {
		err = m.CommandLine(ctx, l.line, l.external)
	}
	if err == nil && len(l.initrd) > 0 {
		err = m.Initrd(ctx, l.initrd)
	}
	return err
}

// finish prepares the entry into the kernel.
func (l *loaded) finish() (pvh.Jump, error) {
	p := bzimage.Params{CommandLine: l.line, RSDP: pvh.Start().RSDP}
	for _, r := range pvh.Start().Regions {
		p.Regions = append(p.Regions, bzimage.Region{Start: r.Start, Size: r.Size, Type: r.Type})
	}
	e, err := l.memory.Finish(p)
	return pvh.Jump{Entry: e.Entry, Arg: e.Params, Stack: e.Stack, Tables: e.Tables, GDT: e.GDT}, err
}
