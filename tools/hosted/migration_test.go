package hosted

import (
	"net"
	"testing"
)

// A migration over storage that both ends share: whichever end has the lock
// has the TPM, and no end answers or writes without it.
func TestMigrationSharedStorage(t *testing.T) {
	t.Parallel()
	count := tpmCommand(fakeCount)
	for name, c := range map[string]struct {
		destinationRuns, destinationCounts bool
	}{"it succeeds": {true, true}, "it fails before the start": {false, false}, "it fails after the start": {true, false}} {
		dir := t.TempDir()
		end := func(incoming bool) (*Machine, net.Conn) {
			files, err := OpenStateDir(dir, StateOptions{NoSync: true, unlocked: incoming})
			if err != nil {
				t.Fatal(name, err)
			}
			t.Cleanup(func() { files.Close() })
			m := NewMachine(openFake, files, nil)
			m.releaseLock = true
			return m, pipe(t, (&Control{Machine: m}).Serve)
		}
		source, sc := end(false)
		wantBytes(t, name, talk(t, sc, words(cmdInit, 0), 4), words(0))
		source.Execute(0, tpmCommand(ccStartup, 0, 0))
		wantBytes(t, name, source.Execute(0, count), errorResponse(1<<16))
		destination, dc := end(true)
		p, v := getBlob(t, source, BlobPermanent), getBlob(t, source, BlobVolatile)
		if err := destination.LockStorage(0); err == nil {
			t.Errorf("%s: the destination took the lock before the last blob", name)
		}
		talk(t, sc, words(cmdGetStateBlob, stateDecrypted, uint32(BlobSaveState), 0), 16)
		if c.destinationRuns {
			destination.SetBlob(BlobPermanent, p)
			destination.SetBlob(BlobVolatile, v)
			wantBytes(t, name, talk(t, dc, words(cmdInit, 0), 4), words(0))
			// While the destination has the lock the source does nothing.
			wantBytes(t, name+": source", source.Execute(0, count), errorResponse(rcFailure))
			if err := source.StoreVolatile(); err == nil {
				t.Errorf("%s: the source wrote without the lock", name)
			}
			wantBytes(t, name+": source's lock", talk(t, sc, words(cmdLockStorage, 2), 4), words(resFail))
			if c.destinationCounts {
				wantBytes(t, name, destination.Execute(0, count), errorResponse(2<<16))
			}
			destination.dropPower() // as if it were killed
			destination.files.Close()
		}
		if c.destinationCounts {
			wantBytes(t, name+": source afterwards", source.Execute(0, count), errorResponse(rcFailure))
			if source.Running() {
				t.Errorf("%s: the source still runs a state that is old", name)
			}
			wantBytes(t, name, talk(t, sc, words(cmdInit, 0), 4), words(0))
			wantBytes(t, name+": source after CMD_INIT", source.Execute(0, count), errorResponse(3<<16))
			continue
		}
		wantBytes(t, name, talk(t, sc, words(cmdLockStorage, 2), 4), words(0))
		wantBytes(t, name+": source goes on", source.Execute(0, count), errorResponse(2<<16))
	}
}

// A source whose state has left writes nothing when it ends.
func TestSourceEndsSilently(t *testing.T) {
	t.Parallel()
	m := machine(t)
	m.releaseLock = true
	fake := m.tpm.(*fakeTPM)
	getBlob(t, m, BlobPermanent)
	getBlob(t, m, BlobVolatile)
	if _, err := m.Blob(BlobSaveState); err != nil {
		t.Fatal(err)
	}
	m.PowerOff()
	if fake.shutdowns != 0 {
		t.Error("the source sent TPM2_Shutdown, and changed the state of the destination")
	}
}
