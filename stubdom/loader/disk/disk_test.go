package disk_test

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"stubtpm/stubdom/loader/disk"
)

// script runs a shell script in a folder of its own and returns the file img there.
func script(t testing.TB, text string) []byte {
	t.Helper()
	for _, p := range []string{"/sbin/mke2fs", "/sbin/sfdisk", "/sbin/mkfs.vfat", "/usr/bin/mcopy"} {
		if _, err := os.Stat(p); err != nil {
			t.Skip(p + " is not installed (make deps)")
		}
	}
	c := exec.Command("sh", "-ec", "PATH=$PATH:/sbin\n"+text)
	c.Dir = t.TempDir()
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(c.Dir, "img"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// cloud makes a disk with an ESP and a root file system, as an installer does.
const cloud = `
truncate -s 12M img
printf 'label: gpt\nstart=2048, size=4096, type=U\nstart=6144, size=16384, type=linux\n' | sfdisk -q img
mkfs.vfat -C -F 12 esp 2048 >/dev/null
printf 'timeout 3\ndefault b*\n' > loader.conf
printf 'title B\nlinux /b\n' > b.conf
printf 'title A\nlinux /a\n' > a.conf
mmd -i esp ::loader ::loader/entries ::EFI ::EFI/Linux
mcopy -i esp loader.conf ::loader/
mcopy -i esp a.conf b.conf ::loader/entries/
printf MZ | mcopy -i esp - ::EFI/Linux/c+1.efi
dd if=esp of=img bs=1M seek=1 conv=notrunc status=none
mkdir -p root/boot/grub root/boot/loader/entries
echo 'title D
linux /vmlinuz-d' > root/boot/loader/entries/d.conf
echo kernel > root/boot/vmlinuz-d
echo "menuentry g { linux /boot/x }" > root/boot/grub/grub.cfg
mke2fs -q -t ext4 -E offset=3145728 -d root img 8M
`

const grub = `
mkdir -p root/grub
echo "set default=2
set timeout=4
menuentry n { chainloader x }
menuentry f { linux /f }
menuentry g { linux /g }" > root/grub/grub.cfg
mke2fs -q -t ext2 -d root img 4M
`

func read(t testing.TB, b []byte) (disk.Found, string, error) {
	var log strings.Builder
	f, err := disk.Read(bytes.NewReader(b), int64(len(b)), func(format string, args ...any) { log.WriteString(format) })
	return f, log.String(), err
}

func TestCloud(t *testing.T) {
	t.Parallel()
	f, log, err := read(t, script(t, cloud))
	var ids []string
	for _, e := range f.Entries {
		ids = append(ids, e.ID)
	}
	if err != nil || strings.Join(ids, " ") != "d c b a" || f.Entries[f.Default].ID != "b" || f.Timeout != 3 || f.GPT == nil {
		t.Fatalf("%v, default %d, timeout %d, %v\n%s", ids, f.Default, f.Timeout, err, log)
	}
	if b, err := fs.ReadFile(f.Entries[0].FS, f.Entries[0].Linux); string(b) != "kernel\n" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}

func TestGRUB(t *testing.T) {
	t.Parallel()
	f, log, err := read(t, script(t, grub))
	if err != nil || len(f.Entries) != 2 || f.Default != 1 || f.Entries[1].ID != "g" || f.Timeout != 4 || f.GPT != nil {
		t.Fatalf("%+v, %v\n%s", f, err, log)
	}
}

func TestNothing(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 512, 1 << 20} {
		if _, _, err := read(t, make([]byte, n)); !errors.Is(err, disk.ErrNothing) {
			t.Errorf("%d zeros: %v", n, err)
		}
	}
}

// TestDamaged: whatever bytes of a disk are changed, it is read or refused; no reader
// panics.
func TestDamaged(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for _, text := range []string{cloud, grub} {
		img := script(t, text)
		for range 80 {
			bad := bytes.Clone(img)
			for range 1 + random.IntN(200) {
				at := random.IntN(len(bad))
				switch random.IntN(4) {
				case 0:
					at = random.IntN(34 * 512)
				case 1:
					at = min(len(bad)-1, 1<<20+random.IntN(64<<10))
				case 2:
					at = min(len(bad)-1, 3<<20+random.IntN(64<<10))
				}
				bad[at] ^= byte(random.Uint32())
			}
			if _, log, err := read(t, bad); errors.Is(err, disk.ErrDamaged) {
				t.Errorf("%v\n%s", err, log)
			}
		}
	}
}
