package main

import (
	"encoding/binary"
	"testing"
)

// What CMD_SET_BUFFERSIZE sets is what the guest reads, after each CMD_INIT.
func TestHostedBufferSize(t *testing.T) {
	h := &hostedModel{t: t, dir: t.TempDir()}
	h.begin()
	defer h.end(true)
	for _, s := range []struct{ set, want uint32 }{{3968, 3968}, {0, 3968}, {1, 2808}, {9999, 8192}} {
		h.control(4, nil, ctlStop)
		if r := h.control(16, nil, 0x11, s.set); binary.BigEndian.Uint32(r[4:]) != s.want {
			t.Fatalf("CMD_SET_BUFFERSIZE %d: %x", s.set, r)
		}
		h.init(false)
		h.startup(false)
		rc, rsp := h.command(0x8001, 0x17A, 0, 0, 0, 6, 0, 0, 1, 0x1E, 0, 0, 0, 2)
		if rc != 0 || len(rsp) != 25 || binary.BigEndian.Uint32(rsp[13:]) != s.want || binary.BigEndian.Uint32(rsp[21:]) != s.want {
			t.Errorf("size %d: 0x%X, %x", s.set, rc, rsp)
		}
		for n, want := range map[uint32]uint32{s.want: 0x143, s.want + 1: 0x142} { // TPM_RC_COMMAND_CODE, TPM_RC_COMMAND_SIZE
			if rc, _ := h.command(0x8001, 0x2000FFFF, make([]byte, n-10)...); rc != want {
				t.Errorf("size %d: %d bytes: 0x%X", s.set, n, rc)
			}
		}
	}
}
