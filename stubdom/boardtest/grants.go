//go:build tamago

package main

import (
	"bytes"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	board "stubtpm/board/xen"
	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/hvm"
	"stubtpm/drivers/xen/xenbus"
)

// peerTests are the tests with another domain.
func peerTests(p *peer) []test {
	return []test{
		{"foreign page", func(xenbus.Domain) (string, error) { return testForeign(p) }},
		{"events of two domains", func(xenbus.Domain) (string, error) { return testRoundTrip(p) }},
		{"release while mapped", func(d xenbus.Domain) (string, error) { return testInUse(p, d) }},
		{"page after unmap", func(d xenbus.Domain) (string, error) { return testAfterUnmap(p, d) }},
		{"many foreign pages", func(d xenbus.Domain) (string, error) { return testManyForeign(p, d) }},
		{"peer ends", func(xenbus.Domain) (string, error) { return testQuit(p) }},
	}
}

// testForeign passes bytes to the peer and back.
func testForeign(p *peer) (string, error) {
	for i := range 100 {
		text := fmt.Appendf(nil, "text number %d", i)
		p.page.Page().CopyIn(data, text)
		if err := p.request(opReverse, uint32(len(text))); err != nil {
			return "", err
		}
		got := make([]byte, len(text))
		p.page.Page().CopyOut(got, data+1024)
		for i := range got {
			if got[i] != text[len(text)-1-i] {
				return "", fmt.Errorf("%q came back as %q", text, got)
			}
		}
	}
	return "", nil
}

// testRoundTrip measures a request that does nothing.
func testRoundTrip(p *peer) (string, error) {
	const n = 500
	start := time.Now()
	for range n {
		if err := p.request(opNothing, 0); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("round trip of %v", time.Since(start)/n), nil
}

// mapShared has the peer share n pages, and maps them.
func mapShared(p *peer, d xenbus.Domain, n int) ([]xen.MappedPage, error) {
	if err := p.request(opShare, uint32(n)); err != nil {
		return nil, err
	}
	var pages []xen.MappedPage
	for i := range n {
		m, err := d.Grants.Map(p.id, xen.GrantRef(p.page.Page().Load32(data+4*i)))
		if err != nil {
			return nil, err
		}
		pages = append(pages, m)
	}
	return pages, nil
}

// release has the peer release its pages, and checks how many it could.
func release(p *peer, released, inUse uint32) error {
	if err := p.request(opRelease, 0); err != nil {
		return err
	}
	r, u := p.page.Page().Load32(wordCount), p.page.Page().Load32(wordInUse)
	if r != released || u != inUse {
		return fmt.Errorf("the peer released %d pages, %d were in use; want %d and %d", r, u, released, inUse)
	}
	return nil
}

// testInUse has the peer release a page that is mapped here.
func testInUse(p *peer, d xenbus.Domain) (string, error) {
	m, err := mapShared(p, d, 1)
	if err != nil {
		return "", err
	}
	if err := release(p, 0, 1); err != nil {
		return "", err
	}
	m[0].Page().Store32(0, 1) // still there
	return "", m[0].Unmap()
}

// testAfterUnmap makes sure that access to an unmapped page panics, and that the
// panic can be recovered.
func testAfterUnmap(p *peer, d xenbus.Domain) (note string, err error) {
	m, err := mapShared(p, d, 1)
	if err != nil {
		return "", err
	}
	page := m[0].Page()
	if err := m[0].Unmap(); err != nil {
		return "", err
	}
	if err := m[0].Unmap(); !errors.Is(err, xen.ErrClosed) {
		return "", fmt.Errorf("second unmap: %v", err)
	}
	if err := release(p, 1, 0); err != nil {
		return "", err
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r == nil {
			err = errors.New("the page could still be read")
		} else {
			err = nil
		}
	}()
	return "", fmt.Errorf("read %d from the page", page.Load32(0))
}

// testManyForeign maps more pages than one frame of the peer's grant table holds.
func testManyForeign(p *peer, d xenbus.Domain) (string, error) {
	const n = 600
	var took time.Duration
	for range 2 { // the second time at used addresses
		start := time.Now()
		pages, err := mapShared(p, d, n)
		if err != nil {
			return "", err
		}
		for i, m := range pages {
			m.Page().Store32(0, uint32(i))
		}
		if err := p.request(opCheck, 0); err != nil {
			return "", err
		}
		if v := p.page.Page().Load32(wordCount); v != n {
			return "", fmt.Errorf("the peer saw %d of %d numbers", v, n)
		}
		for _, m := range pages {
			if err := m.Unmap(); err != nil {
				return "", err
			}
		}
		took = time.Since(start)
		if err := release(p, n, 0); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%v for each", (took / n).Round(time.Microsecond)), nil
}

// testQuit has the peer's domain end while its page is mapped here.
func testQuit(p *peer) (string, error) {
	if err := p.request(opQuit, 0); err != nil {
		return "", err
	}
	time.Sleep(3 * time.Second)
	p.page.Page().Load32(0) // the frame stays ours until unmapped
	if err := p.page.Unmap(); err != nil {
		return "", err
	}
	note := "notify afterwards: "
	if err := p.c.Notify(); err != nil {
		note += err.Error()
	} else {
		note += "no error"
	}
	return note, p.c.Close()
}

// testManyGrants needs more than one frame of the grant table.
func testManyGrants(d xenbus.Domain) (string, error) {
	const n = 600
	var pages []xen.SharedPage
	for i := range n {
		s, err := d.Grants.Share(0)
		if err != nil {
			return "", err
		}
		b := make([]byte, xen.PageSize)
		s.Page().CopyOut(b, 0)
		if !bytes.Equal(b, make([]byte, xen.PageSize)) {
			return "", fmt.Errorf("page %d is not zero", i)
		}
		s.Page().Store32(0, uint32(i+1))
		pages = append(pages, s)
	}
	for i, s := range pages {
		if v := s.Page().Load32(0); v != uint32(i+1) {
			return "", fmt.Errorf("page %d holds %d: pages overlap", i, v)
		}
		if err := s.Release(); err != nil {
			return "", err
		}
		if err := s.Release(); !errors.Is(err, xen.ErrClosed) {
			return "", fmt.Errorf("second release: %v", err)
		}
	}
	return fmt.Sprintf("last grant %d", pages[n-1].Ref()), nil
}

// testBadGrant maps pages that were not granted, and pages of this domain.
func testBadGrant(d xenbus.Domain) (string, error) {
	s, err := d.Grants.Share(0)
	if err != nil {
		return "", err
	}
	defer s.Release()
	for _, self := range []xen.DomID{board.DomID(), xen.DomIDSelf} {
		if _, err := d.Grants.Map(self, s.Ref()); !errors.Is(err, hvm.ErrSelf) {
			return "", fmt.Errorf("own grant: %v", err)
		}
	}
	for _, ref := range []xen.GrantRef{100, 1 << 30} {
		if m, err := d.Grants.Map(0, ref); err == nil {
			m.Unmap()
			return "", fmt.Errorf("grant %d of dom0 could be mapped", ref)
		}
	}
	if m, err := d.Grants.Map(0x7000, 1); err == nil {
		m.Unmap()
		return "", errors.New("a page of a domain that does not exist could be mapped")
	}
	return "", nil
}
