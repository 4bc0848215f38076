package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// A suite is a package whose own tests run on bare metal.
type suite struct {
	pkg string
	// skip names tests that are left out, by the regular expression of
	// -test.skip, each with the reason.
	skip []exclusion
}

type exclusion struct {
	test, why string
}

// Reasons for tests that cannot run without an operating system.
const (
	needsExec  = "starts another process"
	needsFiles = "reads files"
	needsMmap  = "wants pages beside which nothing is mapped, by mmap and mprotect"
)

// everywhere is left out of all packages.
var everywhere = []exclusion{
	{"^Example", "its output is caught by a pipe"},
	{"^Fuzz", "its seeds are read from files"},
}

// suites are the packages with code that the vTPM and its manager use, and what
// these rest on.
var suites = []suite{
	{pkg: "crypto/sha1", skip: []exclusion{
		{"^TestOutOfBoundsRead$", needsMmap},
	}},
	{pkg: "crypto/sha256"},
	{pkg: "crypto/sha512"},
	{pkg: "crypto/sha3"},
	{pkg: "crypto/hmac"},
	{pkg: "crypto/hkdf"},
	{pkg: "crypto/aes"},
	{pkg: "crypto/cipher", skip: []exclusion{
		{"^TestGCMNoncesFIPSV1", needsExec},
	}},
	{pkg: "crypto/rsa", skip: []exclusion{
		{"^TestPSSGolden$", needsFiles},
	}},
	{pkg: "crypto/ecdsa"},
	{pkg: "crypto/elliptic"},
	{pkg: "crypto/ecdh"},
	{pkg: "crypto/ed25519", skip: []exclusion{
		{"^TestGolden$", needsFiles},
	}},
	{pkg: "crypto/rand"},
	{pkg: "crypto/subtle", skip: []exclusion{
		{"^TestXORBytesBoundary$", needsMmap},
	}},
	{pkg: "crypto/internal/fips140/aes"},
	{pkg: "crypto/internal/fips140/bigmod", skip: []exclusion{
		{"^TestInverse$", needsFiles},
	}},
	{pkg: "crypto/internal/fips140/ecdsa"},
	{pkg: "crypto/internal/fips140test", skip: []exclusion{
		{"^TestACVP$", needsExec},
		{"^TestCAST", needsExec},
		{"^TestIntegrityCheck", needsExec},
		{"^TestEntropyUnchanged$", needsFiles},
	}},
	{pkg: "crypto/internal/fips140/rsa", skip: []exclusion{
		{"^TestMillerRabin$", needsFiles},
		{"^TestTotient$", needsFiles},
	}},
	{pkg: "crypto/internal/sysrand"},
	{pkg: "math/big"},
	{pkg: "math/bits"},
	{pkg: "encoding/binary"},
	{pkg: "encoding/asn1"},
	{pkg: "hash/crc32"},
	{pkg: "container/heap"},
	{pkg: "sort"},
	{pkg: "slices"},
	{pkg: "strconv"},
	{pkg: "bytes", skip: []exclusion{
		{"NearPageBoundary$", needsMmap},
	}},
	{pkg: "sync", skip: []exclusion{
		{"^TestMutexMisuse$", needsExec},
		{"^TestIssue76126$", needsExec},
	}},
	{pkg: "sync/atomic"},
	{pkg: "filippo.io/bigmod", skip: []exclusion{
		{"^TestInverse$", needsFiles},
		{"^TestLinkWithStdlib$", needsExec},
	}},
	{pkg: "golang.org/x/crypto/chacha20poly1305"},
}

// A tally counts the results of tests and subtests.
type tally struct {
	pass, fail, skip int
}

var resultLine = regexp.MustCompile(`(?m)^\s*--- (PASS|FAIL|SKIP): (\S+)`)

func count(console string) (t tally, failed []string) {
	for _, m := range resultLine.FindAllStringSubmatch(console, -1) {
		switch m[1] {
		case "PASS":
			t.pass++
		case "FAIL":
			t.fail++
			failed = append(failed, m[2])
		case "SKIP":
			t.skip++
		}
	}
	return t, failed
}

