package xenlife

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"stubtpm/drivers/xen"
)

// during has something happen while xl carries out an order.
func (s *savedHost) during(order string, what func()) {
	xl := s.XL
	s.XL = func(ctx context.Context, args ...string) (string, error) {
		if args[0] == order {
			what()
		}
		if err := ctx.Err(); err != nil {
			return "", err // as exec.CommandContext ends xl
		}
		return xl(ctx, args...)
	}
}

// TestSaveInterrupted: a signal to end neither stops xl in the midst of saving a guest, nor
// leaves a guest that was saved without its token.
func TestSaveInterrupted(t *testing.T) {
	t.Parallel()
	s := newSavedHost(t, 2)
	s.xen.Store.Set(s.create)
	s.vtpm("")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.during("save", cancel)
	if err := s.SaveGuest(ctx, "mail", s.file); err != nil {
		t.Error(err)
	}
	if v, _ := s.xen.Store.Get("/local/domain/2/" + nodeToken); v != "8 "+imageToken {
		t.Errorf("the vTPM was given %q", v)
	}
	if err := s.SaveGuest(ctx, "mail", s.file); !errors.Is(err, context.Canceled) || s.orders() != "save 8 "+s.file {
		t.Errorf("interrupted before it began: %v", err)
	}
}

// TestSaveDomain: the vTPM is told of the domain that was saved, also if the
// name looks like a number, or like an option.
func TestSaveDomain(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"12", "-c", "mail;x", "../mail", "m\u00e4il"} {
		s := newSavedHost(t, 2)
		s.create["/local/domain/8/name"] = name
		s.xen.Store.Set(s.create)
		s.xen.Store.Set(map[string]string{"/local/domain/12/name": "other"})
		s.vtpm("")
		if err := s.SaveGuest(t.Context(), name, s.file); err != nil || s.orders() != "save 8 "+s.file {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestImageNoFile: a guest with a ring is not saved to what has no hash that its image would
// have later, and not restored from it, nor does anybody wait for it.
func TestImageNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("/dev/null", link); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{fifo, "/dev/null", "/dev/zero", dir, link} {
		s := newSavedHost(t, 2)
		s.xen.Store.Set(s.create)
		s.vtpm("")
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if err := s.SaveGuest(t.Context(), "mail", file); !errors.Is(err, ErrGuestImage) {
				t.Errorf("saved to %s: %v", file, err)
			}
			if err := s.RestoreGuest(t.Context(), "mail", file); !errors.Is(err, ErrGuestImage) {
				t.Errorf("restored from %s: %v", file, err)
			}
		}()
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			t.Fatalf("%s: somebody waits and waits", file)
		}
		if got := s.orders(); got != "" {
			t.Errorf("%s: orders %s", file, got)
		}
	}
	s := newSavedHost(t, 0)
	s.xen.Store.Set(s.create)
	if err := s.SaveGuest(t.Context(), "mail", fifo); err != nil {
		t.Errorf("a control area has its token in the memory: %v", err)
	}
}

// TestRestoreChanged: an image that was changed between what was hashed and what xl read is
// another image: nobody is told that it is the one that was hashed.
func TestRestoreChanged(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(file string) error{
		"written": func(file string) error { return os.WriteFile(file, []byte("other"), 0o600) },
		"longer": func(file string) error {
			f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteString("x")
				f.Close()
			}
			return err
		},
		"cut": func(file string) error { return os.Truncate(file, 1) },
		"replaced": func(file string) error {
			b, err := os.ReadFile(file)
			if err == nil {
				err = errors.Join(os.WriteFile(file+".new", b, 0o600), os.Rename(file+".new", file))
			}
			return err
		},
		"written, with its time put back": func(file string) error {
			i, err := os.Stat(file)
			return errors.Join(err, os.WriteFile(file, []byte("other"), 0o600), os.Chtimes(file, i.ModTime(), i.ModTime()))
		},
		"removed": os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSavedHost(t, 2)
			time.Sleep(20 * time.Millisecond) // a clock of file systems may tick each 10 ms
			s.during("restore", func() {
				if err := change(s.file); err != nil {
					t.Error(err)
				}
			})
			if err := s.RestoreGuest(t.Context(), "mail", s.file); !errors.Is(err, ErrGuestImage) || s.told != "" {
				t.Errorf("told %q, %v", s.told, err)
			}
			if got, want := s.orders(), "restore -p "+s.file+"; list 8; destroy 8"; got != want {
				t.Errorf("orders: %s; want %s", got, want)
			}
		})
	}
}

// TestTwoOperators: two programs restore or create the same guest at once. The second one
// does nothing, and in particular does not take the domain of the first one for its own.
func TestTwoOperators(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"mail", "a/b", "../x"} {
		first := newSavedHost(t, 2)
		first.create["/local/domain/8/name"] = name
		second := &Host{Store: first.Store, State: first.State, Log: t.Logf}
		var did []string
		second.XL = func(_ context.Context, args ...string) (string, error) {
			did = append(did, strings.Join(args, " "))
			return paused, errors.New("the name is taken")
		}
		tried := make(chan error, 1)
		// Between the look at the domains that there are and xl.
		first.during("restore", func() { go func() { tried <- second.RestoreGuest(t.Context(), name, first.file) }() })
		told := first.ReportRestored
		first.ReportRestored = func(ctx context.Context, id xen.DomID, uuid, token string) error {
			if err := <-tried; err == nil {
				t.Error("both succeed")
			}
			return told(ctx, id, uuid, token)
		}
		if err := first.RestoreGuest(t.Context(), name, first.file); err != nil {
			t.Error(err)
		}
		if len(did) != 0 {
			t.Errorf("%s: orders of the second one: %q", name, did)
		}
		if err := first.RestoreGuest(t.Context(), name, first.file+"-"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("afterwards: %v", err)
		}
	}
}
