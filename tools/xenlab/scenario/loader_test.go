package scenario

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stubtpm/tools/xenlab/lab"
)

// Command lines of the guests that the loader boots.
const (
	loaderLine = "console=hvc0 quiet loglevel=4 random.trust_cpu=on"
	entryText  = "title Debian\nversion 6.1\nsort-key debian\nlinux /vmlinuz\ninitrd /initrd\noptions " + loaderLine + "\n"
	worseText  = "title Older\nversion 5.10\nsort-key debian\nlinux /none\n"
	grubText   = "set default=\"more>second\"\nset timeout=0\nmenuentry 'first' { linux /boot/none }\nsubmenu 'more' {\n menuentry 'second' { search --set=root x\n linux /boot/vmlinuz " + loaderLine + "\n initrd /boot/initrd\n }\n}\n"
)

// TestXenLoader boots guests from their own disks: an ext4 file system with entries of the
// Boot Loader Specification, and a root file system with a grub.cfg on a disk with a GUID
// partition table.
func TestXenLoader(t *testing.T) {
	images := needXen(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	images.Extra = map[string]string{loaderImage: filepath.Join(repository, "build/images/loader.elf")}
	dir := t.TempDir()
	disks := []LoaderDisk{
		{Name: "entries", Image: "/images/entries.img", Line: loaderLine, Says: "starting \\vmlinuz"},
		{Name: "grub", Image: "/images/grub.img", Words: "timeout=0 -- more=words", Line: loaderLine + " more=words", Says: "second (second)"},
	}
	m := machine(t, "loader", lab.Options{TPM: "none", Memory: 2560, Dom0Memory: 900, Files: images.Files(), Prepare: func(kernel, initrd string) (map[string]string, error) {
		small := filepath.Join(dir, "initrd")
		if err := shell(fmt.Sprintf("gzip -1 < %s > %s", initrd, small)); err != nil {
			return nil, err
		}
		err := bootDisk(filepath.Join(dir, "entries.img"), false, map[string]string{"vmlinuz": kernel, "initrd": small},
			map[string]string{"loader/entries/debian.conf": entryText, "loader/entries/older.conf": worseText})
		if err != nil {
			return nil, err
		}
		err = bootDisk(filepath.Join(dir, "grub.img"), true, map[string]string{"boot/vmlinuz": kernel, "boot/initrd": small},
			map[string]string{"boot/grub/grub.cfg": grubText})
		return map[string]string{disks[0].Image: filepath.Join(dir, "entries.img"), disks[1].Image: filepath.Join(dir, "grub.img")}, err
	}})
	if err := Loader(ctx, &testReport{t}, m, disks); err != nil {
		t.Fatal(err)
	}
}

// bootDisk makes a disk image of 40 MiB with an ext4 file system: files are copied from
// the host, texts are written. The file system is a partition, or all of the disk.
func bootDisk(img string, partition bool, files, texts map[string]string) error {
	root := img + ".d"
	for name, text := range texts {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	for name, source := range files {
		if err := shell(fmt.Sprintf("cp --sparse=never -L %s %s/%s", source, root, name)); err != nil {
			return err
		}
	}
	if !partition {
		return shell(fmt.Sprintf("/sbin/mke2fs -q -t ext4 -d %s %s 40M", root, img))
	}
	return shell(fmt.Sprintf(`set -e
truncate -s 42M %[1]s
printf 'label: gpt\nstart=2048, size=81920, type=linux\n' | /sbin/sfdisk -q %[1]s
/sbin/mke2fs -q -t ext4 -E offset=1048576 -d %[2]s %[1]s 40M`, img, root))
}

func shell(script string) error {
	out, err := exec.Command("sh", "-c", script).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", script, err, strings.TrimSpace(string(out)))
	}
	return nil
}
