package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"stubtpm/tools/vtpmproxy"
)

// announce waits until the kernel has created the device node, links to it, and
// notifies systemd.
func announce(ctx context.Context, d *vtpmproxy.Device, link string, log io.Writer) error {
	node := d.ManagerNode()
	for {
		if _, err := os.Stat(node); err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	if link != "" && link != node {
		// Replace a link of a bridge that was killed, but not a device.
		if i, err := os.Lstat(link); err == nil && i.Mode()&os.ModeSymlink != 0 {
			os.Remove(link)
		}
		if err := os.Symlink(node, link); err != nil {
			fmt.Fprintf(log, "guestbridge: %v: use %s\n", err, node)
		}
	}
	fmt.Fprintf(log, "guestbridge: %s is there\n", node)
	return notify("READY=1")
}

// unlink removes the link if it points to d.
func unlink(d *vtpmproxy.Device, link string) {
	if to, err := os.Readlink(link); err == nil && to == d.ManagerNode() {
		os.Remove(link)
	}
}

// notify sends a state to systemd, if this is a unit with Type=notify (sd_notify(3)).
func notify(state string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	conn, err := net.Dial("unixgram", name)
	if err != nil {
		return fmt.Errorf("sd_notify: %w", err)
	}
	defer conn.Close()
	_, err = conn.Write([]byte(state))
	return err
}
