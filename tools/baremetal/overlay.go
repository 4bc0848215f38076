package main

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// portFiles is the port: a tree laid out like $GOROOT/src. The directory's name
// begins with an underscore, so that the go command passes it by.
//
//go:embed all:port/_src
var portFiles embed.FS

const portRoot = "port/_src"

// An edit replaces old by new in a stock file, which must hold old exactly
// count times.
type edit struct {
	old   string
	count int
	new   string
}

// A change to the stock tree, named by a file below $GOROOT/src: edits of the
// file, or its absence. A file of the port with the same name replaces it.
type change struct {
	file  string
	why   string
	edits []edit
	// from names the stock file whose edited text becomes file; empty: file.
	from string
	omit bool
}

// changes lists all that the port does to stock files. The patterns were made
// for the Go version in go.mod; a version that moves one stops the build here.
var changes = []change{
	{file: "runtime/proc.go", why: "one thread: no sysmon, no template thread, LockOSThread without effect (the branches that stock has for wasm); interrupts before run queues", edits: []edit{
		{`if GOARCH == "wasm" {`, 5, `if oneThread {`},
		{`(islibrary || isarchive) && GOARCH != "wasm"`, 1, `(islibrary || isarchive) && !oneThread`},
		{`const haveSysmon = GOARCH != "wasm"`, 1, `const haveSysmon = !oneThread`},
		{"\tnow, pollUntil, _ := pp.timers.check(0, nil)\n", 1, "\trelayPoll()\n\tnow, pollUntil, _ := pp.timers.check(0, nil)\n"},
	}},
	{file: "runtime/debug.go", why: "GOMAXPROCS stays 1", edits: []edit{
		{`if GOARCH == "wasm" && n > 1 {`, 1, `if oneThread && n > 1 {`},
	}},
	{file: "runtime/malloc.go", why: "shape of the heap from runtime/goos; a big allocation collects garbage before memory runs out", edits: []edit{
		{"func mallocgcLarge(size uintptr, typ *_type, needzero bool) (unsafe.Pointer, uintptr) {\n", 1, "func mallocgcLarge(size uintptr, typ *_type, needzero bool) (unsafe.Pointer, uintptr) {\n\tbareMakeRoom(size)\n"},
		{"heapAddrBits = (_64bit*(1-goarch.IsWasm)*(1-goos.IsIos*goarch.IsArm64))*48 + (1-_64bit+goarch.IsWasm)*(32-(goarch.IsMips+goarch.IsMipsle)) + 40*goos.IsIos*goarch.IsArm64", 1, "heapAddrBits = bareHeapAddrBits"},
		{"logHeapArenaBytes = (6+20)*(_64bit*(1-goos.IsWindows)*(1-goarch.IsWasm)*(1-goos.IsIos*goarch.IsArm64)) + (2+20)*(_64bit*goos.IsWindows) + (2+20)*(1-_64bit) + (9+10)*goarch.IsWasm + (2+20)*goos.IsIos*goarch.IsArm64", 1, "logHeapArenaBytes = bareLogHeapArenaBytes"},
		{"arenaBaseOffset = 0xffff800000000000*goarch.IsAmd64 + 0x0a00000000000000*goos.IsAix", 1, "arenaBaseOffset = bareArenaBaseOffset"},
	}},
	{file: "runtime/mpagealloc.go", why: "shape of the heap from runtime/goos", edits: []edit{
		{"logPallocChunkPages = 9*(1-goarch.IsWasm) + 6*goarch.IsWasm", 1, "logPallocChunkPages = bareLogPallocChunkPages + 0*goarch.IsWasm"},
	}},
	{file: "runtime/mpagealloc_32bit.go", why: "page tables of the heap for 32 address bits (as on wasm)", edits: []edit{
		{"//go:build 386 || arm || mips || mipsle || wasm || (gccgo && (ppc || s390))", 1, "//go:build linux"},
	}},
	{file: "runtime/mpagealloc_64bit.go", why: "see mpagealloc_32bit.go", omit: true},
	{file: "runtime/stack.go", why: "stack reserve from runtime/goos", edits: []edit{
		{"stackSystem = goos.IsWindows*4096 + goos.IsPlan9*512 + goos.IsIos*goarch.IsArm64*1024", 1, "stackSystem = bareStackSystem + 0*goos.IsLinux*goarch.IsAmd64"},
	}},
	{file: "runtime/os_linux.go", why: "start and random numbers by the port", edits: []edit{
		{"func osinit() {\n", 1, "func osinitLinux() {\n"},
		{"\tvgetrandomInit()\n", 1, ""},
		{"func readRandom(r []byte) int {", 1, "func readRandomDevice(r []byte) int {"},
	}},
	{file: "runtime/signal_unix.go", why: "no signals between threads; interrupts preempt instead (bare_fault.go)", edits: []edit{
		{"const preemptMSupported = true", 1, "const preemptMSupported = false"},
	}},
	{file: "runtime/sigqueue.go", why: "the receiver of signals parks in the scheduler, not in a futex", edits: []edit{
		{"notetsleepg(&sig.note, -1)", 1, "relaySleep()"},
		{"\t\t\t\tnotewakeup(&sig.note)\n", 1, "\t\t\t\trelayWake()\n"},
		{"sig.inuse = true // enable reception of signals; cannot disable", 1, "sig.inuse = true\n\t\tnetpollAdjustWaiters(1) // a signal may end any wait: no deadlock from here on"},
	}},
	{file: "runtime/mem_sbrk.go", why: "memory is one piece that grows (stock, for plan9 and wasm)", edits: []edit{
		{"//go:build plan9 || wasm", 1, "//go:build linux"},
	}},
	{file: "runtime/mem_linux.go", why: "see mem_sbrk.go", omit: true},
	{file: "runtime/mem_nonsbrk.go", why: "see mem_sbrk.go", omit: true},
	{file: "runtime/netpoll_epoll.go", why: "see bare_netpoll.go", omit: true},
	{file: "runtime/rt0_linux_amd64.s", why: "see bare_sys_amd64.s", omit: true},
	{file: "runtime/sys_linux_amd64.s", why: "see bare_sys_amd64.s", omit: true},
	{file: "runtime/time_linux_amd64.s", why: "see bare_os.go", omit: true},
	{file: "runtime/timeasm.go", why: "see bare_os.go", omit: true},
	{file: "runtime/vgetrandom_linux.go", why: "see bare_os.go", omit: true},
	// The entropy source of FIPS 140 mode holds a scratch buffer of 32 MiB in
	// BSS. Randomness comes from the board (crypto/internal/sysrand, by
	// GetRandomData) and FIPS 140 mode is off, so the source is never asked:
	// take the variant that stock has for wasm, which panics if it is.
	{file: "crypto/internal/fips140/drbg/entropy_fips140.go", why: "32 MiB of scratch memory", omit: true},
	{file: "crypto/internal/fips140/drbg/entropy_bare.go", from: "crypto/internal/fips140/drbg/entropy_wasm.go", why: "32 MiB of scratch memory", edits: []edit{
		{"//go:build wasm", 1, "//go:build linux"},
		{"not supported on Wasm", 1, "not supported on bare metal"},
	}},
}

