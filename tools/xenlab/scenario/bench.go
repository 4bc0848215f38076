package scenario

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Measurement is one row of the benchmark on Xen.
type Measurement struct {
	Name, Value, Note string
}

// idle is how long an unused vTPM is observed.
const idle = 30 * time.Second

// Bench measures the times, memory and CPU use of a vTPM on this machine. The stack must
// be new.
func (s *Stack) Bench(ctx context.Context, r Report) ([]Measurement, error) {
	var rows []Measurement
	row := func(name, note, format string, args ...any) {
		rows = append(rows, Measurement{name, fmt.Sprintf(format, args...), note})
	}
	r.Step("manager")
	start := time.Now()
	if err := s.StartManager(ctx); err != nil {
		return nil, err
	}
	row("first start of the manager until ready", "a new manager, with its commands to the hardware TPM", "%.2f s", time.Since(start).Seconds())
	if err := s.Enroll(ctx, vtpmUUID); err != nil {
		return nil, err
	}
	r.Step("vTPM, first start")
	starts := func(what string) error {
		start := time.Now()
		mark, err := s.StartVTPM(ctx, vtpmName, vtpmUUID)
		if err != nil {
			return err
		}
		if mark != vtpmReady {
			return fmt.Errorf("%s: %s", vtpmName, s.Since(vtpmName))
		}
		row(what, "xl create to the ready line on the console", "%.2f s", time.Since(start).Seconds())
		return nil
	}
	if err := starts("first start of a vTPM"); err != nil {
		return nil, err
	}
	for range 3 {
		if err := s.Destroy(ctx, vtpmName); err != nil {
			return nil, err
		}
		if err := starts("start of a vTPM from its state"); err != nil {
			return nil, err
		}
	}
	r.Step("round trips between two unikernels")
	if err := s.Destroy(ctx, vtpmName); err != nil {
		return nil, err
	}
	s.VTPMWords = "ping=500"
	if _, err := s.StartVTPM(ctx, vtpmName, vtpmUUID); err != nil {
		return nil, err
	}
	s.VTPMWords = ""
	const prefix = "manager ring: median "
	_, took, ok := strings.Cut(s.Since(vtpmName), prefix)
	if !ok {
		return nil, fmt.Errorf("%s did not log its round trips: %s", vtpmName, s.Since(vtpmName))
	}
	took, _, _ = strings.Cut(took, "\n")
	row("round trip over the ring, vTPM to manager", "median; a message that touches neither disk nor TPM", "%s", strings.TrimSpace(took))
	r.Step("guest")
	g, err := s.StartGuest(ctx, guestName, vtpmName)
	if err != nil {
		return nil, err
	}
	rtt, err := g.Run(ctx, "/init ping /dev/tpm0 200")
	if err != nil {
		return nil, err
	}
	row("TPM2_ReadClock from a Linux guest", "us; xen-tpmfront polls for the response every 5 ms", "%s", strings.TrimSpace(rtt))
	r.Step("idle for %v", idle)
	before, err := s.cpuTime(ctx)
	if err != nil {
		return nil, err
	}
	if err := sleep(ctx, idle); err != nil {
		return nil, err
	}
	after, err := s.cpuTime(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range []string{vtpmName, managerName} {
		used := after[d] - before[d]
		row("CPU of "+d+", idle", fmt.Sprintf("xl list's Time over %v, in steps of 0.1 s", idle), "%.1f s (%.1f %%)", used, 100*used/idle.Seconds())
	}
	list, err := s.M.Domains(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range list {
		if d.Name == vtpmName || d.Name == managerName {
			row("memory of "+d.Name, "", "%d MiB", d.Memory)
		}
	}
	return rows, nil
}

// PingDirect measures TPM2_ReadClock in a guest that uses the hardware TPM directly.
func (s *Stack) PingDirect(ctx context.Context) (Measurement, error) {
	s.Direct = true
	m := Measurement{Name: "TPM2_ReadClock, guest that uses the hardware TPM directly", Note: "us; swtpm behind QEMU's TIS by tpm_tis"}
	g, err := s.StartGuest(ctx, "guest-direct", "")
	if err != nil {
		return m, err
	}
	out, err := g.Run(ctx, "/init ping /dev/tpm0 200")
	m.Value = strings.TrimSpace(out)
	return m, err
}

// cpuTime returns the seconds of CPU that each domain has used.
func (s *Stack) cpuTime(ctx context.Context) (map[string]float64, error) {
	out, err := s.M.Dom0.Run(ctx, "xl list")
	if err != nil {
		return nil, err
	}
	times := map[string]float64{}
	for _, l := range strings.Split(out, "\n") {
		f := strings.Fields(l)
		if len(f) < 6 {
			continue
		}
		if t, err := strconv.ParseFloat(f[len(f)-1], 64); err == nil {
			times[f[0]] = t
		}
	}
	return times, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
