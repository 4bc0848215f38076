package scenario

import (
	"context"
	"crypto/sha256"
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

// installKernel does what kernel-install does: it puts a kernel and an entry for it on the
// disk, with a later version.
const installKernel = `set -e
mkdir -p /mnt; mount -t ext4 /dev/xvda /mnt
cp /mnt/vmlinuz /mnt/vmlinuz-6.2
sed -e 's/^version.*/version 6.2/' -e 's/vmlinuz/vmlinuz-6.2/' -e 's/^options.*/& newer/' /mnt/loader/entries/debian.conf > /mnt/loader/entries/debian-6.2.conf
umount /mnt; sync`

// TestXenLoader boots guests from their own disks: an ext4 file system with entries of the
// Boot Loader Specification, a root file system with a grub.cfg on a disk with a GUID
// partition table, and a signed unified kernel image on an EFI system partition and as a
// boot module.
func TestXenLoader(t *testing.T) {
	images := needXen(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	images.Extra = map[string]string{loaderImage: filepath.Join(repository, "build/images/loader.elf")}
	dir := t.TempDir()
	print, err := loaderKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	disks := []LoaderDisk{
		{Name: "foreign", Image: "/images/unified.img", Words: "keys=" + strings.Repeat("0", 64), Says: "not signed by one of the keys", Refused: true},
		{Name: "unified", Image: "/images/unified.img", Words: "keys=" + print, Line: loaderLine, Says: "debian.efi is signed by CN=lab"},
		{Name: "module", Image: "/images/grub.img", Ramdisk: "/images/unified.efi", Words: "-- more=words", Line: loaderLine + " more=words", Says: "starting module"},
		{Name: "entries", Image: "/images/entries.img", Line: loaderLine, Says: "starting \\vmlinuz", Install: installKernel, Installed: loaderLine + " newer"},
		{Name: "grub", Image: "/images/grub.img", Words: "timeout=0 -- more=words", Line: loaderLine + " more=words", Says: "second (second)"},
	}
	m := machine(t, "loader", lab.Options{TPM: "none", Memory: 2560, Dom0Memory: 900, Files: images.Files(), Prepare: func(kernel, initrd string) (map[string]string, error) {
		kernel, err := filepath.Abs(kernel)
		if err != nil {
			return nil, err
		}
		small := filepath.Join(dir, "initrd")
		if err := shell(fmt.Sprintf("gzip -1 < %s > %s", initrd, small)); err != nil {
			return nil, err
		}
		err = bootDisk(filepath.Join(dir, "entries.img"), false, map[string]string{"vmlinuz": kernel, "initrd": small},
			map[string]string{"loader/entries/debian.conf": entryText, "loader/entries/older.conf": worseText})
		if err != nil {
			return nil, err
		}
		err = bootDisk(filepath.Join(dir, "grub.img"), true, map[string]string{"boot/vmlinuz": kernel, "boot/initrd": small},
			map[string]string{"boot/grub/grub.cfg": grubText})
		if err == nil {
			err = unifiedDisk(dir, kernel, small)
		}
		files := map[string]string{}
		for _, name := range []string{"entries.img", "grub.img", "unified.img", "unified.efi"} {
			files["/images/"+name] = filepath.Join(dir, name)
		}
		return files, err
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

// loaderKey makes a key with a certificate in a folder, and returns its fingerprint.
func loaderKey(dir string) (string, error) {
	err := shell(fmt.Sprintf("cd %s && openssl req -new -x509 -newkey rsa:2048 -nodes -subj /CN=lab -keyout key.pem -out cert.pem && openssl x509 -in cert.pem -outform der -out cert.der", dir))
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(filepath.Join(dir, "cert.der"))
	return fmt.Sprintf("%x", sha256.Sum256(b)), err
}

// unifiedDisk makes a unified kernel image unified.efi in a folder, signed with its key,
// and a disk unified.img whose EFI system partition has it.
func unifiedDisk(dir, kernel, initrd string) error {
	return shell(fmt.Sprintf(`set -e; cd %s; PATH=$PATH:/sbin
printf '%%s\0' '%s' > cmdline
objcopy --add-section .cmdline=cmdline --change-section-vma .cmdline=0x30000 --add-section .linux=%s --change-section-vma .linux=0x2000000 \
	--add-section .initrd=%s --change-section-vma .initrd=0x4000000 /usr/lib/systemd/boot/efi/linuxx64.efi.stub plain.efi
sbsign --key key.pem --cert cert.pem --output unified.efi plain.efi
mkfs.vfat -C -F 32 -s 1 esp 40960 >/dev/null
mmd -i esp ::EFI ::EFI/Linux
mcopy -i esp unified.efi ::EFI/Linux/debian.efi
truncate -s 44M unified.img
printf 'label: gpt\nstart=2048, size=81920, type=U\n' | sfdisk -q unified.img
dd if=esp of=unified.img bs=1M seek=1 conv=notrunc status=none`, dir, loaderLine, kernel, initrd))
}

func shell(script string) error {
	out, err := exec.Command("sh", "-c", script).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", script, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// TestXenLoaderMeasured has a guest that dom0 measures as far as the loader, and the loader
// from there on.
func TestXenLoaderMeasured(t *testing.T) {
	images := needXen(t)
	images.Host = filepath.Join(repository, "build/stubtpm-host")
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	f := LoaderFiles{Loader: filepath.Join(repository, "build/images/loader.elf"), Line: loaderLine}
	images.Extra = map[string]string{loaderImage: f.Loader}
	dir := t.TempDir()
	if _, err := loaderKey(dir); err != nil {
		t.Fatal(err)
	}
	f.Unified, f.Initrd = filepath.Join(dir, "unified.efi"), filepath.Join(dir, "initrd")
	s := NewStack(machine(t, "loader-measured", lab.Options{Memory: 2560, Dom0Memory: 800, Files: images.Files(), Prepare: func(kernel, initrd string) (map[string]string, error) {
		kernel, err := filepath.Abs(kernel)
		if err != nil {
			return nil, err
		}
		if err := shell(fmt.Sprintf("gzip -1 < %s > %s", initrd, f.Initrd)); err != nil {
			return nil, err
		}
		return map[string]string{"/images/unified.img": filepath.Join(dir, "unified.img")}, unifiedDisk(dir, kernel, f.Initrd)
	}}))
	d, err := NewDoorbell(ctx, &testReport{t}, s)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Loader(ctx, f); err != nil {
		t.Fatal(err)
	}
}
