package scenario

import (
	"context"
	"fmt"
	"sync"

	"stubtpm/tools/xenlab/lab"
)

// movePort is the TCP port on which a host of the lab takes guests from the other one.
const movePort = "7010"

// Hosts are two machines whose dom0s share a network, each with its own Xen, hardware TPM,
// manager and administrator.
type Hosts struct {
	A, B *Stack
	r    Report
}

// NewHosts starts two machines and their managers, both at once.
func NewHosts(ctx context.Context, r Report, a, b lab.Options) (*Hosts, error) {
	first, second, err := lab.StartPair(ctx, a, b)
	if err != nil {
		return nil, err
	}
	return &Hosts{A: NewStack(first), B: NewStack(second), r: r}, nil
}

// Close ends both machines.
func (h *Hosts) Close() {
	h.A.M.Close()
	h.B.M.Close()
}

// both does the same on both hosts at once.
func (h *Hosts) both(do func(s *Stack, other string) error) error {
	var wait sync.WaitGroup
	var errA, errB error
	wait.Go(func() { errA = do(h.A, lab.AddressB) })
	wait.Go(func() { errB = do(h.B, lab.AddressA) })
	wait.Wait()
	if errA != nil {
		return fmt.Errorf("host A: %w", errA)
	}
	if errB != nil {
		return fmt.Errorf("host B: %w", errB)
	}
	return nil
}

// Listen has each host start a command for each connection of the other one, with the
// connection as its input and output. Its messages go to a file.
func (h *Hosts) Listen(ctx context.Context, command string) error {
	return h.both(func(s *Stack, _ string) error {
		_, err := s.M.Dom0.Run(ctx, fmt.Sprintf("/init listen %s '%s' </dev/null >>/moves.log 2>&1 & echo $! >/moves.pid", movePort, command))
		return err
	})
}

// PlainMove moves a guest by xl alone.
func (h *Hosts) PlainMove(ctx context.Context, from *Stack, address, name string) (string, error) {
	return from.M.Dom0.Run(ctx, fmt.Sprintf("xl migrate -s '' %s '/init connect %s %s' 2>&1", name, address, movePort))
}

// log returns the end of what the receivers of a host have said.
func (h *Hosts) log(ctx context.Context, s *Stack) string {
	out, _ := s.M.Dom0.Run(ctx, "tail -n 30 /moves.log; xl list")
	return out
}
