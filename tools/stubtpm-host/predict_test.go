package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"stubtpm/drivers/eventlog"
	"stubtpm/image/launch/launchtest"
	"stubtpm/image/uki"
	"stubtpm/tools/initramfs"
	"stubtpm/vtpm/tcg"
)

const testUUID = "00112233-4455-6677-8899-aabbccddeeff"

// startFiles writes a kernel, an initrd and an xl configuration.
func startFiles(t *testing.T) (kernel, initrd, config string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	kernel = write("kernel", string(launchtest.ELF(launchtest.LinuxNotes(), launchtest.Segments()...)))
	initrd = write("initrd", strings.Repeat("the initrd", 1000))
	config = write("guest.cfg", fmt.Sprintf("type='pvh'\nkernel='%s'\nramdisk='%s'\nroot='/dev/xvda1'\nextra='quiet'\nmemory=512\nvcpus=2\nuuid='%s'\n", kernel, initrd, testUUID))
	return kernel, initrd, config
}

// predicted returns what measure --predict prints.
func predicted(t *testing.T, args ...string) string {
	t.Helper()
	var out, stderr bytes.Buffer
	if err := run(t.Context(), append([]string{"measure", "--predict"}, args...), &out, &stderr); err != nil {
		t.Fatalf("%q: %v\n%s", args, err, stderr.String())
	}
	return out.String()
}

// TestPredictSame makes sure that options and configuration mean the same, and that each
// part of a start changes the PCR that it is measured into and no other.
func TestPredictSame(t *testing.T) {
	t.Parallel()
	kernel, initrd, config := startFiles(t)
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, launchtest.ELF(launchtest.LinuxNotes(), launchtest.Segment{Address: 0x100000, Size: 1, Data: "x"}), 0o600); err != nil {
		t.Fatal(err)
	}
	want := predicted(t, config)
	given := []string{"-kernel", kernel, "-ramdisk", initrd, "-cmdline", "root=/dev/xvda1 quiet", "-memory", "512", "-vcpus", "2", "-uuid", strings.ToUpper(testUUID)}
	if got := predicted(t, given...); got != want {
		t.Errorf("options: %s\nconfiguration: %s", got, want)
	}
	for option, pcrs := range map[string][]string{"kernel=" + other: {"4"}, "ramdisk=" + kernel: {"9"}, "cmdline=single": {"9", "12"}, "memory=513": {"1"}, "vcpus=3": {"1"}, "uuid=" + strings.Replace(testUUID, "0", "1", 1): {"1"}} {
		lines := strings.Split(predicted(t, "-"+option, "-banks", "sha256", config), "\n")
		var changed []string
		for _, line := range lines {
			if !strings.Contains(want, line+"\n") {
				pcr, _, _ := strings.Cut(line, ":")
				changed = append(changed, pcr)
			}
		}
		if fmt.Sprint(changed) != fmt.Sprint(pcrs) {
			t.Errorf("-%s changes PCRs %q, want %q", option, changed, pcrs)
		}
	}
}

// TestPredictProgram compares the program's digest with that of memory put together
// here.
func TestPredictProgram(t *testing.T) {
	t.Parallel()
	kernel, _, config := startFiles(t)
	memory := make([]byte, 0x5000)
	copy(memory, "text")
	copy(memory[0x3000:], "data")
	const text = "kernel as loaded at 0x100000, 20480 bytes, entered at 0x100000"
	want := fmt.Sprintf("%x\n", sha256.Sum256(append([]byte(text), memory...)))
	for _, args := range [][]string{{"-program", config}, {"-program", "-kernel", kernel}, {"-program", "-banks", "sha1", "-kernel", kernel}} {
		if got := predicted(t, args...); got != want {
			t.Errorf("%q: %s, want %s", args, got, want)
		}
	}
}

