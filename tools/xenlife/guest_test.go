package xenlife

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stubtpm/drivers/xen"
)

const (
	guestUUID   = "6f3b2a10-0000-4000-8000-000000000001"
	guestConfig = "name = \"mail\"\nvtpm = [\"backend=vtpm-mail,uuid=" + guestUUID + "\"]\n"
)

// A guestHost is a fake on which xl creates domain 8, with what the manager was told.
type guestHost struct {
	*fake
	file   string
	told   map[xen.DomID]string
	refuse error // of the manager

	interrupt func() // called while the manager is told; may be nil
}

func newGuestHost(t *testing.T, text string) *guestHost {
	t.Helper()
	g := &guestHost{fake: newFake(t), file: filepath.Join(t.TempDir(), "guest.cfg"), told: map[xen.DomID]string{}}
	if err := os.WriteFile(g.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	g.reply = paused
	g.create = map[string]string{"/local/domain/8/name": "mail"}
	g.xen.Store.Set(map[string]string{"/local/domain/0/name": "Domain-0"})
	g.ReportCreated = func(_ context.Context, id xen.DomID, uuid string) error {
		g.told[id] = uuid
		if g.interrupt != nil {
			g.interrupt()
		}
		return g.refuse
	}
	return g
}

// check compares the orders since the last call, without xl list.
func (g *guestHost) check(t *testing.T, want ...string) {
	t.Helper()
	var did []string
	for o := range strings.SplitSeq(g.orders(), "; ") {
		if o != "" && !strings.HasPrefix(o, "list ") {
			did = append(did, strings.TrimSuffix(o, " "+g.file))
		}
	}
	if got, want := strings.Join(did, "; "), strings.Join(want, "; "); got != want {
		t.Errorf("orders: %s; want: %s", got, want)
	}
}

// TestCreateGuest: the manager is told of a guest before it runs.
func TestCreateGuest(t *testing.T) {
	t.Parallel()
	g := newGuestHost(t, guestConfig)
	report := g.ReportCreated
	g.ReportCreated = func(ctx context.Context, id xen.DomID, uuid string) error {
		g.check(t, "create -q -p")
		return report(ctx, id, uuid)
	}
	if err := g.CreateGuest(t.Context(), g.file); err != nil || len(g.told) != 1 || g.told[8] != guestUUID {
		t.Fatalf("told %v, %v", g.told, err)
	}
	g.check(t, "unpause 8")
}

// TestCreateGuestUndone: a guest of which the manager cannot be told, or that cannot be
// unpaused, does not stay, also if this program is interrupted.
func TestCreateGuestUndone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(g *guestHost, interrupt func())
		want    []string
	}{
		"no manager":               {func(g *guestHost, _ func()) { g.refuse = errors.New("no manager") }, []string{"create -q -p", "destroy 8"}},
		"interrupted while told":   {func(g *guestHost, stop func()) { g.refuse, g.interrupt = context.Canceled, stop }, []string{"create -q -p", "destroy 8"}},
		"unpause fails":            {func(g *guestHost, _ func()) { g.fail = "unpause" }, []string{"create -q -p", "unpause 8", "destroy 8"}},
		"xl fails with its domain": {func(g *guestHost, _ func()) { g.fail = "create" }, []string{"create -q -p", "destroy 8"}},
		"xl fails":                 {func(g *guestHost, _ func()) { g.fail, g.create = "create", nil }, []string{"create -q -p"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			g := newGuestHost(t, guestConfig)
			c.prepare(g, cancel)
			if err := g.CreateGuest(ctx, g.file); err == nil {
				t.Error("it is created")
			}
			g.check(t, c.want...)
		})
	}
}

// TestCreateGuestBesides: whatever other domains there are, of the same name too, they are
// neither reported nor destroyed nor unpaused.
func TestCreateGuestBesides(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config string
		before string // name of domain 7, which runs
		made   map[string]string
		told   bool
	}{
		"another of the name":    {guestConfig, "mail", map[string]string{"/local/domain/8/name": "mail"}, true},
		"two settings of a name": {"name = \"web\"\n" + guestConfig, "web", map[string]string{"/local/domain/8/name": "mail"}, true},
		"a name in a string":     {"extra = 'name = \"web\"'\n" + guestConfig, "web", map[string]string{"/local/domain/8/name": "mail"}, true},
		"xl made none":           {guestConfig, "mail", nil, false},
		"two at once":            {guestConfig, "", map[string]string{"/local/domain/8/name": "mail", "/local/domain/9/name": "mail"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, refuse := range []error{nil, errors.New("no manager")} {
				g := newGuestHost(t, c.config)
				g.create, g.refuse = c.made, refuse
				if c.before != "" {
					g.xen.Store.Set(map[string]string{"/local/domain/7/name": c.before})
				}
				err := g.CreateGuest(t.Context(), g.file)
				if (err == nil) != (c.told && refuse == nil) {
					t.Errorf("manager answers %v: %v", refuse, err)
				}
				if _, told := g.told[8]; told != c.told || len(g.told) > 1 {
					t.Errorf("told %v", g.told)
				}
				switch {
				case !c.told:
					g.check(t, "create -q -p")
				case refuse != nil:
					g.check(t, "create -q -p", "destroy 8")
				default:
					g.check(t, "create -q -p", "unpause 8")
				}
			}
		})
	}
}

