package command

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
)

// policySession starts a policy session and returns its nonceTPM.
func (x rawTPM) policySession() (h tcg.TPMHandle, nonceTPM []byte) {
	x.t.Helper()
	rc, h, r := x.send(tcg.TPMCCStartAuthSession, handles(tcg.TPMRHNull, tcg.TPMRHNull), func(w *tcg.Writer) {
		w.Sized(make([]byte, 16))
		w.Sized(nil)
		w.Uint8(uint8(tcg.TPMSEPolicy))
		w.Uint16(uint16(tcg.TPMAlgNull))
		w.Uint16(uint16(tcg.TPMAlgSHA256))
	})
	if rc != tcg.TPMRCSuccess {
		x.t.Fatalf("StartAuthSession: %#x", uint32(rc))
	}
	return h, bytes.Clone(r.Sized(tcg.MaxDigestSize))
}

// secret is TPM2_PolicySecret by a hierarchy, good for some seconds.
func (x rawTPM) secret(by, session tcg.TPMHandle, nonceTPM []byte, seconds int32) tcg.TPMRC {
	x.t.Helper()
	rc, _, _ := x.send(tcg.TPMCCPolicySecret, handles(by, session), func(w *tcg.Writer) {
		w.Sized(nonceTPM)
		w.Sized(nil)
		w.Sized(nil)
		w.Uint32(uint32(seconds))
	})
	return rc
}

func (x rawTPM) loadContext(context []byte) {
	x.t.Helper()
	x.want(tcg.TPMRCSuccess, tcg.TPMCCContextLoad, nil, func(w *tcg.Writer) { w.Bytes(context) })
}