func TestPredictRefused(t *testing.T) {
	t.Parallel()
	kernel, _, config := startFiles(t)
	for name, args := range map[string][]string{
		"nothing": nil, "two configurations": {config, config}, "no file": {"/nonexistent"}, "no memory": {"-kernel", kernel}, "unknown option": {"-disk", "x", config},
		"unknown bank": {"-banks", "md5", config}, "bank twice": {"-banks", "sha1,sha1", config}, "PCR 10": {"-pcrs", "10", config}, "no PCR": {"-pcrs", "4,", config},
		"PCR 1 without UUID": {"-kernel", kernel, "-memory", "512", "-pcrs", "1"}, "log without UUID": {"-kernel", kernel, "-memory", "512", "-log", filepath.Join(t.TempDir(), "log")},
		"kernel that is none": {"-kernel", config, config}, "boot that is no EFI program": {"-boot", config, config}, "uuid": {"-uuid", "x", config},
	} {
		var out, stderr bytes.Buffer
		if err := run(t.Context(), append([]string{"measure", "--predict"}, args...), &out, &stderr); err == nil || out.Len() > 0 {
			t.Errorf("%s: %v, printed %q", name, err, out.String())
		}
	}
}

// TestPredictLog lets tpm2_eventlog compute the PCRs from the log, and checks the file
// of values.
func TestPredictLog(t *testing.T) {
	t.Parallel()
	_, _, config := startFiles(t)
	log, values := filepath.Join(t.TempDir(), "log"), filepath.Join(t.TempDir(), "values")
	out := predicted(t, "-banks", "sha1,sha256,sha384,sha512", "-log", log, "-values", values, config)
	raw, err := os.ReadFile(values)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if len(lines) != 4*10 { // PCRs 0 to 7, 9 and 12
		t.Errorf("printed %d lines", len(lines))
	}
	var joined string
	for _, line := range lines {
		_, value, _ := strings.Cut(line, "=")
		joined += value
	}
	if hex.EncodeToString(raw) != joined {
		t.Errorf("values %x, printed %s", raw, joined)
	}
	tool := debian13(t, "usr/bin/tpm2_eventlog")
	if tool == nil {
		t.Skip("tpm2_eventlog is not installed (go run ./tools/deps)")
	}
	listed, err := exec.Command(tool[0], append(tool[1:], log)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, listed)
	}
	_, list, _ := strings.Cut(string(listed), "\npcrs:\n")
	bank, compared := "", 0
	for line := range strings.SplitSeq(list, "\n") {
		if m := regexp.MustCompile(`^  (sha\d+):$`).FindStringSubmatch(line); m != nil {
			bank = m[1]
		}
		if m := regexp.MustCompile(`^    (\d+) *: 0x([0-9a-f]+)$`).FindStringSubmatch(line); m != nil {
			// Before version 5.6 tpm2_eventlog does not know what PCR 0 starts with.
			if want := fmt.Sprintf("%s:%s=%s\n", m[1], bank, m[2]); !strings.Contains(out, want) && (m[1] != "0" || len(tool) > 1) {
				t.Errorf("tpm2_eventlog computes %s", want)
			}
			compared++
		}
	}
	if compared != len(lines) {
		t.Errorf("compared %d values of %d", compared, len(lines))
	}
}

// debian13 returns how to start a program of Debian 13, whose packages
// `go run ./tools/deps -for trixie` unpacks, or else that of this system; nil if there is
// neither.
func debian13(t *testing.T, program string) []string {
	t.Helper()
	root := initramfs.InRepository(initramfs.SysrootTrixie)
	if _, err := os.Stat(filepath.Join(root, program)); err == nil {
		lib := filepath.Join(root, "usr/lib/x86_64-linux-gnu")
		return []string{filepath.Join(lib, "ld-linux-x86-64.so.2"), "--library-path", lib + ":" + filepath.Join(lib, "systemd"), filepath.Join(root, program)}
	}
	if _, err := os.Stat("/" + program); err != nil {
		return nil
	}
	return []string{"/" + program}
}