// runStdtest builds the tests of the packages, or of those named, for bare
// metal, runs them in QEMU and prints the counts.
func runStdtest(args []string, stdout, stderr io.Writer) error {
	fl := flag.NewFlagSet("stdtest", flag.ContinueOnError)
	fl.SetOutput(stderr)
	full := fl.Bool("full", false, "without -test.short")
	memory := fl.String("m", "512", "memory of the machine, in `MiB`")
	limit := fl.Duration("timeout", 10*time.Minute, "time `limit` of a package")
	verbose := fl.Bool("v", false, "print the consoles")
	if err := fl.Parse(args); err != nil {
		return errUsage
	}
	if _, err := exec.LookPath(qemuProgram); err != nil {
		return fmt.Errorf("%s is not installed (Debian: qemu-system-x86): %w", qemuProgram, err)
	}
	tree, err := testTree()
	if err != nil {
		return err
	}
	defer os.RemoveAll(tree.dir)
	for _, e := range everywhere {
		fmt.Fprintf(stdout, "left out everywhere: %s: %s\n", e.test, e.why)
	}
	var total tally
	var bad []string
	for _, s := range suites {
		if fl.NArg() > 0 && !contains(fl.Args(), s.pkg) {
			continue
		}
		console, err := tree.run(s, *memory, *limit, !*full, stderr)
		t, failed := count(console)
		total.pass += t.pass
		total.fail += t.fail
		total.skip += t.skip
		fmt.Fprintf(stdout, "%-45s pass %5d  fail %3d  skip %3d  left out %d\n", s.pkg, t.pass, t.fail, t.skip, len(s.skip))
		for _, e := range s.skip {
			fmt.Fprintf(stdout, "    left out: %s: %s\n", e.test, e.why)
		}
		if err == nil && t.pass == 0 {
			err = errors.New("no test has run")
		}
		if err != nil {
			bad = append(bad, s.pkg)
			fmt.Fprintf(stdout, "    %v %s\n", err, strings.Join(failed, " "))
		}
		if *verbose || err != nil && len(failed) == 0 {
			fmt.Fprintln(stdout, tail(console, 60))
		}
	}
	fmt.Fprintf(stdout, "in all: pass %d, fail %d, skip %d\n", total.pass, total.fail, total.skip)
	if len(bad) > 0 {
		return fmt.Errorf("failed: %s", strings.Join(bad, " "))
	}
	return nil
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

func tail(s string, lines int) string {
	l := strings.Split(s, "\n")
	return strings.Join(l[max(0, len(l)-lines):], "\n")
}

const qemuProgram = "qemu-system-x86_64"

// A stdTree is a GOROOT of links whose package testing imports a board, so
// that every test program is a unikernel.
type stdTree struct {
	dir, goroot string // goroot is the stock one
}

// testTree makes a stdTree in a temporary directory. The board and what it needs
// of the tamago library are copied into it under another import path, since the
// standard library cannot import from modules.
func testTree() (*stdTree, error) {
	goroot, err := goEnv("GOROOT")
	if err != nil {
		return nil, err
	}
	gomod, err := goEnv("GOMOD")
	if err != nil {
		return nil, err
	}
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", tamagoModule).Output()
	if err != nil {
		return nil, fmt.Errorf("go list -m %s: %w", tamagoModule, err)
	}
	library := strings.TrimSpace(string(out))
	dir, err := os.MkdirTemp("", "baremetal-stdtest-")
	if err != nil {
		return nil, err
	}
	t := &stdTree{dir: dir, goroot: goroot}
	changed, err := overlayFiles(goroot, filepath.Join(dir, "files"))
	if err != nil {
		return nil, err
	}
	add := func(rel string, text []byte) error {
		file := filepath.Join(dir, "files", "src", filepath.FromSlash(rel))
		changed[filepath.Join(goroot, "src", filepath.FromSlash(rel))] = file
		return writeIfChanged(file, text)
	}
	rename := strings.NewReplacer("stubtpm/board/", boardPath, tamagoModule+"/", boardPath+"tamago/")
	type part struct{ from, to string }
	parts := []part{
		{filepath.Join(library, "amd64/lapic"), "tamago/amd64/lapic"},
		{filepath.Join(library, "soc/intel/rtc"), "tamago/soc/intel/rtc"},
		{filepath.Join(library, "bits"), "tamago/bits"},
		{filepath.Join(library, "internal/reg"), "tamago/internal/reg"},
	}
	for _, name := range stdBoard {
		parts = append(parts, part{filepath.Join(filepath.Dir(gomod), "board", name), name})
	}
	for _, p := range parts {
		entries, err := os.ReadDir(p.from)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			name := e.Name()
			if ext := filepath.Ext(name); ext != ".go" && ext != ".s" || strings.HasSuffix(name, "_test.go") {
				continue
			}
			text, err := os.ReadFile(filepath.Join(p.from, name))
			if err != nil {
				return nil, err
			}
			if err := add(boardPath+p.to+"/"+name, []byte(rename.Replace(string(text)))); err != nil {
				return nil, err
			}
		}
	}
	if err := add("testing/bare_board.go", []byte(testingBoard)); err != nil {
		return nil, err
	}
	return t, shadowDir(goroot, filepath.Join(dir, "goroot"), changed)
}

