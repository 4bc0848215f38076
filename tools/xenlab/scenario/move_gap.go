package scenario

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"stubtpm/tools/xenlab/lab"
)

// A stillness measures how long a guest stands still while it moves.
type stillness struct {
	m      *Move
	from   *Doorbell
	before time.Duration // the guest's clock less this computer's
	bytes  int64         // on the wire before
	begin  time.Time
}

// gapFile ends the guest's program that looks at its clock.
const gapFile = "/tmp/gap.end"

// still has a guest look at its clock each 5 ms from now on.
func (m *Move) still(ctx context.Context, from *Doorbell, g *lab.Guest) (*stillness, error) {
	s := &stillness{m: m, from: from}
	var err error
	if s.before, err = ahead(ctx, g); err != nil {
		return nil, err
	}
	if s.bytes, err = wire(ctx, from); err != nil {
		return nil, err
	}
	_, err = g.Run(ctx, "rm -f "+gapFile+"; /init gap 5ms "+gapFile+" >/tmp/gap.log 2>&1 </dev/null &")
	s.begin = time.Now()
	return s, err
}

// end prints how long the guest stood still, and what the move cost. took is the time of the
// whole move.
func (s *stillness) end(ctx context.Context, g *lab.Guest, what string, took time.Duration) error {
	bytes, err := wire(ctx, s.from)
	if err != nil {
		return err
	}
	out, err := g.Run(ctx, "touch "+gapFile+"; for i in $(seq 100); do grep -q looks /tmp/gap.log && break; sleep 0.1; done; cat /tmp/gap.log")
	if err != nil {
		return err
	}
	said, looks, _, err := parseGap(out)
	if err != nil {
		return err
	}
	after, err := ahead(ctx, g)
	if err != nil {
		return err
	}
	// The two hosts' clocks differ, and the guest goes on with the second one's.
	gap := said - (after - s.before)
	s.m.r.Show("figures", what, fmt.Sprintf("the guest stood still for %.2f s (its clock says %.2f s, and was set by %.2f s); whole move %.1f s; %d bytes on the wire",
		gap.Seconds(), said.Seconds(), (after-s.before).Seconds(), took.Seconds(), bytes-s.bytes))
	check(s.m.r, "the guest's clock shows how long it stood still", gap > 0 && gap < took && looks > 1, "%v of %v, %d looks", gap, took, looks)
	return nil
}

// parseGap parses what the agent's program says.
func parseGap(out string) (longest time.Duration, looks int64, last time.Time, err error) {
	var us, at int64
	if _, err := fmt.Sscanf(strings.TrimSpace(out), "gap %d us of %d looks, the last at %d ns", &us, &looks, &at); err != nil {
		return 0, 0, last, fmt.Errorf("%w: %q", err, out)
	}
	return time.Duration(us) * time.Microsecond, looks, time.Unix(0, at), nil
}

// ahead returns the guest's clock less this computer's, by the fastest of a few answers.
func ahead(ctx context.Context, g *lab.Guest) (ahead time.Duration, err error) {
	best := time.Hour
	for range 5 {
		begin := time.Now()
		out, err := g.Run(ctx, "/init gap 0s /")
		if err != nil {
			return 0, err
		}
		_, _, at, err := parseGap(out)
		if err != nil {
			return 0, err
		}
		if took := time.Since(begin); took < best {
			best, ahead = took, at.Sub(begin.Add(took/2))
		}
	}
	return ahead, nil
}

// wire returns how many bytes a host's network device has sent and received.
func wire(ctx context.Context, d *Doorbell) (n int64, err error) {
	out, err := d.M.Dom0.Run(ctx, "cat /sys/class/net/eth0/statistics/tx_bytes /sys/class/net/eth0/statistics/rx_bytes")
	if err != nil {
		return 0, err
	}
	for _, f := range strings.Fields(out) {
		v, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		n += v
	}
	return n, nil
}

// Plain moves the same guest without a vTPM by xl alone, and prints how long it stood still.
func (m *Move) Plain(ctx context.Context) error {
	m.r.Step("dom0: xl migrate, of the same guest without a vTPM")
	if err := m.Listen(ctx, "xl migrate-receive"); err != nil {
		return err
	}
	if err := m.A.M.Create(ctx, guestName, lab.GuestConfig(guestName, guestMiB, "uuid = \""+doorbellUUID+"\"")); err != nil {
		return err
	}
	g, err := m.A.M.ConnectGuest(ctx, guestName, time.Minute)
	if err != nil {
		return err
	}
	s, err := m.still(ctx, m.a, g)
	if err != nil {
		return err
	}
	if out, err := m.PlainMove(ctx, m.A, lab.AddressB, guestName); err != nil {
		return m.why(ctx, fmt.Errorf("%w\n%s", err, out))
	}
	took := time.Since(s.begin)
	if g, err = m.B.M.ConnectGuest(ctx, guestName, time.Minute); err != nil {
		return err
	}
	if err := s.end(ctx, g, "by xl migrate, without a vTPM", took); err != nil {
		return err
	}
	if err := m.B.Destroy(ctx, guestName); err != nil {
		return err
	}
	return m.both(func(s *Stack, _ string) error {
		_, err := s.M.Dom0.Run(ctx, "kill $(cat /moves.pid)")
		return err
	})
}