// apply makes the edits in text; file names the text in errors.
func apply(file, text string, edits []edit) (string, error) {
	for _, e := range edits {
		if n := strings.Count(text, e.old); n != e.count {
			return "", fmt.Errorf("%s: found %d times, expected %d: %q: this Go version is not the one the port was made for", file, n, e.count, e.old)
		}
		text = strings.ReplaceAll(text, e.old, e.new)
	}
	return text, nil
}

// overlay writes the changed files below dir and returns the path of the
// file for go build's -overlay. goroot is the stock tree.
func overlay(goroot, dir string) (string, error) {
	files, err := overlayFiles(goroot, dir)
	if err != nil {
		return "", err
	}
	b, err := json.MarshalIndent(map[string]any{"Replace": files}, "", "\t")
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "overlay.json")
	return name, writeIfChanged(name, b)
}

// portSum names the port: its files, its changes, and the tree they are for.
func portSum(goroot, version string) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %+v\n", goroot, version, changes)
	err := fs.WalkDir(portFiles, portRoot, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := portFiles.ReadFile(p)
		fmt.Fprintf(h, "%q %q\n", p, text)
		return err
	})
	return hex.EncodeToString(h.Sum(nil)[:12]), err
}

// overlayFiles writes the changed files below dir and returns the map from
// stock path to changed path; an empty path stands for a file left out.
func overlayFiles(goroot, dir string) (map[string]string, error) {
	src := filepath.Join(goroot, "src")
	files := make(map[string]string)
	for _, c := range changes {
		stock := filepath.Join(src, filepath.FromSlash(c.file))
		from := stock
		if c.from != "" {
			from = filepath.Join(src, filepath.FromSlash(c.from))
		}
		text, err := os.ReadFile(from)
		if err != nil {
			return nil, fmt.Errorf("stock file of the port: %w", err)
		}
		if c.omit {
			files[stock] = ""
			continue
		}
		changed, err := apply(from, string(text), c.edits)
		if err != nil {
			return nil, err
		}
		out := filepath.Join(dir, "src", filepath.FromSlash(c.file))
		if err := writeIfChanged(out, []byte(changed)); err != nil {
			return nil, err
		}
		files[stock] = out
	}
	err := fs.WalkDir(portFiles, portRoot, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel := strings.TrimPrefix(p, portRoot+"/")
		text, err := portFiles.ReadFile(p)
		if err != nil {
			return err
		}
		out := filepath.Join(dir, "src", filepath.FromSlash(rel))
		files[filepath.Join(src, filepath.FromSlash(rel))] = out
		return writeIfChanged(out, text)
	})
	return files, err
}

// writeIfChanged leaves a file with the same content alone, so that builds at
// the same time do not disturb each other and the build cache stays valid.
func writeIfChanged(name string, b []byte) error {
	if old, err := os.ReadFile(name); err == nil && string(old) == string(b) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return err
	}
	if _, err := tmp.Write(b); err != nil {
		tmp.Close()
		os.Remove(tmp.Name())
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	if err := os.Chmod(tmp.Name(), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}
