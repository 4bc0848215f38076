package vtpmmgr

import (
	"errors"
	"math/rand/v2"
	"testing"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/proto"
)

// TestRestored drives creations, restorations and guests of two vTPMs and four domains, and
// holds each answer against a model: what the host told last of a domain and of a vTPM counts,
// for that domain, until it has the TPM. What was told of a restoration counts until the vTPM has
// asked for it, also where the number is that of the domain that it serves.
func TestRestored(t *testing.T) {
	t.Parallel()
	m := newTestManager(t, hardwareTPM(t), blocktest.NewMem(testDisk))
	admin, host, group := connect(t, m, Peer{}), as(t, m, testHost), as(t, m, testAdmin)
	uuids := []UUID{{1}, {2}}
	kernel := proto.Program{Hash: [32]byte{7}, Measurer: "a host 1"}
	var vtpms []*proto.Client
	for i, u := range uuids {
		// The second one requires measured starts.
		if err := admin.Enroll(&proto.Enrollment{UUID: u, Attested: true, Measured: i == 1}); err != nil {
			t.Fatal(err)
		}
		c, _ := live(t, m, Peer{Domain: uint16(5 + i), UUID: u}, 1)
		vtpms = append(vtpms, c)
	}
	type word struct {
		domain uint16
		start  proto.Start
	}
	told := map[int]word{}  // by vTPM
	has := map[int]uint16{} // by vTPM: the domain that has it
	asked := map[int]bool{} // whether the vTPM has looked at what was told
	seen := map[string]int{}
	r := rand.New(rand.NewPCG(14, 1))
	forget := func(domain uint16) {
		for v, w := range told {
			if w.domain == domain {
				delete(told, v)
			}
		}
	}
	for n := range 3000 {
		v, domain := r.IntN(2), uint16(20+r.IntN(4))
		switch r.IntN(4) {
		case 0:
			token := [proto.TokenSize]byte{byte(n), byte(n >> 8), 1}
			if err := host.Restored(domain, uuids[v], token); err != nil {
				t.Fatal(err)
			}
			forget(domain)
			told[v], asked[v] = word{domain, proto.Start{Restored: true, Token: token, MustFit: v == 1}}, false
			if has[v] == domain {
				has[v] = 0 // that was another one of the number
				seen["used again"]++
			}
		case 1:
			if err := host.CreatedMeasured(domain, uuids[v], kernel); err != nil {
				t.Fatal(err)
			}
			forget(domain)
			told[v] = word{domain, proto.Start{Created: true, Measured: true}}
		default:
			served := r.IntN(2) == 0
			var want proto.Start
			w, is := told[v]
			if is = is && w.domain == domain; is {
				want = w.start
			}
			first, known := has[v]
			got, err := vtpms[v].Guest(domain, served)
			if v == 1 && !is && !(known && first == domain) && !(served && !known) {
				if !errors.Is(err, proto.StartNotMeasured) {
					t.Fatalf("step %d: domain %d is not known, and gets %+v, %v", n, domain, got, err)
				}
				seen["refused"]++
				continue
			}
			if err != nil || got != want {
				t.Fatalf("step %d: domain %d of vTPM %d, served %v: %+v, %v; want %+v", n, domain, v, served, got, err, want)
			}
			seen[map[bool]string{true: "restored", false: "others"}[got.Restored]]++
			switch {
			case !served:
				asked[v] = asked[v] || is
			case got.Restored && !asked[v]:
				// Told only: the vTPM has not compared the token.
			default:
				has[v] = domain
				if is {
					delete(told, v)
				}
			}
		}
	}
	t.Log(seen)
	for _, what := range []string{"refused", "restored", "others", "used again"} {
		if seen[what] == 0 {
			t.Errorf("never: %s", what)
		}
	}
	if err := group.Restored(30, uuids[0], [32]byte{1}); err != nil {
		t.Errorf("by the administrator: %v", err)
	}
	if err := as(t, m, testTenant).Restored(30, uuids[0], [32]byte{1}); !errors.Is(err, proto.Unsigned) {
		t.Errorf("by a stranger: %v", err)
	}
	if err := host.Restored(30, UUID{9}, [32]byte{1}); !errors.Is(err, proto.NotEnrolled) {
		t.Errorf("of another's vTPM: %v", err)
	}
}
