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
	"stubtpm/drivers/xen/xenstore"
	"stubtpm/vtpmmgr"
	"stubtpm/vtpmmgr/proto"
)

const mgrHelp = `usage: stubtpm mgr [-domain NAME|ID] ORDER

Gives the vTPM manager an order, from domain 0. The manager is the domain of
the name vtpmmgr, unless -domain says another.

  enroll UUID   let the vTPM with this uuid be manufactured at its next start
  delete UUID   forget a vTPM and its key: its state is lost for ever
  list          show the vTPMs that the manager knows
  status        show what the manager says of itself
`

// adminUUID is the uuid of the administrator's device: the manager knows an
// administrator by its domain, not by this.
const adminUUID = "00000000-0000-0000-0000-000000000000"

const mgrTimeout = 60 * time.Second

// mgr is the administrator's front end to the vTPM manager.
func mgr(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	manager := "vtpmmgr"
	if len(args) >= 2 && args[0] == "-domain" {
		manager, args = args[1], args[2:]
	}
	var order mgrOrder
	known := false
	if len(args) > 0 {
		order, known = mgrOrders()[args[0]]
	}
	if !known || len(args)-1 != order.uuids {
		fmt.Fprint(stderr, mgrHelp)
		return exitUsage
	}
	var uuid vtpmmgr.UUID
	if order.uuids > 0 {
		var err error
		if uuid, err = vtpmmgr.ParseUUID(args[1]); err != nil {
			fmt.Fprintf(stderr, "stubtpm mgr: %v\n", err)
			return exitUsage
		}
	}
	if err := withManager(manager, func(c *proto.Client) error { return order.run(c, uuid, stdout) }); err != nil {
		fmt.Fprintf(stderr, "stubtpm mgr: %v\n", err)
		return exitFail
	}
	return exitOK
}

type mgrOrder struct {
	uuids int
	run   func(c *proto.Client, u vtpmmgr.UUID, out io.Writer) error
}

func mgrOrders() map[string]mgrOrder {
	return map[string]mgrOrder{
		"enroll": {1, func(c *proto.Client, u vtpmmgr.UUID, _ io.Writer) error { return c.Enroll(u) }},
		"delete": {1, func(c *proto.Client, u vtpmmgr.UUID, _ io.Writer) error { return c.Delete(u) }},
		"list":   {0, mgrList},
		"status": {0, func(c *proto.Client, _ vtpmmgr.UUID, out io.Writer) error {
			s, err := c.Status()
			if err == nil {
				fmt.Fprintln(out, s)
			}
			return err
		}},
	}
}

func mgrList(c *proto.Client, _ vtpmmgr.UUID, out io.Writer) error {
	entries, err := c.List()
	if err != nil {
		return err
	}
	for _, e := range entries {
		state, connected := "not manufactured", ""
		if e.State {
			state = fmt.Sprintf("state %d", e.Sequence)
		}
		if e.Connected {
			connected = ", connected"
		}
		fmt.Fprintf(out, "%v  %s%s\n", vtpmmgr.UUID(e.UUID), state, connected)
	}
	return nil
}

// withManager connects to the manager as any front end does, and leaves no
// trace in xenstore.
func withManager(name string, f func(c *proto.Client) error) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), mgrTimeout)
	defer cancel()
	host, err := devxen.Open()
	if err != nil {
		return err
	}
	defer host.Close()
	domain := host.Domain()
	manager, err := findDomain(ctx, domain.Store, name)
	if err != nil {
		return err
	}
	device := tpmif.Device{Front: 0, Back: manager, UUID: adminUUID}
	path, err := tpmif.Attach(ctx, domain.Store, device)
	if err != nil {
		return err
	}
	defer tpmif.Detach(context.WithoutCancel(ctx), domain.Store, device)
	ring, err := tpmif.ConnectAt(ctx, domain, path)
	if err != nil {
		return err
	}
	defer ring.Close(ctx)
	return f(&proto.Client{Transact: func(b []byte) ([]byte, error) { return ring.Transact(ctx, 0, b) }})
}

// findDomain returns the domain of a name, or of a number.
func findDomain(ctx context.Context, store *xenstore.Client, name string) (xen.DomID, error) {
	if id, err := strconv.ParseUint(name, 10, 16); err == nil {
		return xen.DomID(id), nil
	}
	ids, err := store.Directory(ctx, "/local/domain")
	if err != nil {
		return 0, err
	}
	for _, s := range ids {
		id, err := strconv.ParseUint(s, 10, 16)
		if err != nil {
			continue
		}
		if n, err := store.Read(ctx, "/local/domain/"+s+"/name"); err == nil && n == name {
			return xen.DomID(id), nil
		}
	}
	return 0, fmt.Errorf("no domain of the name %s", name)
}
