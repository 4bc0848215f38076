package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
)

// Addresses of the two machines of a pair in the network between their dom0s.
const (
	AddressA = "10.0.0.1"
	AddressB = "10.0.0.2"
)

// StartPair starts two machines at once whose dom0s share a network of nobody else: an
// e1000 device in each of their QEMUs (7.2 or later), joined by a socket of this host in
// the first one's directory. Options.Dir of the two must differ, since each has a
// hardware TPM, a disk and logs of its own. dom0 A has AddressA and B has AddressB.
func StartPair(ctx context.Context, a, b Options) (*Machine, *Machine, error) {
	if err := errors.Join(a.defaults(), b.defaults()); err != nil {
		return nil, nil, err
	}
	if a.Dir == b.Dir || a.TPMState == b.TPMState {
		return nil, nil, errors.New("lab: both machines of a pair have the same directory")
	}
	link := a.Dir + "/link.sock"
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, err
	}
	// If one fails the other need not wait.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	sides := [2]struct {
		opt                  Options
		server, address, mac string
		await                string
		m                    *Machine
		err                  error
	}{
		{opt: a, server: "on", address: AddressA, mac: "52:54:00:00:04:01"},
		{opt: b, server: "off", address: AddressB, mac: "52:54:00:00:04:02", await: link},
	}
	var wait sync.WaitGroup
	for i := range sides {
		s := &sides[i]
		wait.Go(func() {
			s.opt.Modules = append([]string{"e1000"}, s.opt.Modules...)
			s.opt.QEMU = append([]string{
				"-netdev", "stream,id=link,server=" + s.server + ",addr.type=unix,addr.path=" + link,
				"-device", "e1000,netdev=link,romfile=,mac=" + s.mac,
			}, s.opt.QEMU...)
			if s.m, s.err = start(ctx, s.opt, s.await); s.err == nil {
				_, s.err = s.m.Dom0.Run(ctx, fmt.Sprintf("ip link set eth0 up && ip addr add %s/24 dev eth0", s.address))
			}
			if s.err != nil {
				cancel(s.err)
			}
		})
	}
	wait.Wait()
	if err := errors.Join(sides[0].err, sides[1].err); err != nil {
		for i := range sides {
			if sides[i].m != nil {
				sides[i].m.Close()
			}
		}
		return nil, nil, err
	}
	return sides[0].m, sides[1].m, nil
}
