package tcg

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// lines returns the lines of a file of testdata that are not comments.
func lines(t *testing.T, name string) []string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, l := range strings.Split(string(b), "\n") {
		if l != "" && l[0] != '#' {
			out = append(out, l)
		}
	}
	if len(out) < 100 {
		t.Fatalf("%s has only %d lines", name, len(out))
	}
	return out
}

// A command of the default profile that may change permanent state has {NV} in
// Part 3, but for TPM2_PCR_SetAuthValue, whose value TPM2_Shutdown saves.
func TestCommandsThatSaveHaveNV(t *testing.T) {
	t.Parallel()
	profile := DefaultProfile()
	for cc := TPMCC(0); cc < 0x300; cc++ {
		c := CommandByCode(cc)
		if c == nil || !profile.HasCommand(cc) || cc == TPMCCPCRSetAuthValue || c.Has(AttrReads) || c.Has(AttrVolatile) {
			continue
		}
		if !c.Has(AttrNV) {
			t.Errorf("%s has neither AttrNV nor an attribute that says that it saves nothing", c.Name)
		}
	}
}

// The table has exactly the commands of the list, under one of their names.
func TestCommandsAgainstList(t *testing.T) {
	t.Parallel()
	listed := map[TPMCC]bool{}
	for _, l := range lines(t, "commands.tsv") {
		f := strings.Split(l, "\t")
		code, err := strconv.ParseUint(f[1], 0, 32)
		if err != nil {
			t.Fatal(err)
		}
		listed[TPMCC(code)] = true
		c := CommandByCode(TPMCC(code))
		if c == nil {
			t.Errorf("%s has no row", f[0])
			continue
		}
		named := false
		for _, n := range strings.Split(f[0], "/") {
			named = named || "TPM2_"+n == c.Name
		}
		if !named || c.Since != f[2] || c.Code != TPMCC(code) {
			t.Errorf("row %#x is %s since %s, want %s since %s", uint32(c.Code), c.Name, c.Since, f[0], f[2])
		}
		if deprecated := len(f) > 3 && f[3] == "yes"; c.Has(AttrDeprecated) != deprecated {
			t.Errorf("%s: deprecated %v, want %v", c.Name, c.Has(AttrDeprecated), deprecated)
		}
	}
	for cc := TPMCC(0); cc < 0x300; cc++ {
		if CommandByCode(cc) != nil && !listed[cc] {
			t.Errorf("row %#x is not in the list", uint32(cc))
		}
	}
	for _, cc := range []TPMCC{1 << 29, TPMCCVendor | TPMCCStartup, 0xFFFFFFFF, TPMCCStartup | 1<<22} {
		if CommandByCode(cc) != nil {
			t.Errorf("CommandByCode(%#x) is not nil", uint32(cc))
		}
	}
}

// What a resource manager is told agrees with a TPM that guests run on today.
func TestCommandAttributesAgainstLibtpms(t *testing.T) {
	t.Parallel()
	for _, l := range lines(t, "cca.txt") {
		v, err := strconv.ParseUint(l, 0, 32)
		if err != nil {
			t.Fatal(err)
		}
		c := CommandByCode(TPMCC(v & 0xFFFF))
		if c == nil {
			t.Errorf("no row for %#x", v)
		} else if got := c.CCAttributes(); got != TPMACC(v) {
			t.Errorf("%s: TPMA_CC %#08x, want %#08x", c.Name, got, v)
		}
	}
}

// Rules that hold for every row.
func TestCommandTableIsSound(t *testing.T) {
	t.Parallel()
	for cc := TPMCCFirst; cc <= TPMCCLast; cc++ {
		c := CommandByCode(cc)
		if c == nil {
			continue
		}
		auths := true
		for _, h := range c.Handles {
			if h.Role != RoleNone && !auths {
				t.Errorf("%s: %s needs authorization after one that does not", c.Name, h.Name)
			}
			auths = auths && h.Role != RoleNone
		}
		if len(c.Handles) > 3 {
			t.Errorf("%s has %d handles", c.Name, len(c.Handles))
		}
		if c.Has(AttrNoSessions) && (c.AuthCount() > 0 || c.Has(AttrPP)) {
			t.Errorf("%s can have no session but needs one", c.Name)
		}
		for _, p := range append(append([]ParamSpec(nil), c.Params...), c.Response...) {
			if p.Name == "" || p.Type == "" || p.Type != strings.ToUpper(p.Type) {
				t.Errorf("%s: parameter %q of type %q", c.Name, p.Name, p.Type)
			}
		}
	}
}
