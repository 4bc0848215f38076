package command

import (
	"encoding/binary"
	"testing"

	"stubtpm/vtpm/internal/engine"
)

// The size of the buffer is what TPM2_GetCapability tells, within the limits,
// and the length up to which a command is looked at.
func TestBufferSize(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	for _, s := range []struct{ set, want uint32 }{
		{0, engine.MaxCommandSize}, {3968, 3968}, {engine.MinBufferSize, engine.MinBufferSize}, {1, engine.MinBufferSize}, {5000, 5000}, {1 << 31, engine.LargestBuffer},
	} {
		if s.set != 0 {
			d.SetBufferSize(s.set)
		}
		// TPM2_GetCapability(TPM_CAP_TPM_PROPERTIES, TPM_PT_MAX_COMMAND_SIZE, 2)
		r := d.Execute(0, []byte{0x80, 1, 0, 0, 0, 22, 0, 0, 1, 0x7A, 0, 0, 0, 6, 0, 0, 1, 0x1E, 0, 0, 0, 2})
		if len(r) != 35 || binary.BigEndian.Uint32(r[23:]) != s.want || binary.BigEndian.Uint32(r[31:]) != s.want {
			t.Fatalf("size %d: %x, want %d", s.set, r, s.want)
		}
		for n, rc := range map[uint32]uint32{s.want: 0x143, s.want + 1: 0x142} {
			cmd := make([]byte, n)
			copy(cmd, []byte{0x80, 1, 0, 0, 0, 0, 0x20, 0, 0xFF, 0xFF})
			binary.BigEndian.PutUint32(cmd[2:], n)
			if r := d.Execute(0, cmd); binary.BigEndian.Uint32(r[6:]) != rc {
				t.Errorf("size %d, command of %d bytes: %x, want 0x%X", s.want, n, r, rc)
			}
		}
	}
}
