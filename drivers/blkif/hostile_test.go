package blkif

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"stubtpm/drivers/xen"
)

// TestHostileBackend: whatever a backend answers, and whatever it writes into the ring
// at any moment, each request ends in time; a write that succeeds is on the disk, and
// what is read is what is there; and once the protocol was broken nothing succeeds any
// more.
func TestHostileBackend(t *testing.T) {
	t.Parallel()
	streams := uint64(60)
	if testing.Short() {
		streams = 15
	}
	ends := map[string]int{}
	for seed := range streams {
		r := rand.New(rand.NewPCG(seed, 17))
		every := 4 + r.IntN(30)                   // of so many responses one is bad
		f := &fake{delay: 200 * time.Microsecond} // or an early answer would be right all the same
		f.change = func(b []byte) bool {
			if r.IntN(every) != 0 {
				return true
			}
			switch r.IntN(6) {
			case 0:
				binary.LittleEndian.PutUint64(b, r.Uint64()) // id
			case 1:
				b[8] = byte(r.IntN(256)) // type
			case 2:
				binary.LittleEndian.PutUint16(b[10:], uint16(r.IntN(1<<16))|1) // status, not OK
			case 3:
				binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)-1) // an answer of before
			default:
				return false // none
			}
			return true
		}
		f.spoil = func(p *xen.Page) {
			if r.IntN(3*every) != 0 {
				return
			}
			// Not the count of requests, which this backend goes by itself.
			at := []int{offReqEvent, offRspProd, offRspEvent, offSlots + int(p.Load32(offRspProd)-1)%slots*slotSize + r.IntN(responseLength)}[r.IntN(4)]
			value := []uint32{0, 1, 0xFFFFFFFF, 0x7FFFFFFF, p.Load32(at&^3) + uint32(r.IntN(40)), p.Load32(at&^3) - 1}[r.IntN(6)]
			p.Store32(at&^3, value)
		}
		d, _ := openStalling(t, f, r.IntN(2))
		d.Timeout, d.Recovery = 20*time.Millisecond, 400*time.Millisecond
		var broken error
		for step := range 40 {
			n := (1 + r.IntN(100)) * 512
			off := int64(r.IntN((diskSize-n)/512) * 512)
			b := bytes.Repeat([]byte{byte(seed), byte(step)}, n/2)
			start := time.Now()
			var err error
			switch r.IntN(3) {
			case 0:
				if _, err = d.WriteAt(b, off); err == nil && !bytes.Equal(f.disk.Data[off:][:n], b) {
					t.Fatalf("stream %d, step %d: a write that succeeded is not on the disk", seed, step)
				}
			case 1:
				err = d.Flush()
			default:
				got := make([]byte, n)
				if _, err = d.ReadAt(got, off); err == nil && !bytes.Equal(got, f.disk.Data[off:][:n]) {
					t.Fatalf("stream %d, step %d: other bytes were read than are on the disk", seed, step)
				}
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Fatalf("stream %d, step %d: took %v", seed, step, took)
			}
			if broken != nil && (err == nil || !errors.Is(err, ErrBroken)) {
				t.Fatalf("stream %d, step %d: %v, after %v", seed, step, err, broken)
			}
			switch {
			case errors.Is(err, ErrBroken):
				broken = err
				if d.Health() == nil {
					t.Fatalf("stream %d, step %d: a broken disk is said to be well", seed, step)
				}
				ends["broken"]++
			case errors.Is(err, ErrIO), errors.Is(err, ErrNoFlush):
				ends["error"]++
			case err == nil:
				ends["success"]++
			default:
				t.Fatalf("stream %d, step %d: an error of no kind: %v", seed, step, err)
			}
		}
	}
	t.Logf("requests: %v", ends)
	if ends["broken"] == 0 || ends["error"] == 0 || ends["success"] == 0 {
		t.Errorf("too little happened: %v", ends)
	}
}