// stdBoard are the packages below board that the standard library's tests run on.
var stdBoard = [...]string{"cpu", "pvh", "qemu"}

const (
	tamagoModule = "github.com/usbarmory/tamago"
	boardPath    = "internal/bareboard/"
)

// testingBoard becomes a file of package testing: the flags of a test program
// come from the boot loader's command line.
const testingBoard = `package testing

import (
	"os"
	"strings"

	"internal/bareboard/pvh"
	_ "internal/bareboard/qemu"
)

func init() {
	os.Args = append(os.Args[:1], strings.Fields(pvh.CommandLine())...)
}
`

// run builds and runs the tests of one package and returns the console.
func (t *stdTree) run(s suite, memory string, limit time.Duration, short bool, stderr io.Writer) (string, error) {
	image := filepath.Join(t.dir, "test.elf")
	os.Remove(image)
	cmd := exec.Command(filepath.Join(t.goroot, "bin", "go"), "test", "-c", "-vet=off", "-trimpath", "-buildvcs=false",
		"-tags", imageTags+","+overlayTag, "-ldflags", "-T "+defaultAddr+" -R 0x1000 -E cpuinit", "-o", image, s.pkg)
	cmd.Env = append(os.Environ(), "GOROOT="+filepath.Join(t.dir, "goroot"), "GOOS=linux", "GOARCH=amd64", "GOAMD64=v1",
		"CGO_ENABLED=0", "GOTOOLCHAIN=local", "GOFLAGS=-mod=readonly")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("go test -c: %w", err)
	}
	if _, err := os.Stat(image); errors.Is(err, fs.ErrNotExist) {
		return out.String(), errors.New("the package has no tests")
	}
	if err := addPVHNote(image); err != nil {
		return "", err
	}
	flags := []string{"-test.v", "-test.paniconexit0=false", "-test.timeout=0"}
	if short {
		flags = append(flags, "-test.short")
	}
	var names []string
	for _, e := range append(everywhere, s.skip...) {
		names = append(names, e.test)
	}
	flags = append(flags, "-test.skip="+strings.Join(names, "|"))
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	qemu := exec.CommandContext(ctx, qemuProgram, "-M", "microvm,rtc=on", "-cpu", "max", "-m", memory, "-nodefaults",
		"-no-reboot", "-display", "none", "-serial", "stdio", "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
		"-kernel", image, "-append", strings.Join(flags, " "))
	out.Reset()
	qemu.Stdout, qemu.Stderr = &out, &out
	err := qemu.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		err = fmt.Errorf("not done after %v", limit)
	case errors.As(err, &exit) && exit.ExitCode() == 1: // 2*0+1
		err = nil
	case errors.As(err, &exit):
		err = fmt.Errorf("exit code %d", exit.ExitCode()>>1)
	case err == nil:
		err = errors.New("QEMU has ended without an exit code")
	}
	return out.String(), err
}
