package image

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSet(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := Set{Guest: "guest1", UUID: testUUID, ManagerDisk: "/dev/vg0/vtpmmgr", VTPMDisk: "/dev/vg0/vtpm-guest1"}
	names, err := s.Write(dir)
	if err != nil || len(names) != 3 {
		t.Fatalf("%v, %v", names, err)
	}
	for name, want := range map[string]string{
		"vtpmmgr.cfg":      "iomem = [\"fed40,5\"]",
		"vtpm/guest1.cfg":  "vtpm = [\"backend=vtpmmgr,uuid=" + testUUID + "\"]",
		"guest/guest1.cfg": "vtpm = [\"backend=vtpm-guest1,uuid=" + testUUID + "\"]\non_reboot = \"destroy\"\n",
	} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s: %v\n%s", name, err, b)
		}
	}
	// A second guest shares the manager; the same again changes nothing.
	s.Guest, s.UUID, s.VTPMDisk = "guest2", strings.Replace(testUUID, "01", "02", 1), "/dev/vg0/vtpm-guest2"
	if names, err := s.Write(dir); err != nil || len(names) != 2 {
		t.Errorf("second guest: %v, %v", names, err)
	}
	if names, err := s.Write(dir); err != nil || len(names) != 0 {
		t.Errorf("the same again: %v, %v", names, err)
	}
	// Another uuid for the same guest would lose its TPM.
	other := s
	other.UUID = testUUID
	if names, err := other.Write(dir); !errors.Is(err, ErrExists) || len(names) != 0 {
		t.Errorf("another uuid: %v, %v", names, err)
	}
	for _, bad := range []func(*Set){
		func(s *Set) { s.Guest = "a/b" }, func(s *Set) { s.UUID = "" }, func(s *Set) { s.VTPMDisk = "" },
		func(s *Set) { s.ManagerExtra = "a\"b" },
	} {
		x := s
		bad(&x)
		if _, err := x.Files(); !errors.Is(err, ErrDomain) {
			t.Errorf("%+v: %v", x, err)
		}
	}
}
