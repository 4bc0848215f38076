// Package flask checks the FLASK policy module of this directory.
package flask

import (
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

//go:embed stubtpm.te
var module string

// names are the classes and permissions of Xen's access vectors that the module
// and the macros below use. Their order and completeness do not matter to the
// compiler's checks, but Xen would not load the compiled policy.
const names = `
domain: create max_vcpus setdomainmaxmem setaddrsize getdomaininfo hypercall setvcpucontext getvcpucontext getvcpuinfo setdebugging set_target pause unpause resume shutdown destroy transition
domain2: relabelfrom relabelto soft_reset set_as_target settsc gettsc get_vnumainfo
hvm: getparam setparam hvmctl sethvmc gethvmc cacheattr
mmu: map_read map_write adjust physmap stat pageinfo pinpage memorymap mmuext_op updatemp exchange
resource: add_iomem remove_iomem use_iommu use_iommu_nointremap use_noiommu
shadow: enable disable logdirty
event: create send status bind
grant: query setup map_read map_write copy unmap
security: check_context
`

//go:embed testdata/macros.m4
var macros string

// policy returns a complete policy: names, basic types, the module, and then more
// rules, as of another module.
func policy(more string) string {
	var classes, vectors []string
	for _, line := range strings.Split(strings.TrimSpace(names), "\n") {
		class, perms, _ := strings.Cut(line, ":")
		classes = append(classes, "class "+class)
		vectors = append(vectors, "class "+class+" {"+perms+" }")
	}
	sids := []string{"xen", "dom0", "domio", "domxen", "unlabeled", "security", "ioport", "iomem", "irq", "device"}
	var b strings.Builder
	b.WriteString(macros)
	b.WriteString(strings.Join(classes, "\n") + "\n")
	for _, s := range sids {
		b.WriteString("sid " + s + "\n")
	}
	b.WriteString(strings.Join(vectors, "\n") + `
attribute xen_type; attribute domain_type; attribute domain_self_type; attribute resource_type; attribute event_type;
type xen_t, xen_type; type domio_t, xen_type; type domxen_t, xen_type; type unlabeled_t, xen_type; type security_t, xen_type;
type dom0_t, domain_type; type dom0_t_channel, event_type;
type irq_t, resource_type; type ioport_t, resource_type; type iomem_t, resource_type; type device_t, resource_type;
role system_r; role system_r types { xen_type dom0_t };
neverallow * ~domain_type:domain { create transition };
neverallow * ~resource_type:resource { use_iommu use_iommu_nointremap use_noiommu };
neverallow ~event_type *:event bind;
neverallow * ~event_type:event { create send status };
`)
	b.WriteString(module + "\n" + more + "\nuser system_u roles { system_r };\n")
	for _, s := range sids {
		role := "system_r"
		if slices.Contains([]string{"ioport", "iomem", "irq", "device"}, s) {
			role = "object_r"
		}
		b.WriteString("sid " + s + " system_u:" + role + ":" + s + "_t\n")
	}
	b.WriteString("iomemcon 0xfed40-0xfed44 system_u:object_r:tpm_iomem_t\n")
	return b.String()
}

// compile expands the macros and runs checkpolicy, as Xen's own build does.
func compile(t *testing.T, text string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	m4 := exec.Command("m4")
	m4.Stdin = strings.NewReader(text)
	expanded, err := m4.Output()
	if err != nil {
		t.Fatalf("m4: %v", err)
	}
	conf := filepath.Join(dir, "policy.conf")
	if err := os.WriteFile(conf, expanded, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("checkpolicy", "-t", "Xen", "-c", "30", "-o", filepath.Join(dir, "xenpolicy"), conf).CombinedOutput()
	return string(out), err
}

func need(t *testing.T) {
	t.Helper()
	for _, p := range []string{"m4", "checkpolicy"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed: go run ./tools/deps installs it", p)
		}
	}
}

// TestModule compiles the module alone.
func TestModule(t *testing.T) {
	t.Parallel()
	need(t)
	if out, err := compile(t, policy("")); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestForbidden adds one rule at a time that would disclose secrets.
func TestForbidden(t *testing.T) {
	t.Parallel()
	need(t)
	for _, rule := range []string{
		"allow dom0_t vtpm_t:mmu map_read;",
		"allow dom0_t vtpmmgr_t:mmu map_write;",
		"allow dom0_t vtpm_t_self:mmu map_read;",
		"allow domain_type domain_type:mmu map_read;",
		"allow dom0_t vtpm_t:domain getvcpucontext;",
		"allow dom0_t vtpmmgr_t:domain setdebugging;",
		"allow dom0_t vtpm_t:hvm gethvmc;",
		"allow dom0_t vtpm_t:shadow logdirty;",
		"allow dom0_t vtpm_t:domain2 relabelfrom;",
		"allow dom0_t vtpmmgr_t:domain2 set_as_target;",
		"allow vtpmguest_t vtpm_t:domain2 relabelto;",
		"allow vtpmguest_t vtpm_t:domain transition;",
		"allow vtpm_t_building vtpmmgr_t:domain transition;",
		"allow vtpmguest_t vtpmmgr_t:grant map_read;",
		"allow vtpm_t vtpm_t:grant copy;",
		"allow dom0_t tpm_iomem_t:resource use_noiommu;",
		"allow vtpm_t tpm_iomem_t:resource use_iommu;",
		"migrate_domain_out(dom0_t, vtpm_t)",
		"create_domain(dom0_t, vtpmmgr_t)",
	} {
		out, err := compile(t, policy(rule))
		if err == nil {
			t.Errorf("%s was taken", rule)
		} else if !strings.Contains(out, "neverallow") {
			t.Errorf("%s: refused for another reason:\n%s", rule, out)
		}
	}
	// A harmless rule must compile.
	if out, err := compile(t, policy("allow dom0_t vtpmguest_t:mmu adjust;")); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