// TestCreateGuestRuns: a new domain that somebody has unpaused meanwhile is not reported.
func TestCreateGuestRuns(t *testing.T) {
	t.Parallel()
	g := newGuestHost(t, guestConfig)
	g.reply = strings.Replace(paused, "--p---       0.0", "r-----       3.1", 1)
	if err := g.CreateGuest(t.Context(), g.file); !errors.Is(err, ErrNotPaused) || len(g.told) != 0 {
		t.Errorf("told %v, %v", g.told, err)
	}
	g.check(t, "create -q -p")
}

// TestCreateGuestUUID: the UUID is that of the vtpm setting as xl reads it, or nothing is
// created.
func TestCreateGuestUUID(t *testing.T) {
	t.Parallel()
	const other = "0f7c9c1e-2f4a-4f2b-9c58-0d7c1b2a3f99"
	for name, c := range map[string]struct {
		vtpm string
		ok   bool
	}{
		"several lines":     {"vtpm = [\n  \"backend=vtpm-mail,uuid=" + guestUUID + "\"\n]\n", true},
		"upper case":        {"vtpm = ['backend=vtpm-mail,uuid=" + strings.ToUpper(guestUUID) + "']\n", true},
		"two devices":       {"vtpm = ['backend=b,uuid=" + guestUUID + "', 'backend=b,uuid=" + other + "']\n", true},
		"the last setting":  {"vtpm = ['uuid=" + other + "']\nvtpm = ['backend=b,uuid=" + guestUUID + "']\n", true},
		"comment before":    {"#vtpm = ['uuid=" + other + "']\nvtpm = ['backend=b,uuid=" + guestUUID + "']\n", true},
		"comment behind":    {"vtpm = ['backend=vtpm-mail'] # uuid=" + guestUUID + "\n", false},
		"no UUID":           {"vtpm = ['backend=vtpm-mail']\n", false},
		"36 dashes":         {"vtpm = ['uuid=" + strings.Repeat("-", 36) + "']\n", false},
		"no vtpm":           {"", false},
		"not closed":        {"vtpm = ['uuid=" + guestUUID + "'\n", false},
		"in another string": {"extra = \"vtpm = ['uuid=" + guestUUID + "']\"\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuestHost(t, "name = 'mail'\n"+c.vtpm)
			err := g.CreateGuest(t.Context(), g.file)
			if (err == nil) != c.ok || c.ok && g.told[8] != guestUUID {
				t.Errorf("told %v, %v", g.told, err)
			}
			if !c.ok {
				g.check(t)
			}
		})
	}
}

// TestRunGuest: a guest that reboots itself is created again, and the manager told of each
// of its domains before it runs. A configuration by which xl itself would create it again is
// refused.
func TestRunGuest(t *testing.T) {
	t.Parallel()
	for _, text := range []string{guestConfig, guestConfig + "on_reboot = 'restart'\n", guestConfig + "on_reboot = ['destroy', 'x']\n"} {
		g := newGuestHost(t, text)
		if err := g.RunGuest(t.Context(), g.file, nil); !errors.Is(err, ErrReboot) {
			t.Errorf("%q: %v", text, err)
		}
		g.check(t)
	}
	g := newGuestHost(t, guestConfig+"on_reboot = \"destroy\"\n")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	next := xen.DomID(8)
	report := g.ReportCreated
	g.ReportCreated = func(ctx context.Context, id xen.DomID, uuid string) error {
		if id != next {
			t.Errorf("told of domain %d, want %d", id, next)
		}
		return report(ctx, id, uuid)
	}
	lives := 0
	g.Restart(ctx, g.RunGuest, g.file, func() {
		if lives++; lives == 3 {
			cancel()
			return
		}
		// It reboots: xl destroys its domain, and makes the next one with the next number.
		if err := g.Store.Remove(ctx, fmt.Sprintf("/local/domain/%d", next)); err != nil {
			t.Error(err)
		}
		next++
		g.mu.Lock()
		g.create = map[string]string{fmt.Sprintf("/local/domain/%d/name", next): "mail"}
		g.mu.Unlock()
	})
	if len(g.told) != 3 {
		t.Errorf("3 starts, told of %v", g.told)
	}
	if did := g.orders(); !strings.HasSuffix(did, "shutdown 10") {
		t.Errorf("it does not shut the guest down at its end: %s", did)
	}
}

// TestRunGuestAdopts: a guest that runs already is not created, and its end is waited for.
func TestRunGuestAdopts(t *testing.T) {
	t.Parallel()
	g := newGuestHost(t, guestConfig+"on_reboot = \"destroy\"\n")
	g.xen.Store.Set(map[string]string{"/local/domain/7/name": "mail"})
	err := g.RunGuest(t.Context(), g.file, func() {
		if err := g.Store.Remove(t.Context(), "/local/domain/7"); err != nil {
			t.Error(err)
		}
	})
	if err != nil || len(g.told) != 0 {
		t.Errorf("told %v, %v", g.told, err)
	}
	g.check(t)
}

// TestCreateGuestByDoorbell: who measures a guest reports it, and nobody else.
func TestCreateGuestByDoorbell(t *testing.T) {
	t.Parallel()
	for _, backend := range []string{"", "backend=0,", "backend=Domain-0,"} {
		g := newGuestHost(t, "name = 'mail'\nvtpm = ['"+backend+"uuid="+guestUUID+"']\n")
		if err := g.CreateGuest(t.Context(), g.file); err != nil || len(g.told) != 0 {
			t.Errorf("%q: told %v, %v", backend, g.told, err)
		}
		g.check(t, "create -q -p", "unpause 8")
	}
}
