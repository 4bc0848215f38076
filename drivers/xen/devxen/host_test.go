//go:build linux && !tamago

package devxen

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestNumbers compares the numbers of ioctls with Linux's own headers.
func TestNumbers(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/usr/include/xen/gntalloc.h"); err != nil {
		t.Skip("Linux's headers (linux-libc-dev) are not installed")
	}
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler to read Linux's headers with")
	}
	src := filepath.Join(t.TempDir(), "a.c")
	code := "#include <sys/ioctl.h>\n#include <linux/types.h>\n#include <stdio.h>\ntypedef unsigned short domid_t; typedef unsigned grant_ref_t;\n" +
		"#include <xen/evtchn.h>\n#include <xen/gntdev.h>\n#include <xen/gntalloc.h>\ntypedef unsigned long xen_pfn_t;\n#define __user\n#include <xen/privcmd.h>\nint main(){printf(\""
	want := []struct {
		name string
		n    uintptr
	}{
		{"IOCTL_EVTCHN_BIND_INTERDOMAIN", evtchnBindInterdomain}, {"IOCTL_EVTCHN_BIND_UNBOUND_PORT", evtchnBindUnbound},
		{"IOCTL_EVTCHN_UNBIND", evtchnUnbind}, {"IOCTL_EVTCHN_NOTIFY", evtchnNotify},
		{"IOCTL_PRIVCMD_HYPERCALL", privcmdHypercall}, {"IOCTL_PRIVCMD_MMAPBATCH_V2", privcmdMapBatch},
		{"IOCTL_PRIVCMD_DM_OP", privcmdDMOp}, {"IOCTL_PRIVCMD_MMAP_RESOURCE", privcmdMapResource},
		{"IOCTL_GNTDEV_MAP_GRANT_REF", gntdevMap}, {"IOCTL_GNTDEV_UNMAP_GRANT_REF", gntdevUnmap},
		{"IOCTL_GNTALLOC_ALLOC_GREF", gntallocAlloc}, {"IOCTL_GNTALLOC_DEALLOC_GREF", gntallocDealloc},
	}
	code += strings.Repeat("%lu ", len(want)) + "\""
	for _, w := range want {
		code += ", (unsigned long)" + w.name
	}
	if err := os.WriteFile(src, []byte(code+");return 0;}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	// privcmd.h includes a header that only the kernel's own tree has, for nothing that is
	// compared.
	own := filepath.Join(filepath.Dir(src), "xen/interface")
	if err := os.MkdirAll(own, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(own, "xen.h"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(cc, "-I", filepath.Dir(src), "-o", src+".exe", src).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(src + ".exe").Output()
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range strings.Fields(string(out)) {
		if n, err := strconv.ParseUint(f, 10, 64); err != nil || uintptr(n) != want[i].n {
			t.Errorf("%s is %s, not %d", want[i].name, f, want[i].n)
		}
	}
}

// TestOpen says which device is missing outside Xen.
func TestOpen(t *testing.T) {
	t.Parallel()
	h, err := Open()
	if err == nil {
		h.Close()
	} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "/dev/xen/") {
		t.Errorf("got %v", err)
	}
}
