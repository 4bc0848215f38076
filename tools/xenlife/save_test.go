package xenlife

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stubtpm/drivers/xen"
)

// imageToken is the SHA-256 hash of the image of these tests.
const imageToken = "6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d"

// A savedHost is a fake on which xl saves and restores domain 8, whose vTPM is in domain 2.
type savedHost struct {
	*fake
	file   string
	told   string
	refuse error // of the manager
}

func newSavedHost(t *testing.T, backend xen.DomID) *savedHost {
	t.Helper()
	s := &savedHost{fake: newFake(t), file: filepath.Join(t.TempDir(), "image")}
	if err := os.WriteFile(s.file, []byte("image"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.reply = paused
	s.create = map[string]string{
		"/local/domain/8/name": "mail", "/libxl/8/device/vtpm/0/frontend": "/local/domain/8/device/vtpm/0",
		"/libxl/8/device/vtpm/0/backend": fmt.Sprintf("/local/domain/%d/backend/vtpm/8/0", backend), "/libxl/8/device/vtpm/0/uuid": guestUUID,
	}
	s.xen.Store.Set(map[string]string{"/local/domain/0/name": "Domain-0", "/local/domain/2/name": "vtpm-mail"})
	s.ReportRestored = func(_ context.Context, id xen.DomID, uuid, token string) error {
		s.told = fmt.Sprint(id, " ", uuid, " ", token)
		return s.refuse
	}
	return s
}

// vtpm answers as the vTPM's domain does.
func (s *savedHost) vtpm(answer string) {
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	s.t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if v, ok := s.xen.Store.Get("/local/domain/2/" + nodeToken); ok {
				if answer == "" {
					answer = v
				}
				s.xen.Store.Set(map[string]string{"/local/domain/2/" + nodeHasToken: answer})
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
}

// TestSaveGuest: a vTPM is given the hash of the image; a guest with a control area is xl's
// and the doorbell's.
func TestSaveGuest(t *testing.T) {
	t.Parallel()
	s := newSavedHost(t, 2)
	s.xen.Store.Set(s.create)
	s.xen.Store.Set(map[string]string{"/local/domain/2/" + nodeHasToken: "error: of an earlier image"})
	s.vtpm("")
	if err := s.SaveGuest(t.Context(), "mail", s.file); err != nil {
		t.Fatal(err)
	}
	if v, _ := s.xen.Store.Get("/local/domain/2/" + nodeToken); v != "8 "+imageToken {
		t.Errorf("the vTPM was given %q", v)
	}
	s = newSavedHost(t, 2)
	s.xen.Store.Set(s.create)
	s.vtpm("error: no")
	if err := s.SaveGuest(t.Context(), "mail", s.file); !errors.Is(err, ErrNoToken) {
		t.Errorf("refused by the vTPM: %v", err)
	}
	s = newSavedHost(t, 2)
	s.xen.Store.Set(s.create)
	s.fail = "save"
	if err := s.SaveGuest(t.Context(), "mail", s.file); err == nil || errors.Is(err, ErrNoToken) {
		t.Errorf("xl fails: %v", err)
	}
	if v, ok := s.xen.Store.Get("/local/domain/2/" + nodeToken); ok {
		t.Errorf("the vTPM was given %q of a guest that was not saved", v)
	}
	s = newSavedHost(t, 0)
	s.xen.Store.Set(s.create)
	if err := s.SaveGuest(t.Context(), "mail", s.file); err != nil {
		t.Errorf("a control area: %v", err)
	}
	if err := s.SaveGuest(t.Context(), "other", s.file); err == nil {
		t.Error("a guest that does not exist is saved")
	}
}

// TestRestoreGuest: the manager is told before the guest runs, or it does not run.
func TestRestoreGuest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		backend    xen.DomID
		refuse     error
		fail       string
		told, want string
	}{
		"ring":         {2, nil, "", "8 " + guestUUID + " " + imageToken, "restore -p FILE; list 8; unpause 8"},
		"control area": {0, nil, "", "", "restore -p FILE; list 8; unpause 8"},
		"no manager":   {2, errors.New("no manager"), "", "8 " + guestUUID + " " + imageToken, "restore -p FILE; list 8; destroy 8"},
		"xl fails":     {2, nil, "restore", "", "restore -p FILE; list 8; destroy 8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSavedHost(t, c.backend)
			s.refuse, s.fail = c.refuse, c.fail
			err := s.RestoreGuest(t.Context(), "mail", s.file)
			if (err == nil) != (c.refuse == nil && c.fail == "") || s.told != c.told {
				t.Errorf("told %q, %v", s.told, err)
			}
			if got := s.orders(); got != replaceFile(c.want, s.file) {
				t.Errorf("orders: %s; want %s", got, c.want)
			}
		})
	}
	s := newSavedHost(t, 2)
	if err := s.RestoreGuest(t.Context(), "mail", s.file+"-not-there"); err == nil || s.orders() != "" {
		t.Errorf("no file: %v", err)
	}
}

func replaceFile(orders, file string) string { return strings.ReplaceAll(orders, "FILE", file) }
