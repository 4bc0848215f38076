package scenario

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"stubtpm/tools/xenlab/lab"
)

// ringabuse is the static build of tools/ringabuse, for the hostile guest.
var ringabuse = filepath.Join(repository, "build/ringabuse")

// repository is the path of the repository from this package.
const repository = "../../.."

// needXen skips a test unless tests on Xen are enabled, because they take minutes.
func needXen(t *testing.T) Images {
	t.Helper()
	if os.Getenv("STUBTPM_XEN") == "" {
		t.Skip("boots Xen in QEMU for minutes: set STUBTPM_XEN=1, as make test does")
	}
	i := Images{
		Manager: filepath.Join(repository, "build/images/vtpmmgr.elf"),
		VTPM:    filepath.Join(repository, "build/images/vtpm.elf"),
		Stubtpm: filepath.Join(repository, "build/stubtpm"),
	}
	for _, f := range append(slices.Collect(maps.Values(i.Files())), ringabuse) {
		if _, err := os.Stat(f); err != nil {
			t.Fatalf("%v (make images builds it)", err)
		}
	}
	return i
}

// machine boots the lab for one test. Its files stay in build/, to investigate failures.
func machine(t *testing.T, name string, opt lab.Options) *lab.Machine {
	t.Helper()
	opt.Dir = filepath.Join(repository, "build/xenlab-"+name)
	opt.LinuxGuest = true
	opt.Log = t.Logf
	if err := os.RemoveAll(filepath.Join(opt.Dir, "tpm")); err != nil {
		t.Fatal(err)
	}
	m, err := lab.Start(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// TestXen runs the story and, on the same machine, the faults and attacks.
func TestXen(t *testing.T) {
	images := needXen(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	attests := filepath.Join(repository, "build/stubtpm-guest")
	s := NewStack(machine(t, "test", lab.Options{Files: images.Files(), Manufactured: true,
		GuestFiles: map[string]string{abuseCommand: ringabuse, evidenceCommand: attests}}))
	var g *lab.Guest
	t.Run("story", func(t *testing.T) {
		var err error
		if g, err = s.Story(ctx, &testReport{t}); err != nil {
			t.Fatal(err)
		}
	})
	if t.Failed() {
		return
	}
	t.Run("trust", func(t *testing.T) {
		var err error
		if g, err = s.Trust(ctx, &testReport{t}, images.Manager, t.TempDir()); err != nil {
			t.Fatal(err)
		}
	})
	if t.Failed() {
		return
	}
	t.Run("everyday", func(t *testing.T) {
		if err := s.Everyday(ctx, &testReport{t}, g); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("hostile", func(t *testing.T) {
		if err := s.Hostile(ctx, &testReport{t}, g, time.Minute); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("faults", func(t *testing.T) {
		if err := s.Faults(ctx, &testReport{t}); err != nil {
			t.Fatal(err)
		}
	})
}

// A testReport fails the test for a claim that does not hold.
type testReport struct{ t *testing.T }

func (r *testReport) Step(format string, args ...any) { r.t.Logf(format, args...) }

func (r *testReport) Show(where, command, output string) {
	r.t.Logf("%s# %s\n%s", where, command, output)
}

func (r *testReport) Check(claim string, holds bool, detail string) {
	r.t.Helper()
	if !holds {
		r.t.Errorf("%s: %s", claim, detail)
	} else {
		r.t.Logf("ok: %s", claim)
	}
}

// TestXenCRB runs Story with a CRB as the hardware TPM's interface.
func TestXenCRB(t *testing.T) {
	images := needXen(t)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	s := NewStack(machine(t, "crb", lab.Options{TPM: "crb", Files: images.Files()}))
	if _, err := s.Story(ctx, &testReport{t}); err != nil {
		t.Fatal(err)
	}
}
