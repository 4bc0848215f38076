package property

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
)

// A logger writes a crypto-agile event log of two banks, SHA-1 and SHA-256.
type logger struct{ b []byte }

func newLog() *logger {
	data := append([]byte("Spec ID Event03\x00"), 0, 0, 0, 0, 0, 2, 0, 2, 2, 0, 0, 0, 4, 0, 20, 0, 0x0B, 0, 32, 0, 0)
	l := &logger{append(make([]byte, 4), noAction, 0, 0, 0)}
	l.b = append(l.b, make([]byte, 20)...)
	l.b = binary.LittleEndian.AppendUint32(l.b, uint32(len(data)))
	l.b = append(l.b, data...)
	return l
}

// add adds an event that measures data.
func (l *logger) add(pcr int, kind uint32, data string) *logger {
	l.b = binary.LittleEndian.AppendUint32(l.b, uint32(pcr))
	l.b = binary.LittleEndian.AppendUint32(l.b, kind)
	l.b = binary.LittleEndian.AppendUint32(l.b, 2)
	s1, s2 := sha1.Sum([]byte(data)), sha256.Sum256([]byte(data))
	l.b = append(append(l.b, 4, 0), s1[:]...)
	l.b = append(append(l.b, 0x0B, 0), s2[:]...)
	l.b = binary.LittleEndian.AppendUint32(l.b, uint32(len(data)))
	l.b = append(l.b, data...)
	return l
}

const ipl = 0x0D // EV_IPL

// extended returns the value of a PCR of SHA-256 after these measurements.
func extended(first byte, data ...string) []byte {
	v := append(make([]byte, 31), first)
	for _, d := range data {
		digest := sha256.Sum256([]byte(d))
		h := sha256.Sum256(append(v, digest[:]...))
		v = h[:]
	}
	return v
}
