package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"stubtpm/drivers/tpmif"
	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/devxen"
	"stubtpm/vtpmmgr/proto"
)

// statusDevice is the number of the device of dom0 that status uses. The command
// stubtpm does not use it.
const statusDevice = 20

// status asks the manager in a domain for its status, every half second for a duration,
// over one connection. It prints how many microseconds each response took, and its
// value for the disk:
//
//	status N DISK
func status(domain, duration string, out io.Writer) error {
	id, err := strconv.ParseUint(domain, 10, 15)
	if err != nil {
		return err
	}
	d, err := time.ParseDuration(duration)
	if err != nil {
		return err
	}
	host, err := devxen.Open()
	if err != nil {
		return err
	}
	defer host.Close()
	ctx := context.Background()
	dev := tpmif.Device{Back: xen.DomID(id), ID: statusDevice, UUID: "00000000-0000-0000-0000-000000000000"}
	path, err := tpmif.Attach(ctx, host.Domain().Store, dev)
	if err != nil {
		return err
	}
	defer tpmif.Detach(ctx, host.Domain().Store, dev)
	ring, err := tpmif.ConnectAt(ctx, host.Domain(), path)
	if err != nil {
		return err
	}
	defer ring.Close(ctx)
	c := proto.Client{Transact: func(b []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		return ring.Transact(ctx, 0, b)
	}}
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		start := time.Now()
		s, err := c.Status()
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "status %d %s\n", time.Since(start).Microseconds(), s["disk"])
	}
	return nil
}