// TestPcrlock compares with what systemd-pcrlock predicts from the same files.
func TestPcrlock(t *testing.T) {
	t.Parallel()
	tool := debian13(t, "usr/lib/systemd/systemd-pcrlock")
	if tool == nil {
		t.Skip("systemd-pcrlock (systemd 255 or later) is not installed (go run ./tools/deps -for trixie)")
	}
	lock := func(verb, file string) string {
		out := filepath.Join(t.TempDir(), "x.pcrlock")
		if b, err := exec.Command(tool[0], append(tool[1:], verb, "--pcrlock="+out, file)...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", verb, err, b)
		}
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	kernel, initrd, config := startFiles(t)
	line := filepath.Join(t.TempDir(), "line")
	if err := os.WriteFile(line, []byte("root=/dev/xvda1 quiet ü\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "log")
	predicted(t, "-cmdline", "root=/dev/xvda1 quiet ü", "-kernel", kernel, "-log", log, config)
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	l, _, err := eventlog.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	check := func(locked string, e eventlog.Event) {
		t.Helper()
		for _, d := range e.Digests {
			if want := fmt.Sprintf(`{"hashAlg":"%s","digest":"%x"}`, bankName(d.Alg), d.Sum); !strings.Contains(locked, want) || !strings.Contains(locked, fmt.Sprintf(`"pcr":%d,`, e.PCR)) {
				t.Errorf("PCR %d, want %s in %s", e.PCR, want, locked)
			}
		}
	}
	var files []eventlog.Event
	for _, e := range l.Events {
		if e.PCR == pcrFiles {
			files = append(files, e)
		}
	}
	if len(files) != 2 {
		t.Fatalf("%d events in PCR 9", len(files))
	}
	check(lock("lock-kernel-cmdline", line), files[0])
	check(lock("lock-kernel-initrd", initrd), files[1])
	stubs, _ := filepath.Glob("/usr/lib/systemd/boot/efi/*.efi*")
	for _, s := range stubs {
		b, err := os.ReadFile(s)
		if err != nil {
			t.Fatal(err)
		}
		i, err := uki.Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		e, err := i.Application([]tcg.TPMAlgID{tcg.TPMAlgSHA1, tcg.TPMAlgSHA256, tcg.TPMAlgSHA384, tcg.TPMAlgSHA512}, s)
		if err != nil {
			t.Fatal(err)
		}
		check(lock("lock-pe", s), e)
	}
	if len(stubs) == 0 {
		t.Log("without lock-pe: systemd-boot-efi is not installed")
	}
}

// TestPredictBoot predicts a UKI that the loader starts.
func TestPredictBoot(t *testing.T) {
	t.Parallel()
	const stub = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"
	if _, err := os.Stat(stub); err != nil {
		t.Skip("systemd-boot-efi is not installed (go run ./tools/deps)")
	}
	if _, err := exec.LookPath("objcopy"); err != nil {
		t.Skip("objcopy (binutils) is not installed")
	}
	kernel, _, config := startFiles(t)
	image := filepath.Join(t.TempDir(), "uki")
	if out, err := exec.Command("objcopy", "--add-section", ".linux="+kernel, "--change-section-vma", ".linux=0x2000000", stub, image).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	without, with := predicted(t, "-banks", "sha256", config), predicted(t, "-banks", "sha256", "-boot", image, config)
	pcrs := func(out string) (list string) {
		for _, m := range regexp.MustCompile(`(?m)^(\d+):`).FindAllStringSubmatch(out, -1) {
			list += m[1] + " "
		}
		return list
	}
	if a, b := pcrs(without), pcrs(with); a != "0 1 2 3 4 5 6 7 9 12 " || b != "0 1 2 3 4 5 6 7 11 " {
		t.Errorf("PCRs %sand %s", a, b)
	}
	data, err := os.ReadFile(kernel)
	if err != nil {
		t.Fatal(err)
	}
	value := make([]byte, 32)
	for _, d := range [][]byte{[]byte(".linux\x00"), data} {
		sum := sha256.Sum256(d)
		next := sha256.Sum256(append(value, sum[:]...))
		value = next[:]
	}
	if want := fmt.Sprintf("11:sha256=%x\n", value); !strings.HasSuffix(with, want) {
		t.Errorf("%s, want %s", with, want)
	}
	var stderr bytes.Buffer
	if err := predict([]string{"-boot", kernel, config}, &stderr, &stderr); !errors.Is(err, uki.ErrImage) {
		t.Errorf("a kernel that is no EFI program: %v", err)
	}
}
