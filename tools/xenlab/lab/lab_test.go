package lab

import (
	"io"
	"strings"
	"testing"
)

func TestModules(t *testing.T) {
	t.Parallel()
	// QEMU reads a comma between modules, two for one in a command line.
	if got := modules("a/vmlinuz x=1,2", "b/dom0.cpio"); got != "a/vmlinuz x=1,,2,b/dom0.cpio" {
		t.Errorf("modules: %q", got)
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	o := Options{Dir: "d"}
	if err := o.defaults(); err != nil || o.TPM != "tis" || o.Accel != "tcg" || o.TPMState != "d/tpm" || o.Memory <= o.Dom0Memory {
		t.Errorf("%+v, %v", o, err)
	}
	o = Options{TPM: "spi"}
	if err := o.defaults(); err == nil {
		t.Error("an unknown TPM model was taken")
	}
}

// TestPairDirectories: two machines must not share a hardware TPM or logs.
func TestPairDirectories(t *testing.T) {
	t.Parallel()
	for _, o := range [][2]Options{{{}, {}}, {{Dir: "a", TPMState: "t"}, {Dir: "b", TPMState: "t"}}} {
		if _, _, err := StartPair(t.Context(), o[0], o[1]); err == nil {
			t.Errorf("%+v were taken", o)
		}
	}
}

// TestParseDomains reads a shortened xl list -l of Xen 4.17.
func TestParseDomains(t *testing.T) {
	t.Parallel()
	const out = `[
    {"domid": 0, "config": {"c_info": {"type": "pv", "name": "Domain-0"}, "b_info": {"max_memkb": 655360, "sched_params": {}, "type.pv": {}}}},
    {"domid": 4, "config": {"c_info": {"type": "pvh", "name": "vtpmmgr", "uuid": "x"},
      "b_info": {"max_memkb": 32768, "iomem": [{"start": 1043776, "number": 2, "gfn": 18446744073709551615}], "type.pvh": {}}}}
]`
	ds, err := parseDomains(out)
	if err != nil {
		t.Fatal(err)
	}
	want := []Domain{{"Domain-0", 0, 640, "pv", ""}, {"vtpmmgr", 4, 32, "pvh", "fed40,fed41"}}
	if len(ds) != 2 || ds[0] != want[0] || ds[1] != want[1] {
		t.Errorf("got %+v", ds)
	}
	if _, err := parseDomains("error: no such thing"); err == nil {
		t.Error("text that is no JSON was taken")
	}
}

func TestPipe(t *testing.T) {
	t.Parallel()
	p := newPipe()
	go func() {
		for range 100 {
			p.put([]byte("0123456789"))
		}
		p.end()
	}()
	b, err := io.ReadAll(p)
	if err != nil || string(b) != strings.Repeat("0123456789", 100) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func TestGuestConfig(t *testing.T) {
	t.Parallel()
	c := GuestConfigLine("g", 160, "more", `vtpm = ["backend=v"]`)
	for _, want := range []string{"name = \"g\"\n", "type = \"pvh\"\n", "random.trust_cpu=on more\"\n", "vtpm = [\"backend=v\"]\n"} {
		if !strings.Contains(c, want) {
			t.Errorf("%q is not in:\n%s", want, c)
		}
	}
}
