package authenticode

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"testing"
)

// TestGap: sbsign signs a program with gaps in its file, which firmware does not load. A
// kernel, which is started from its file, must not have any.
func TestGap(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	k := keys(t, s.key)
	const headers, gap = 512, 512
	file := program("code")
	if _, err := k.VerifyFile(s.sign(t, file)); err != nil {
		t.Errorf("no gap: %v", err)
	}
	file = append(append(bytes.Clone(file[:headers]), make([]byte, gap)...), file[headers:]...)
	binary.LittleEndian.PutUint32(file[0x40+24+240+20:], headers+gap)
	signed := s.sign(t, file)
	copy(signed[headers:], "evil code")
	if _, err := k.VerifyFile(signed); !errors.Is(err, ErrUnsigned) {
		t.Errorf("code that is not signed: %v", err)
	}
}

// TestDeepSignature: a signature that nests without end, or is huge, is not parsed.
func TestDeepSignature(t *testing.T) {
	file := program("code")
	const size = 1 << 20
	table := make([]byte, size)
	binary.LittleEndian.PutUint32(table, size)
	binary.LittleEndian.PutUint16(table[4:], revision)
	binary.LittleEndian.PutUint16(table[6:], typePKCS)
	for i := certificateHeader; i+1 < size; i += 2 {
		table[i], table[i+1] = 0x30, 0x80 // SEQUENCE of indefinite length
	}
	entry := file[0x40+24+112+4*8:]
	binary.LittleEndian.PutUint32(entry, uint32(len(file)))
	binary.LittleEndian.PutUint32(entry[4:], size)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := keys(t, "0000000000000000000000000000000000000000000000000000000000000000").Verify(append(file, table...))
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc + after.StackSys - before.StackSys; !errors.Is(err, ErrUnsigned) || n > 16<<20 {
		t.Errorf("%d MiB, %v", n>>20, err)
	}
}