// TestSessionStartElsewhere: an authorization that is good for a minute of a session's
// start (Part 3, 23.2.2) is not good a day later because the session was saved and
// another process, whose clock begins again, has the TPM; and it is good at once in a
// process that has just resumed it.
func TestSessionStartElsewhere(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name            string
		started, later  time.Duration // in the first process
		begins, resumed time.Duration // in the other one
		state           bool          // TPM2_Shutdown(STATE), and not Volatile
		want            tcg.TPMRC
	}{
		{"a day later, restarted", 5 * time.Second, 24 * time.Hour, 2 * time.Second, 30 * time.Second, true, tcg.TPMRCExpired.P(4)},
		{"at once, restarted", 5 * time.Second, 6 * time.Second, 2 * time.Second, 3 * time.Second, true, tcg.TPMRCExpired.P(4)},
		{"a day later, resumed", 5 * time.Second, 24 * time.Hour, 2 * time.Second, 30 * time.Second, false, tcg.TPMRCExpired.P(4)},
		{"at once, resumed where the clock is behind", 5000 * time.Second, 5001 * time.Second, time.Second, 2 * time.Second, false, tcg.TPMRCSuccess},
		{"at once, resumed where the clock is ahead", 5 * time.Second, 6 * time.Second, 90000 * time.Second, 90001 * time.Second, false, tcg.TPMRCSuccess},
	} {
		for _, saved := range []bool{true, false} {
			if !saved && c.state {
				continue // a loaded session does not outlive a restart
			}
			now := c.started
			s := new(memStore)
			cfg := engine.Config{Store: s, Now: func() time.Duration { return now }}
			d, err := Manufacture(cfg)
			if err != nil {
				t.Fatal(err)
			}
			d.Execute(0, startupClear)
			h, nonce := rawTPM{t, d}.policySession()
			var context []byte
			if saved {
				context = rawTPM{t, d}.save(h)
			}
			now = c.later
			if c.state {
				d.Execute(0, shutdownState)
				now = c.begins
				d, err = Load(cfg, s.state)
			} else {
				var v []byte
				if v, err = d.Volatile(); err == nil {
					now = c.begins
					d, err = Resume(cfg, s.state, v)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.state {
				d.Execute(0, startupClear)
			}
			now = c.resumed
			if saved {
				rawTPM{t, d}.loadContext(context)
			}
			if rc := (rawTPM{t, d}).secret(tcg.TPMRHOwner, h, nonce, 60); rc != c.want {
				t.Errorf("%s, saved %v: %#x, want %#x", c.name, saved, uint32(rc), uint32(c.want))
			}
		}
	}
}

// TestExpiredStaysExpired: an authorization that ended before the TPM was started again
// does not come back when another one is added to the session.
func TestExpiredStaysExpired(t *testing.T) {
	t.Parallel()
	now := 5 * time.Second
	d, err := Manufacture(engine.Config{Store: new(memStore), Now: func() time.Duration { return now }})
	if err != nil {
		t.Fatal(err)
	}
	d.Execute(0, startupClear)
	x := rawTPM{t, d}
	h, nonce := x.policySession()
	if rc := x.secret(tcg.TPMRHOwner, h, nonce, 3600); rc != tcg.TPMRCSuccess {
		t.Fatalf("%#x", uint32(rc))
	}
	context := x.save(h)
	now = 24 * time.Hour
	d.Execute(0, shutdownState)
	d.Init()
	d.Execute(0, startupClear)
	x.loadContext(context)
	if rc := x.secret(tcg.TPMRHEndorsement, h, nil, 100); rc != tcg.TPMRCSuccess {
		t.Fatalf("%#x", uint32(rc))
	}
	if p := d.Session(h).Policy; p.Epoch == d.Vol.Clock.Epoch || p.Timeout == 0 {
		t.Errorf("the session ends at %d ms of epoch %#x, which is the present one: its first authorization has expired", p.Timeout, p.Epoch)
	}
}

// TestVolatileVersion2: in the version before, a session's start is how long ago it was.
func TestVolatileVersion2(t *testing.T) {
	t.Parallel()
	now := 5 * time.Second
	s := new(memStore)
	cfg := engine.Config{Store: s, Now: func() time.Duration { return now }}
	d, err := Manufacture(cfg)
	if err != nil {
		t.Fatal(err)
	}
	d.Execute(0, startupClear)
	now = 10 * time.Second
	h, nonce := rawTPM{t, d}.policySession()
	v, err := d.Volatile()
	if err != nil {
		t.Fatal(err)
	}
	// Version 3 has, in its place, 8 bytes of Time and 4 of its epoch.
	p := d.Session(h).Policy
	var three, two tcg.Writer
	three.Uint64(p.Start)
	three.Uint32(p.StartEpoch)
	three.Uint64(p.Timeout)
	two.Uint64(uint64(10 * time.Second))
	two.Uint64(p.Timeout)
	if bytes.Count(v, three.B) != 1 {
		t.Fatal("no start in the volatile state")
	}
	old := bytes.Replace(v, three.B, two.B, 1)
	old[5] = 2
	// Its age came after the session.
	var end tcg.Writer
	p.Encode(&end)
	tail := bytes.Replace(end.B, three.B, two.B, 1)
	i := bytes.Index(old, tail)
	if i < 0 {
		t.Fatal("no session in the volatile state")
	}
	old = append(bytes.Clone(old[:i+len(tail)]), append(binary.BigEndian.AppendUint64(nil, 0), old[i+len(tail):]...)...)
	now = time.Hour
	r, err := Resume(cfg, s.state, old)
	if err != nil {
		t.Fatal(err)
	}
	now += 30 * time.Second
	if rc := (rawTPM{t, r}).secret(tcg.TPMRHOwner, h, nonce, 60); rc != tcg.TPMRCSuccess {
		t.Errorf("30 s later: %#x", uint32(rc))
	}
	now += 60 * time.Second
	if rc := (rawTPM{t, r}).secret(tcg.TPMRHOwner, h, nonce, 60); rc != tcg.TPMRCExpired.P(4) {
		t.Errorf("90 s later: %#x", uint32(rc))
	}
}
