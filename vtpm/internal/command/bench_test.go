package command

import (
	"encoding/binary"
	"encoding/hex"
	"testing"

	"stubtpm/vtpm/internal/engine"
)

// Commands that do little: what is measured is the way through the device.
func BenchmarkCheap(b *testing.B) {
	for _, c := range []struct{ name, hex string }{
		{"GetRandom", "80010000000c0000017b0020"},
		{"GetCapability", "8001000000160000017a000000060000010000000001"},
		{"PCRRead", "8001000000140000017e00000001000b03ff0000"},
		{"PCRExtend", "800200000041000001820000000a" + "00000009" + "400000090000000000" + "00000001" + "000b" +
			"0000000000000000000000000000000000000000000000000000000000000000"},
		{"ReadClock", "80010000000a00000181"},
	} {
		cmd, err := hex.DecodeString(c.hex)
		if err != nil {
			b.Fatal(err)
		}
		d, err := Manufacture(engine.Config{Store: new(memStore)})
		if err != nil {
			b.Fatal(err)
		}
		d.Execute(0, []byte{0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 0})
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				if r := d.Execute(0, cmd); binary.BigEndian.Uint32(r[6:]) != 0 {
					b.Fatalf("response code %#x", binary.BigEndian.Uint32(r[6:]))
				}
			}
		})
	}
}
