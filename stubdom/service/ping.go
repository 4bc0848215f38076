package service

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"stubtpm/vtpmmgr/proto"
)

// ping measures round trips over the ring to the manager's domain. It repeats the commit
// of the current state, which changes nothing and uses neither disk nor hardware TPM.
func ping(e *Environment, manager *proto.Client, g *proto.Grant, times string) error {
	n, err := strconv.ParseUint(times, 10, 16)
	if err != nil || n == 0 {
		return fmt.Errorf("ping=%s: want a number from 1 to 65535", times)
	}
	if g.Manufacture {
		return errors.New("ping: the vTPM has no state yet")
	}
	var took []time.Duration
	for range n {
		start := time.Now()
		if err := manager.Commit(&g.State); err != nil {
			return fmt.Errorf("ping: %w", err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	e.Log("manager ring: median %d us of %d", took[len(took)/2].Microseconds(), n)
	return nil
}
