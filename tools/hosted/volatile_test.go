package hosted

import (
	"bytes"
	"testing"
)

// TestStoredOnce: the stored volatile state is resumed from only as long as nothing has
// happened since.
func TestStoredOnce(t *testing.T) {
	t.Parallel()
	for name, happens := range map[string]func(m *Machine){
		"a command":  func(m *Machine) { m.Execute(0, tpmCommand(fakeCount)) },
		"a reset":    func(m *Machine) { m.Reset() },
		"HASH_START": func(m *Machine) { m.HashStart() },
		"nothing":    nil,
	} {
		m, _ := control(t)
		if err := m.StoreVolatile(); err != nil {
			t.Fatal(err)
		}
		if happens != nil {
			happens(m)
		}
		b, err := m.files.Load(BlobVolatile)
		if err != nil || (b != nil) != (happens == nil) {
			t.Errorf("%s: %d bytes are stored, %v", name, len(b), err)
		}
	}
}

// TestStoredBesideGivenBlob: a TPM that resumed from the stored volatile state, and was
// given the same permanent state, has no stored state any more: it is shut down in
// order.
func TestStoredBesideGivenBlob(t *testing.T) {
	t.Parallel()
	for _, given := range []bool{false, true} {
		m, _ := control(t)
		p := getBlob(t, m, BlobPermanent)
		if err := m.StoreVolatile(); err != nil {
			t.Fatal(err)
		}
		m.PowerOff()
		if given {
			m.SetBlob(BlobPermanent, p)
		}
		if err := m.PowerOn(false); err != nil {
			t.Fatal(err)
		}
		if b, err := m.files.Load(BlobVolatile); err != nil || (b != nil) != m.stored {
			t.Errorf("given %v: %d bytes are stored, %v; the machine says %v", given, len(b), err, m.stored)
		}
	}
}

// tpmEstablished is kept by the volatile state, and comes back with it.
func TestEstablishedIsKept(t *testing.T) {
	t.Parallel()
	m, c := control(t)
	talk(t, c, words(cmdHashStart, cmdHashEnd)[:4], 4)
	p, v := getBlob(t, m, BlobPermanent), getBlob(t, m, BlobVolatile)
	other, c2 := control(t)
	for _, set := range []bool{true, false} {
		other.PowerOff()
		other.SetBlob(BlobPermanent, p)
		if b := v; set {
			other.SetBlob(BlobVolatile, b)
		} else {
			other.SetBlob(BlobVolatile, bytes.TrimPrefix(b, []byte("sTM\x01"))) // without the machine's part: nothing changes
		}
		wantBytes(t, "init", talk(t, c2, words(cmdInit, 0), 4), words(0))
		wantBytes(t, "established", talk(t, c2, words(cmdGetTPMEstablished), 8), []byte{0, 0, 0, 0, 1, 0, 0, 0})
	}
	other.PowerOff()
	other.SetBlob(BlobVolatile, append([]byte("sTM\x02"), v...))
	wantBytes(t, "init with a later version", talk(t, c2, words(cmdInit, 0), 4), words(rcFailure))
}

func getBlob(t *testing.T, m *Machine, typ BlobType) []byte {
	t.Helper()
	b, err := m.Blob(typ)
	if err != nil || len(b) == 0 {
		t.Fatalf("blob %d: %d bytes, %v", typ, len(b), err)
	}
	return b
}
