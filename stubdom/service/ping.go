package service

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"stubtpm/vtpmmgr/proto"
)

// ping measures round trips over the ring to the manager's domain. The message
// is the commit of the state that the manager has already: it changes nothing,
// and touches neither disk nor hardware TPM.
func ping(e *Environment, manager *proto.Client, g *proto.Grant, times string) error {
	n, err := strconv.ParseUint(times, 10, 16)
	if err != nil || n == 0 {
		return fmt.Errorf("ping=%s is not a number", times)
	}
	if g.Manufacture {
		return errors.New("ping: there is no state yet")
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
