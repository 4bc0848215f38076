package movehost

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/devxen"
	"stubtpm/tools/xenmove"
)

// played are domains, and xl of a version.
type played struct {
	*Guests
	h       *hand
	domains map[xen.DomID]devxen.Status
	resumes string // order of xl that resumes
	orders  []string
}

func newPlayed(t *testing.T) *played {
	p := &played{h: newHand(t, false), domains: map[xen.DomID]devxen.Status{}}
	p.Guests = &Guests{Store: p.h.store, Status: func(id xen.DomID) (devxen.Status, error) { return p.domains[id], nil },
		XL: func(_ context.Context, words ...string) (string, error) {
			p.orders = append(p.orders, strings.Join(words[:2], " "))
			var id xen.DomID
			for _, w := range words {
				if _, err := fmt.Sscan(w, &id); err == nil {
					break
				}
			}
			switch s := p.domains[id]; words[0] {
			case p.resumes:
				s.Suspended = false
				p.domains[id] = s
			case "destroy":
				delete(p.domains, id)
			case "rename":
				p.h.host.Store.Set(map[string]string{fmt.Sprintf("/local/domain/%d/name", id): words[2]})
				return "", nil
			case "unpause":
				s.Paused, s.Ran = false, true
				p.domains[id] = s
				return "", nil
			}
			return "", errors.New("xl fails, as some versions do after it has done its work")
		}}
	return p
}

// TestGuestStates tells what domains do.
func TestGuestStates(t *testing.T) {
	t.Parallel()
	p := newPlayed(t)
	for want, s := range map[xenmove.State]devxen.Status{
		xenmove.Gone:    {},
		xenmove.Running: {Exists: true, Ran: true},
		xenmove.Waiting: {Exists: true, Paused: true},
		xenmove.Stopped: {Exists: true, Suspended: true, Ran: true},
	} {
		p.domains[5] = s
		if got, err := p.State(t.Context(), 5); got != want || err != nil {
			t.Errorf("%+v: %v, want %v (%v)", s, got, want, err)
		}
	}
	p.domains[5] = devxen.Status{Exists: true, Paused: true, Ran: true}
	if got, _ := p.State(t.Context(), 5); got != xenmove.Running {
		t.Errorf("one that an administrator has paused: %v", got)
	}
}

// TestFind finds domains by name, and not those that are on their way out.
func TestFind(t *testing.T) {
	t.Parallel()
	p := newPlayed(t)
	find := func(want xen.DomID) {
		t.Helper()
		if id, ok, err := p.Find(t.Context(), guest); id != want || ok != (want != 0) || err != nil {
			t.Errorf("domain %d, %v, %v, want %d", id, ok, err, want)
		}
	}
	find(0)
	p.domains[5] = devxen.Status{Exists: true}
	find(5)
	p.h.host.Store.Set(map[string]string{"/local/domain/9/name": guest})
	find(5)
	p.domains[9] = devxen.Status{Exists: true}
	if _, _, err := p.Find(t.Context(), guest); err == nil {
		t.Error("two domains of a name, and one was found")
	}
	delete(p.domains, 5)
	find(9)
}

// TestResume resumes by xl of all versions, and says so if none does.
func TestResume(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"resume", "migrate", "none"} {
		p := newPlayed(t)
		p.resumes = by
		p.h.host.Store.Set(map[string]string{"/local/domain/5/name": guest + "--migratedaway"})
		p.domains[5] = devxen.Status{Exists: true, Suspended: true, Ran: true}
		err := p.Resume(t.Context(), 5, guest)
		if (err == nil) != (by != "none") || p.domains[5].Suspended != (by == "none") {
			t.Errorf("by %s: %v, %+v, %q", by, err, p.domains[5], p.orders)
		}
	}
}

// TestResumeLate resumes a guest that stops after xl has given up, and none that goes on or ends.
func TestResumeLate(t *testing.T) {
	t.Parallel()
	runs := devxen.Status{Exists: true, Ran: true}
	for _, c := range []struct {
		name  string
		later devxen.Status
		want  bool
	}{{"goes on", runs, false}, {"stops", devxen.Status{Exists: true, Suspended: true, Ran: true}, true}, {"ends", devxen.Status{}, false}} {
		p := newPlayed(t)
		p.resumes = "resume"
		p.domains[5] = runs
		looks := 0
		status := p.Status
		p.Status = func(id xen.DomID) (devxen.Status, error) {
			if looks++; looks == 3 {
				p.domains[5] = c.later
			}
			return status(id)
		}
		got, err := p.ResumeLate(t.Context(), 5, guest, time.Second)
		if got != c.want || err != nil || p.domains[5].Suspended {
			t.Errorf("%s: %v, %v, %+v", c.name, got, err, p.domains[5])
		}
	}
}

// TestRunDestroy has a copy run, and destroys one.
func TestRunDestroy(t *testing.T) {
	t.Parallel()
	p := newPlayed(t)
	p.h.host.Store.Set(map[string]string{"/local/domain/5/name": guest + "--incoming"})
	p.domains[5] = devxen.Status{Exists: true, Paused: true}
	if err := p.Run(t.Context(), 5, guest); err != nil || !p.domains[5].Ran || len(p.orders) != 2 {
		t.Errorf("%v, %+v, %q", err, p.domains[5], p.orders)
	}
	if err := p.Destroy(t.Context(), 5); err != nil || len(p.domains) != 0 {
		t.Errorf("%v, %v", err, p.domains)
	}
}
