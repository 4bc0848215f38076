//go:build linux && !tamago

package devxen

import (
	"encoding/binary"
	"testing"
)

// TestStatus decodes what Xen says of domains.
func TestStatus(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		number uint16
		flags  uint32
		time   uint64
		want   Status
	}{
		{"another domain", 8, 1 << 1, 1, Status{}},
		{"dying", 7, 1<<1 | 1<<0, 1, Status{}},
		{"runs", 7, 1<<1 | 1<<5, 1, Status{Exists: true, Ran: true}},
		{"was built or restored", 7, 1<<1 | 1<<3, 0, Status{Exists: true, Paused: true}},
		{"paused later", 7, 1<<1 | 1<<3, 5, Status{Exists: true, Paused: true, Ran: true}},
		{"suspended", 7, 1<<1 | 1<<2 | 2<<16, 5, Status{Exists: true, Suspended: true, Ran: true}},
		{"powered off", 7, 1<<1 | 1<<2, 5, Status{Exists: true, Ran: true}},
		{"crashed", 7, 1<<1 | 1<<2 | 3<<16, 5, Status{Exists: true, Ran: true}},
	} {
		b := make([]byte, domctlSize)
		binary.NativeEndian.PutUint16(b[16:], c.number)
		binary.NativeEndian.PutUint32(b[20:], c.flags)
		binary.NativeEndian.PutUint64(b[72:], c.time)
		if got := parseStatus(b, 7); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
