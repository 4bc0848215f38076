//go:build tamago

package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	board "stubtpm/board/xen"
	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/hvm"
	"stubtpm/drivers/xen/xenbus"
)

// Requests to the peer, a second boardtest that shares pages with this one. They
// are carried by one page and one event channel: the request's number and
// argument, then results. The peer sets the number to 0 when it is done.
const (
	opNothing = iota + 1
	opReverse // reverse argument bytes at data into data+1024
	opShare   // share argument pages; their grants are written to data
	opCheck   // count the pages that hold their own index
	opRelease // release all pages; count those released and those in use
	opQuit

	wordOp       = 0
	wordArgument = 4
	wordCount    = 8
	wordInUse    = 12
	data         = 1024
)

const nodes = "data/peer"

// serve runs the requests of the domain created before this one, until opQuit.
func serve(d xenbus.Domain) error {
	peer := board.DomID() - 1
	ctl, err := d.Grants.Share(peer)
	if err != nil {
		return err
	}
	c, err := d.Events.AllocUnbound(peer)
	if err != nil {
		return err
	}
	ctx := context.Background()
	for name, v := range map[string]uint64{"ref": uint64(ctl.Ref()), "port": uint64(c.Port())} {
		path := nodes + "/" + name
		if err := d.Store.Write(ctx, path, strconv.FormatUint(v, 10)); err != nil {
			return err
		}
		if err := d.Store.SetPerms(ctx, path, fmt.Sprintf("n%d", board.DomID()), fmt.Sprintf("r%d", peer)); err != nil {
			return err
		}
	}
	fmt.Println("boardtest: serving domain", peer)
	var pages []xen.SharedPage
	for range c.C() {
		p := ctl.Page()
		op, n := p.Load32(wordOp), p.Load32(wordArgument)
		if op == 0 {
			continue
		}
		switch op {
		case opReverse:
			b := make([]byte, min(n, 1024))
			p.CopyOut(b, data)
			for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
				b[i], b[j] = b[j], b[i]
			}
			p.CopyIn(data+1024, b)
		case opShare:
			for i := range min(n, 700) {
				s, err := d.Grants.Share(peer)
				if err != nil {
					return err
				}
				pages = append(pages, s)
				p.Store32(data+4*int(i), uint32(s.Ref()))
			}
		case opCheck:
			count := uint32(0)
			for i, s := range pages {
				if s.Page().Load32(0) == uint32(i) {
					count++
				}
			}
			p.Store32(wordCount, count)
		case opRelease:
			var released, used uint32
			for _, s := range pages {
				if err := s.Release(); err == nil {
					released++
				} else if errors.Is(err, hvm.ErrInUse) {
					used++
				}
			}
			pages = nil
			p.Store32(wordCount, released)
			p.Store32(wordInUse, used)
		}
		p.Store32(wordOp, 0)
		if err := c.Notify(); err != nil {
			return err
		}
		if op == opQuit {
			return nil
		}
	}
	return xen.ErrClosed
}

// A peer is the other domain.
type peer struct {
	id   xen.DomID
	page xen.MappedPage
	c    xen.Channel
}

// findPeer waits for the domain created after this one, and connects to it.
func findPeer(d xenbus.Domain) (*peer, error) {
	ctx, cancel := withTimeout()
	defer cancel()
	id := board.DomID() + 1
	read := func(name string) (v uint32, err error) {
		for {
			v, err = d.Store.ReadUint(ctx, fmt.Sprintf("/local/domain/%d/%s/%s", id, nodes, name))
			if err == nil || ctx.Err() != nil {
				return v, err
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	ref, err := read("ref")
	if err != nil {
		return nil, err
	}
	port, err := read("port")
	if err != nil {
		return nil, err
	}
	page, err := d.Grants.Map(id, xen.GrantRef(ref))
	if err != nil {
		return nil, err
	}
	c, err := d.Events.BindInterdomain(id, xen.Port(port))
	return &peer{id, page, c}, err
}

// request makes a request and waits until it is done.
func (p *peer) request(op, argument uint32) error {
	page := p.page.Page()
	page.Store32(wordArgument, argument)
	page.Store32(wordOp, op)
	if err := p.c.Notify(); err != nil {
		return err
	}
	for page.Load32(wordOp) != 0 {
		if err := await(p.c); err != nil {
			return fmt.Errorf("request %d: %w", op, err)
		}
	}
	return nil
}
