//go:build tamago

package main

import (
	"io"

	"stubtpm/drivers/block"
)

// sectors reads any bytes of a device that reads whole sectors.
type sectors struct{ d block.Device }

func (s sectors) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= s.d.Size() {
		return 0, io.EOF
	}
	var short error
	if rest := s.d.Size() - off; int64(len(p)) > rest {
		p, short = p[:rest], io.EOF
	}
	done := 0
	for done < len(p) {
		at := off + int64(done)
		if at%block.SectorSize == 0 && len(p)-done >= block.SectorSize {
			n := (len(p) - done) &^ (block.SectorSize - 1)
			n, err := s.d.ReadAt(p[done:done+n], at)
			done += n
			if err != nil {
				return done, err
			}
			continue
		}
		var one [block.SectorSize]byte
		if _, err := s.d.ReadAt(one[:], at&^(block.SectorSize-1)); err != nil {
			return done, err
		}
		done += copy(p[done:], one[at%block.SectorSize:])
	}
	return done, short
}
