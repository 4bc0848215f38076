package command

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
)

// TestTableCommandsLeaveCertificates sends commands made from the specification's
// table at the indices of certificates: none changes one.
func TestTableCommandsLeaveCertificates(t *testing.T) {
	t.Parallel()
	rounds := 20000
	if testing.Short() {
		rounds = 4000
	}
	g := newTableGenerator(t, 12)
	certificates := map[tcg.TPMHandle][]byte{}
	for _, h := range append(EndorsementCertificates(), engine.EKChain, engine.EKChain+1) {
		certificates[h] = bytes.Repeat([]byte{byte(h)}, 700)
	}
	g.indices = []tcg.TPMHandle{engine.EKCertRSA2048, engine.EKCertP256, engine.EKCertP384, engine.EKChain, engine.EKChain + 1}
	renew := func() {
		if err := g.d.SetCertificates(certificates); err != nil {
			t.Fatal(err)
		}
	}
	renew()
	before := map[tcg.TPMHandle][]byte{}
	for h := range certificates {
		before[h] = encodedIndex(g.d, h)
	}
	named, read := 0, 0
	for i := range rounds {
		cmd := g.next()
		cc := tcg.TPMCC(binary.BigEndian.Uint32(cmd[6:]))
		if slices.Contains(slowCommands, cc) && i%50 != 0 {
			continue
		}
		r := g.d.Execute(uint8(g.IntN(5)), cmd)
		for _, h := range g.indices {
			if bytes.Contains(cmd, h.Bytes()) {
				named++
				if ok(r) && cc == tcg.TPMCCNVRead {
					read++
				}
			}
			if !bytes.Equal(encodedIndex(g.d, h), before[h]) {
				t.Fatalf("%v %x: %x, and index %#x changed", cc, cmd, r, h)
			}
		}
		if i%200 == 199 || !g.d.Vol.Started {
			g.restart(t)
			renew()
		}
	}
	if named < rounds/50 || read == 0 {
		t.Errorf("%d commands named an index, %d read one: too few to say anything", named, read)
	}
}

// encodedIndex is all of an index.
func encodedIndex(d *engine.Device, h tcg.TPMHandle) []byte {
	x := d.Index(h)
	if x == nil {
		return nil
	}
	var w tcg.Writer
	x.Public.Marshal(&w)
	w.Sized(x.Auth)
	w.Sized(x.Data)
	w.Sized(x.Saved)
	return w.B
}
