package partition_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"stubtpm/stubdom/loader/partition"
)

const mib = 1 << 20

// disk makes a disk of 16 MiB with the partitions of an sfdisk script.
func disk(t testing.TB, script string) []byte {
	t.Helper()
	program, err := exec.LookPath("sfdisk")
	if err != nil {
		if program, err = exec.LookPath("/sbin/sfdisk"); err != nil {
			t.Skip("sfdisk is not installed (make deps)")
		}
	}
	img := filepath.Join(t.TempDir(), "img")
	if err := os.WriteFile(img, make([]byte, 16*mib), 0o644); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(program, "-q", img)
	c.Stdin = strings.NewReader(script)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("sfdisk: %v\n%s", err, out)
	}
	b, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	gptScript = "label: gpt\nstart=2048, size=8192, type=U, name=\"EFI System\"\nstart=10240, size=4096, type=" + partition.TypeXBOOTLDR + "\n"
	mbrScript = "label: dos\nstart=2048, size=8192, type=83, bootable\nstart=10240, size=4096, type=ef\n"
)

func read(b []byte) (partition.Table, error) {
	return partition.Read(bytes.NewReader(b), int64(len(b)))
}

func TestGPT(t *testing.T) {
	t.Parallel()
	b := disk(t, gptScript)
	check := func(what string) {
		t.Helper()
		got, err := read(b)
		if err != nil || len(got.Parts) != 2 {
			t.Fatalf("%s: %+v, %v", what, got.Parts, err)
		}
		want := []partition.Part{{1, partition.TypeESP, "EFI System", mib, 4 * mib}, {2, partition.TypeXBOOTLDR, "", 5 * mib, 2 * mib}}
		for i, p := range got.Parts {
			if p != want[i] {
				t.Errorf("%s: %+v, want %+v", what, p, want[i])
			}
		}
		if n := len(got.GPT); n != 92+8+2*128 || binary.LittleEndian.Uint64(got.GPT[92:]) != 2 || string(got.GPT[:8]) != "EFI PART" {
			t.Errorf("%s: %d bytes to measure", what, n)
		}
	}
	check("whole")
	b[512+40]++ // the first header
	check("first header damaged")
	b[512+40]--
	b[1024+33]++ // the first entry
	check("first entries damaged")
	b[len(b)-512+40]++ // the second header
	if _, err := read(b); !errors.Is(err, partition.ErrFormat) {
		t.Errorf("both damaged: %v", err)
	}
}

func TestMBR(t *testing.T) {
	t.Parallel()
	got, err := read(disk(t, mbrScript))
	want := []partition.Part{{1, "83", "", mib, 4 * mib}, {2, "ef", "", 5 * mib, 2 * mib}}
	if err != nil || len(got.Parts) != 2 || got.Parts[0] != want[0] || got.Parts[1] != want[1] || got.GPT != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestNone(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 511, 512, mib} {
		if got, err := read(make([]byte, n)); err != nil || len(got.Parts) != 0 {
			t.Errorf("%d zeros: %+v, %v", n, got, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{gptScript, mbrScript} {
		b := disk(f, s)
		f.Add(append(b[:34*512:34*512], b[len(b)-33*512:]...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := read(b)
		for _, p := range got.Parts {
			if err != nil || p.Start <= 0 || p.Size <= 0 || p.Start+p.Size > int64(len(b)) {
				t.Errorf("%+v of %d bytes, %v", p, len(b), err)
			}
		}
	})
}
