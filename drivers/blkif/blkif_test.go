package blkif

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/xenbus"
	"stubtpm/drivers/xen/xentest"
)

const diskSize = 1 << 20

// A fake is a backend with a disk in memory. It was written from blkif.h,
// apart from the frontend.
type fake struct {
	disk   *blocktest.Mem
	counts map[uint8]int
	change func(response []byte) (answer bool) // of each response
	spoil  func(p *xen.Page)                   // the ring, after each response
	delay  time.Duration                       // before each request is looked at
}

func (f *fake) serve(ctx context.Context, d xenbus.Domain, front string) error {
	if _, err := xenbus.WaitState(ctx, d.Store, front+"/state", xenbus.Initialised); err != nil {
		return err
	}
	ref, err := d.Store.ReadUint(ctx, front+"/ring-ref")
	if err != nil {
		return err
	}
	port, err := d.Store.ReadUint(ctx, front+"/event-channel")
	if err != nil {
		return err
	}
	ringPage, err := d.Grants.Map(9, xen.GrantRef(ref))
	if err != nil {
		return err
	}
	defer ringPage.Unmap()
	events, err := d.Events.BindInterdomain(9, xen.Port(port))
	if err != nil {
		return err
	}
	defer events.Close()
	if err := xenbus.WriteState(ctx, d.Store, "backend/vbd/9/51712/state", xenbus.Connected); err != nil {
		return err
	}
	p, done := ringPage.Page(), uint32(0)
	for {
		for ; p.Load32(0) != done; done++ {
			time.Sleep(f.delay)
			at := 64 + int(done%32)*112
			b := make([]byte, 112)
			p.CopyOut(b, at)
			status := int16(0)
			f.counts[b[0]]++
			off := int64(binary.LittleEndian.Uint64(b[16:])) * 512
			for i := range int(b[1]) {
				s := b[24+8*i:]
				m, err := d.Grants.Map(9, xen.GrantRef(binary.LittleEndian.Uint32(s)))
				if err != nil {
					status = -1
					break
				}
				buf := make([]byte, (int(s[5])-int(s[4])+1)*512)
				if b[0] == 0 {
					if _, err := f.disk.ReadAt(buf, off); err != nil {
						status = -1
					}
					m.Page().CopyIn(int(s[4])*512, buf)
				} else {
					m.Page().CopyOut(buf, int(s[4])*512)
					if _, err := f.disk.WriteAt(buf, off); err != nil {
						status = -1
					}
				}
				off += int64(len(buf))
				m.Unmap()
			}
			r := make([]byte, 12)
			copy(r, b[8:16])
			r[8] = b[0]
			binary.LittleEndian.PutUint16(r[10:], uint16(status))
			if f.change != nil && !f.change(r) {
				continue
			}
			p.CopyIn(at, r)
			p.Store32(8, p.Load32(8)+1)
			if f.spoil != nil {
				f.spoil(p)
			}
			events.Notify()
		}
		select {
		case <-events.C():
		case <-ctx.Done():
			return nil
		}
	}
}

// host returns a host with the frontend's domain, 9, and the backend's, 1,
// and nodes changed below the backend's directory.
func (f *fake) host(nodes ...map[string]string) (h *xentest.Host, bd, fd xenbus.Domain) {
	f.disk, f.counts = blocktest.NewMem(diskSize), map[uint8]int{}
	h = xentest.NewHost()
	const back = "/local/domain/1/backend/vbd/9/51712"
	set := map[string]string{
		frontPath + "/backend": back, frontPath + "/backend-id": "1", frontPath + "/virtual-device": "51712", frontPath + "/state": "1",
		back + "/state": "2", back + "/sectors": strconv.Itoa(diskSize / 512), back + "/sector-size": "512",
		back + "/info": "0", back + "/feature-flush-cache": "1", back + "/feature-barrier": "1",
	}
	for _, n := range nodes {
		for k, v := range n {
			set[back+k] = v
		}
	}
	for k, v := range set {
		if v == "" {
			delete(set, k)
		}
	}
	h.Store.Set(set)
	return h, h.Domain(1), h.Domain(9)
}

// open returns a disk whose backend is f.
func open(t *testing.T, f *fake, nodes map[string]string) (*Device, *xentest.Host, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	h, bd, fd := f.host(nodes)
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done; bd.Store.Close(); fd.Store.Close() })
	go func() {
		defer close(done)
		if err := f.serve(ctx, bd, frontPath); err != nil && ctx.Err() == nil {
			t.Error("backend:", err)
		}
	}()
	d, err := Connect(ctx, fd, 51712)
	return d, h, err
}

func mustOpen(t *testing.T, f *fake, nodes map[string]string) *Device {
	t.Helper()
	d, _, err := open(t, f, nodes)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDisk(t *testing.T) {
	t.Parallel()
	f := &fake{}
	d := mustOpen(t, f, nil)
	if d.Size() != diskSize {
		t.Fatal("size", d.Size())
	}
	want := make([]byte, diskSize)
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 { // more than 32 requests, so the slots wrap
		n := (1 + r.IntN(200)) * 512
		off := r.IntN((diskSize-n)/512) * 512
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		copy(want[off:], b)
		if m, err := d.WriteAt(b, int64(off)); err != nil || m != n {
			t.Fatal(m, err)
		}
	}
	if err := d.Flush(); err != nil || f.counts[opFlush] != 1 || f.counts[opBarrier] != 0 {
		t.Errorf("flush: %v, %v", err, f.counts)
	}
	got := make([]byte, diskSize)
	if _, err := d.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) || !bytes.Equal(f.disk.Data, want) {
		t.Error("disk has other bytes than were written", err)
	}
	for _, c := range []struct{ n, off int64 }{{511, 0}, {512, 1}, {512, diskSize}, {1024, diskSize - 512}, {512, -512}} {
		if _, err := d.ReadAt(make([]byte, c.n), c.off); err == nil {
			t.Errorf("%d bytes at %d were read", c.n, c.off)
		}
	}
}

