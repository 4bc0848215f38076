package vtpm

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"stubtpm/vtpm/tcg"
)

// execute runs a command. It is an error if that leaves a permanent state in
// memory that is not the saved one: a command that the table lets pass without a
// look, or a change behind the save. Counts that could not be saved are the one
// exception. Most tests send their commands through it.
func execute(d *Device, locality uint8, cmd []byte) ([]byte, error) {
	saved := func() bool { return d.tries.owed || bytes.Equal(d.encodePermanent().b, d.saved) }
	if !saved() {
		return d.Execute(locality, cmd), nil // the test itself changed it
	}
	resp := d.Execute(locality, cmd)
	if !saved() && !d.vol.failed {
		return resp, fmt.Errorf("%v leaves a change that was not saved", tcg.TPMCC(binary.BigEndian.Uint32(cmd[6:])))
	}
	return resp, nil
}
