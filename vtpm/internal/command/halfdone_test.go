package command

import (
	"bytes"
	"encoding/binary"
	"testing"

	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
)

// A handler that changes the permanent state before its last check must not
// leave a change behind that nobody was told of: the next command would save it.
func TestRefusedAfterChange(t *testing.T) {
	t.Parallel()
	store := new(memStore)
	refuses := func(d *engine.Device, c *dispatch.Call) error {
		d.Perm.ClearCount++
		return tcg.TPMRCValue
	}
	d, err := engine.Manufacture(engine.Config{Store: store, Log: t.Logf, Dispatcher: dispatch.NewTable(map[tcg.TPMCC]dispatch.Handler{
		tcg.TPMCCStartup: startup, tcg.TPMCCGetTestResult: refuses,
	})})
	if err != nil {
		t.Fatal(err)
	}
	d.Execute(0, startupClear)
	before := d.EncodePermanent().B
	command := []byte{0x80, 1, 0, 0, 0, 10, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(command[6:], uint32(tcg.TPMCCGetTestResult))
	if rc := tcg.TPMRC(binary.BigEndian.Uint32(d.Execute(0, command)[6:])); rc != tcg.TPMRCFailure {
		t.Errorf("answered %v, want %v", rc, tcg.TPMRCFailure)
	}
	if !bytes.Equal(d.EncodePermanent().B, before) {
		t.Error("the change is still there")
	}
	if !d.Vol.Failed {
		t.Error("not in failure mode")
	}
}
