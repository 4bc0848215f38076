package scenario

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"stubtpm/tools/xenlab/lab"
)

// TestXenSave saves and restores a guest with a control area, which finds its TPM as it left
// it.
func TestXenSave(t *testing.T) {
	needXen(t)
	if !long() {
		t.Skip("takes six minutes, and TestXenSaveReboot and TestXenDoorbell save and restore, too: set STUBTPM_LONG=1, as make soak does")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	d, g := doorbell(ctx, t, "save", lab.Options{Memory: 2816, Dom0Memory: 1100}) // room for a guest that is saved
	if err := d.Saves(ctx, g); err != nil {
		t.Fatal(err)
	}
}

// TestXenSaveReboot has the machine switched off while the guest is saved.
func TestXenSaveReboot(t *testing.T) {
	needXen(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	dir := t.TempDir()
	disk := filepath.Join(dir, "saves.img")
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, 400<<20); err != nil {
		t.Fatal(err)
	}
	opt := lab.Options{Modules: []string{"virtio_pci", "virtio_blk"},
		QEMU: []string{"-drive", "file=" + disk + ",if=none,id=saves,format=raw", "-device", "virtio-blk-pci,drive=saves,romfile="}}
	d, g := doorbell(ctx, t, "save", opt)
	before, files, err := d.PowerOff(ctx, g, dir)
	if err != nil {
		t.Fatal(err)
	}
	images := needXen(t)
	images.Host = filepath.Join(repository, "build/stubtpm-host")
	opt.Dir, opt.LinuxGuest, opt.Log, opt.Files = filepath.Join(repository, "build/xenlab-save"), true, t.Logf, images.Files()
	maps.Copy(opt.Files, files)
	m, err := lab.Start(ctx, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	if err := PowerOn(ctx, &testReport{t}, NewStack(m), before); err != nil {
		t.Fatal(err)
	}
}
