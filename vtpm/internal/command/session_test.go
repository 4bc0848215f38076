package command

import (
	"bytes"
	"encoding/binary"
	"testing"

	"stubtpm/vtpm/tcg"
)

// TestSessionArea: more sessions than a command may have are an area of the
// wrong size (Part 3, 5.5, items 3 and 4.3).
func TestSessionArea(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	clear := func(area []byte, size uint32) tcg.TPMRC {
		var w tcg.Writer
		w.Uint16(uint16(tcg.TPMSTSessions))
		w.Uint32(0)
		w.Uint32(uint32(tcg.TPMCCClear))
		w.Uint32(uint32(tcg.TPMRHPlatform))
		w.Uint32(size)
		w.Bytes(area)
		copy(w.B[2:], binary.BigEndian.AppendUint32(nil, uint32(len(w.B))))
		return tcg.TPMRC(binary.BigEndian.Uint32(d.Execute(0, w.B)[6:]))
	}
	password := append(binary.BigEndian.AppendUint32(nil, uint32(tcg.TPMRSPW)), 0, 0, 0, 0, 0)
	for _, c := range []struct {
		area []byte
		size uint32
		want tcg.TPMRC
	}{
		{bytes.Repeat(password, 4), 36, tcg.TPMRCAuthSize},
		{password, 8, tcg.TPMRCAuthSize},
		{password, 10, tcg.TPMRCAuthSize},
		{nil, 0, tcg.TPMRCAuthSize},
		{bytes.Repeat(password, 2), 18, tcg.TPMRCHandle.S(2)}, // a password for nothing
		{password, 9, tcg.TPMRCSuccess},
	} {
		if got := clear(c.area, c.size); got != c.want {
			t.Errorf("%d bytes of sessions, %d said: %#x, not %#x", len(c.area), c.size, uint32(got), uint32(c.want))
		}
	}
}
