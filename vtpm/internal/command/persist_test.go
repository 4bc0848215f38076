package command

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
)

// execute runs a command. It is an error if that leaves a permanent state in
// memory that is not the saved one: a command that the table lets pass without a
// look, or a change behind the save. Counts that could not be saved are the one
// exception. Most tests send their commands through it.
func execute(d *engine.Device, locality uint8, cmd []byte) ([]byte, error) {
	saved := func() bool { return d.Tries.Owed || bytes.Equal(d.EncodePermanent().B, d.Saved) }
	if !saved() {
		return d.Execute(locality, cmd), nil // the test itself changed it
	}
	resp := d.Execute(locality, cmd)
	if !saved() && !d.Vol.Failed {
		return resp, fmt.Errorf("%v leaves a change that was not saved", tcg.TPMCC(binary.BigEndian.Uint32(cmd[6:])))
	}
	return resp, nil
}