func TestFlushWays(t *testing.T) {
	t.Parallel()
	f := &fake{}
	d := mustOpen(t, f, map[string]string{"/feature-flush-cache": ""})
	if err := d.Flush(); err != nil || f.counts[opBarrier] != 1 {
		t.Errorf("barrier: %v, %v", err, f.counts)
	}
	d = mustOpen(t, &fake{}, map[string]string{"/feature-flush-cache": "0", "/feature-barrier": ""})
	if err := d.Flush(); !errors.Is(err, ErrNoFlush) {
		t.Error(err)
	}
	d = mustOpen(t, &fake{}, map[string]string{"/info": "4"})
	if _, err := d.WriteAt(make([]byte, 512), 0); !errors.Is(err, ErrReadOnly) {
		t.Error(err)
	}
}

func TestBadDescription(t *testing.T) {
	t.Parallel()
	for _, nodes := range []map[string]string{
		{"/sectors": "-1"}, {"/sectors": "x"}, {"/sectors": "9223372036854775807"}, {"/sectors": ""}, {"/sectors": "0"},
		{"/sector-size": "4096"}, {"/sector-size": ""}, {"/feature-barrier": "yes"}, {"/info": "-4"},
	} {
		if _, h, err := open(t, &fake{}, nodes); err == nil {
			t.Errorf("%v was taken", nodes)
		} else if _, _, grants := h.Open(); grants != 0 {
			t.Errorf("%v: %d grants left", nodes, grants)
		}
	}
}

func TestBadResponses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func([]byte) bool
		want   error
		broken bool
	}{
		"error":             {func(r []byte) bool { r[10], r[11] = 0xFF, 0xFF; return true }, ErrIO, false},
		"flush unsupported": {func(r []byte) bool { r[10], r[11] = 0xFE, 0xFF; return true }, ErrNoFlush, false},
		"unknown status":    {func(r []byte) bool { r[10] = 7; return true }, ErrIO, false},
		"other id":          {func(r []byte) bool { r[0]++; return true }, ErrBackend, true},
		"other operation":   {func(r []byte) bool { r[8]++; return true }, ErrBackend, true},
		"none":              {func(r []byte) bool { return false }, ErrBroken, true}, // and this backend does not close
	} {
		f := &fake{change: c.change}
		d := mustOpen(t, f, nil)
		d.Timeout, d.Recovery = 50*time.Millisecond, 50*time.Millisecond
		if err := d.Flush(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := d.WriteAt(make([]byte, 512), 0); errors.Is(err, ErrBroken) != c.broken {
			t.Errorf("%s, afterwards: %v", name, err)
		}
	}
}

// TestProducer moves the backend's count as it must not move.
func TestProducer(t *testing.T) {
	t.Parallel()
	for _, start := range []uint32{0, 1, 0x7FFFFFFF, 0xFFFFFFFF} {
		for _, c := range []struct {
			step uint32
			done bool
			want error
		}{{0, false, nil}, {1, true, nil}, {2, false, ErrBackend}, {0xFFFFFFFF, false, ErrBackend}, {32, false, ErrBackend}, {33, false, ErrBackend}, {0x80000000, false, ErrBackend}} {
			r := ring{page: xen.NewPage()}
			r.init(start)
			r.submit(opRead, 0, nil)
			at := offSlots + int(start%slots)*slotSize
			response := make([]byte, responseLength)
			response[0] = 1
			r.page.CopyIn(at, response)
			r.page.Store32(offRspProd, start+c.step)
			if done, err := r.response(opRead); done != c.done || !errors.Is(err, c.want) {
				t.Errorf("start %#x, step %#x: %v, %v", start, c.step, done, err)
			}
		}
	}
}

// TestLayout pins a request's bytes (blkif.h, struct blkif_request, 64 bits).
func TestLayout(t *testing.T) {
	t.Parallel()
	r := ring{page: xen.NewPage(), handle: 0xCA00}
	r.init(0)
	r.submit(opWrite, 0x0102030405060708, []segment{{0x11223344, 0, 7}, {5, 1, 2}})
	got := make([]byte, 40)
	r.page.CopyOut(got, 64)
	want := []byte{1, 2, 0, 0xCA, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1,
		0x44, 0x33, 0x22, 0x11, 0, 7, 0, 0, 5, 0, 0, 0, 1, 2, 0, 0}
	if !bytes.Equal(got, want) || r.page.Load32(0) != 1 || r.page.Load32(12) != 1 {
		t.Errorf("%x", got)
	}
}

func FuzzResponse(f *testing.F) {
	f.Add(uint32(0), uint32(1), []byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add(uint32(0xFFFFFFFF), uint32(0), []byte{2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFE, 0xFF})
	f.Fuzz(func(t *testing.T, start, prod uint32, slot []byte) {
		r := ring{page: xen.NewPage()}
		r.init(start)
		r.submit(opRead, 0, nil)
		slot = append(slot, make([]byte, responseLength)...)[:responseLength]
		r.page.CopyIn(offSlots+int(start%slots)*slotSize, slot)
		r.page.Store32(offRspProd, prod)
		if done, err := r.response(opRead); done && (prod != start+1 || err == nil && (slot[0] != 1 || slot[10]|slot[11] != 0)) {
			t.Error("a wrong response was taken")
		}
	})
}
