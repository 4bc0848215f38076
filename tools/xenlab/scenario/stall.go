package scenario

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// statusLimit is how much longer than before a stall the manager may take for a STATUS
// request.
const statusLimit = 100 * time.Millisecond

// StallManager stalls the manager's disk for a time, while the guest changes its TPM's
// state. It claims that the manager reports the stall and recovers afterwards.
func (s *Stack) StallManager(ctx context.Context, r Report, p *Pair, duration time.Duration) error {
	return s.stall(ctx, r, p, managerName, duration)
}

// StallVTPM does the same to the vTPM's disk, which the manager does not use.
func (s *Stack) StallVTPM(ctx context.Context, r Report, p *Pair, duration time.Duration) error {
	return s.stall(ctx, r, p, p.vtpm, duration)
}

func (s *Stack) stall(ctx context.Context, r Report, p *Pair, name string, duration time.Duration) error {
	manager, err := s.domid(ctx, managerName)
	if err != nil {
		return err
	}
	before, err := s.domid(ctx, name)
	if err != nil {
		return err
	}
	watch := &statusLog{}
	const quiet = 10 * time.Second
	proc, err := s.M.Dom0.Start(false, watch.add, "/init", "status", manager, (quiet + duration + time.Minute).String())
	if err != nil {
		return err
	}
	defer proc.Kill()
	load := &loadLog{name: p.name}
	if err := load.start(p.guest.Guest, 200*time.Millisecond); err != nil {
		return err
	}
	if err := load.await(ctx, 4); err != nil {
		return err
	}
	look := &statusLook{s: s, start: time.Now()}
	if err := look.during(ctx, quiet); err != nil {
		return err
	}
	quietTimes := watch.begin()

	r.Step("dom0: dmsetup suspend, for %v, of the disk of %s", duration, name)
	if err := s.M.Stall(ctx, name); err != nil {
		return err
	}
	answers := load.answers()
	look = &statusLook{s: s, start: time.Now()}
	order := make(chan error, 1)
	if name == managerName { // even an order that waits does not block STATUS
		go func() {
			_, err := s.M.Dom0.Run(ctx, adminCommand+" mgr -key "+adminKey+" enroll "+waitingUUID)
			order <- err
		}()
	}
	if err := look.during(ctx, duration); err != nil {
		return err
	}
	during := load.answers() - answers
	if err := s.M.Resume(ctx, name); err != nil {
		return err
	}
	stalled := time.Since(look.start)
	times := watch.begin()
	r.Show("dom0", "stubtpm mgr status --check", look.told)
	check(r, fmt.Sprintf("STATUS of the manager is answered all the while: %v (before the stall %v); the command stubtpm took %.1f s at most", times, quietTimes, look.most.Seconds()),
		times.n > int(duration.Seconds())/2 && times.p90 < quietTimes.most+statusLimit, "%d answers: %v, before %v", times.n, times, quietTimes)
	if name == managerName {
		check(r, "status --check says that the disk does not answer", strings.Contains(look.told, "no response from the disk"), "it says %q", look.told)
	} else {
		check(r, "status --check has nothing to say of a vTPM's disk", look.told == "", "it says %q", look.told)
	}
	// One may have been in flight, and one more follows it.
	check(r, fmt.Sprintf("no change of state is said to be kept that is not (%d answers within %.0f s)", during, stalled.Seconds()), during <= 2, "%d answers", during)

	resumed := time.Now()
	if err := load.await(ctx, 6); err != nil {
		return fmt.Errorf("%w\n%s:\n%s", err, name, last(s.Since(name), 12))
	}
	r.Show(p.name, "NV increments and writes", fmt.Sprintf("go on %.1f s after the end of the stall", time.Since(resumed).Seconds()))
	if err := load.stop(ctx); err != nil {
		return err
	}
	if name == managerName {
		// It has timed out if the stall was longer than its limit.
		err := <-order
		out, err2 := s.M.Dom0.Run(ctx, adminCommand+" mgr -key "+adminKey+" list")
		check(r, "an order of that time is carried out", err2 == nil && strings.Contains(out, waitingUUID), "%v\n%s", err2, out)
		r.Show("dom0", "stubtpm mgr enroll, in that time", fmt.Sprint(err))
	}
	check(r, "nothing that was answered is lost", load.err() == nil, "%v", load.err())
	after, err := s.domid(ctx, name)
	check(r, name+" runs on in the same domain", err == nil && after == before, "domain %q, was %q (%v)", after, before, err)
	if err := p.kept(ctx, "the guest has its NV counter, its data, its key and its PCRs", true); err != nil {
		return err
	}
	out, err := s.M.Dom0.Run(ctx, adminCommand+" mgr status --check")
	check(r, "and all is well", err == nil, "%v\n%s", err, out)
	r.Show(name, "console", grep(s.Since(name), 6, "blkif"))
	return nil
}

// A statusLook runs `stubtpm mgr status --check`, as monitoring does.
type statusLook struct {
	s     *Stack
	start time.Time
	told  string        // output of the first check that failed
	most  time.Duration // longest time of the command
}

// during runs the command every five seconds for a duration.
func (l *statusLook) during(ctx context.Context, duration time.Duration) error {
	for time.Since(l.start) < duration {
		asked := time.Now()
		_, err := l.s.M.Dom0.Run(ctx, adminCommand+" mgr status --check")
		l.most = max(l.most, time.Since(asked))
		if err != nil && l.told == "" {
			l.told = fmt.Sprintf("after %.1f s: %s", time.Since(l.start).Seconds(), lastLines(err.Error(), 1))
		}
		if err := sleep(ctx, min(5*time.Second, max(0, duration-time.Since(l.start)))); err != nil {
			return err
		}
	}
	return nil
}

// waitingUUID is the UUID of a vTPM that is enrolled while the manager's disk stalls.
const waitingUUID = "5f1c0a52-6d0f-4c0e-9a1b-0d9b7a3c20f2"

// A statusLog collects the output of the agent's program status.
type statusLog struct {
	mu    sync.Mutex
	part  string
	times []time.Duration
}

// A statusTiming summarizes the times of STATUS requests.
type statusTiming struct {
	n              int
	p50, p90, most time.Duration
}

func (t statusTiming) String() string {
	ms := func(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
	return fmt.Sprintf("p50 %v, p90 %v, most %v", ms(t.p50), ms(t.p90), ms(t.most))
}

func (l *statusLog) add(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part += string(b)
	for {
		line, rest, ok := strings.Cut(l.part, "\n")
		if !ok {
			return
		}
		l.part = rest
		var n int
		if scan(line, "status %d", &n) {
			l.times = append(l.times, time.Duration(n)*time.Microsecond)
		}
	}
}

// begin returns what was collected since the last call.
func (l *statusLog) begin() statusTiming {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.times
	l.times = nil
	if len(t) == 0 {
		return statusTiming{}
	}
	slices.Sort(t)
	return statusTiming{len(t), t[len(t)/2], t[len(t)*9/10], t[len(t)-1]}
}
