package command

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// A tableGenerator makes commands from the specification's table: handles that
// are there, authorizations that hold, parameters of the right types.
type tableGenerator struct {
	*rand.Rand
	d        *engine.Device
	specs    []*tcg.CommandSpec
	public   []byte     // TPM2B_PUBLIC of a sealed object
	fragment []([]byte) // TPM2Bs that the device itself returned
	sessions []tcg.TPMHandle
	indices  []tcg.TPMHandle // NV indices that it may name besides its own
}

func newTableGenerator(t *testing.T, seed uint64) *tableGenerator {
	g := &tableGenerator{Rand: rand.New(rand.NewPCG(seed, 3))}
	for cc := engine.FirstCommand; cc <= engine.LastCommand; cc++ {
		if s := tcg.CommandByCode(cc); s != nil {
			g.specs = append(g.specs, s)
		}
	}
	g.restart(t)
	return g
}

// restart makes another device, with what commands speak of.
func (g *tableGenerator) restart(t *testing.T) {
	t.Helper()
	g.d = testDevice(t, new(memStore))
	g.d.Execute(0, startupClear)
	tpm := client{g.d}
	scenario(t, tpm)
	g.refill(t)
}

// refill starts the sessions and loads the objects that commands need.
func (g *tableGenerator) refill(t *testing.T) {
	t.Helper()
	tpm := client{g.d}
	primary, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	g.public = tpm2.Marshal(primary.OutPublic)
	g.fragment = [][]byte{g.public, tpm2.Marshal(primary.Name), tpm2.Marshal(primary.CreationHash)}
	g.sessions = g.sessions[:0]
	for _, kind := range []tcg.TPMSE{tcg.TPMSEHMAC, tcg.TPMSEPolicy, tcg.TPMSETrial} {
		r := g.d.Execute(0, command(tcg.TPMCCStartAuthSession, 0, nil, parameters(func(w *tcg.Writer) {
			w.Sized(make([]byte, 16))
			w.Sized(nil)
			w.Uint8(uint8(kind))
			w.Uint16(uint16(tcg.TPMAlgNull))
			w.Uint16(uint16(tcg.TPMAlgSHA256))
		}), tcg.TPMRHNull, tcg.TPMRHNull))
		if !ok(r) {
			t.Fatalf("TPM2_StartAuthSession: %x", r)
		}
		g.sessions = append(g.sessions, tcg.TPMHandle(binary.BigEndian.Uint32(r[10:])))
	}
}

// handle picks one that the command takes there, and mostly one that exists.
func (g *tableGenerator) handle(s *tcg.HandleSpec) tcg.TPMHandle {
	pool := []tcg.TPMHandle{
		tcg.TPMRHOwner, tcg.TPMRHEndorsement, tcg.TPMRHPlatform, tcg.TPMRHLockout, tcg.TPMRHNull,
		0, 8, 16, 23, 0x01800001, 0x81000001,
	}
	for i, o := range g.d.Vol.Objects {
		if o != nil {
			pool = append(pool, 0x80000000+tcg.TPMHandle(i))
		}
	}
	pool = append(append(pool, g.sessions...), g.indices...)
	g.Shuffle(len(pool), func(i, j int) { pool[i], pool[j] = pool[j], pool[i] })
	for _, h := range pool {
		if s.Check(h) == tcg.TPMRCSuccess {
			return h
		}
	}
	return tcg.TPMHandle(g.Uint32())
}

func (g *tableGenerator) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}

// param writes a value of a type of Part 2.
func (g *tableGenerator) param(w *tcg.Writer, typ string) {
	typ = strings.TrimSuffix(typ, "+")
	hash := []tcg.TPMAlgID{tcg.TPMAlgSHA1, tcg.TPMAlgSHA256, tcg.TPMAlgSHA384, tcg.TPMAlgNull}[g.IntN(4)]
	switch {
	case typ == "TPM2B_PUBLIC" && g.IntN(4) != 0:
		w.Bytes(g.public)
	case strings.HasPrefix(typ, "TPM2B_"):
		switch g.IntN(4) {
		case 0:
			w.Sized(nil)
		case 1:
			w.Bytes(g.fragment[g.IntN(len(g.fragment))])
		case 2:
			w.Sized(g.bytes([]int{16, 20, 32, 48, 64}[g.IntN(5)]))
		case 3:
			w.Sized(g.bytes(g.IntN(1025)))
		}
	case typ == "TPMI_YES_NO", typ == "TPMA_LOCALITY", typ == "UINT8", typ == "BYTE":
		w.Uint8(uint8(g.IntN(3)))
	case typ == "UINT16", typ == "TPM_SU":
		w.Uint16(uint16(g.IntN(40)))
	case typ == "UINT64":
		w.Uint64(g.Uint64N(1 << 40))
	case typ == "TPM_CC", typ == "TPM_CAP":
		w.Uint32([]uint32{uint32(engine.FirstCommand) + uint32(g.IntN(0x80)), uint32(g.IntN(11))}[g.IntN(2)])
	case strings.HasPrefix(typ, "TPMI_ALG_"), typ == "TPM_ALG_ID":
		w.Uint16(uint16(hash))
	case strings.HasPrefix(typ, "TPMI_DH_"), strings.HasPrefix(typ, "TPMI_RH_"):
		w.Uint32([]uint32{uint32(tcg.TPMRHOwner), uint32(tcg.TPMRHPlatform), 0x81000001, 0x80000000}[g.IntN(4)])
	case strings.HasPrefix(typ, "TPML_PCR"):
		w.Bytes([]byte{0, 0, 0, 1, 0, 11, 3, byte(g.Uint32()), byte(g.Uint32()), byte(g.Uint32())})
	case strings.HasPrefix(typ, "TPML_"):
		n := g.IntN(3)
		w.Uint32(uint32(n))
		for range n {
			w.Uint16(uint16(hash))
			w.Bytes(g.bytes(32))
		}
	case strings.HasPrefix(typ, "TPMT_TK_"):
		w.Uint16(uint16(0x8021 + g.IntN(5)))
		w.Uint32(uint32(tcg.TPMRHNull))
		w.Sized(nil)
	case strings.HasPrefix(typ, "TPMT_SIG"):
		w.Uint16(uint16([]tcg.TPMAlgID{tcg.TPMAlgNull, tcg.TPMAlgECDSA, tcg.TPMAlgHMAC}[g.IntN(3)]))
		w.Uint16(uint16(hash))
	case strings.HasPrefix(typ, "TPMT_"):
		w.Uint16(uint16(tcg.TPMAlgNull))
	default:
		w.Uint32(uint32(g.IntN(300)))
	}
}

func (g *tableGenerator) next() []byte {
	spec := g.specs[g.IntN(len(g.specs))]
	var handles []tcg.TPMHandle
	for i := range spec.Handles {
		handles = append(handles, g.handle(&spec.Handles[i]))
	}
	cmd := command(spec.Code, spec.AuthCount(), nil, parameters(func(w *tcg.Writer) {
		for _, p := range spec.Params {
			g.param(w, p.Type)
		}
	}), handles...)
	if g.IntN(3) == 0 { // and one fault
		i := dispatch.HeaderSize + g.IntN(max(1, len(cmd)-dispatch.HeaderSize))
		switch g.IntN(3) {
		case 0:
			if i < len(cmd) {
				cmd[i] ^= 1 << g.IntN(8)
			}
		case 1:
			cmd = cmd[:min(i, len(cmd))]
		case 2:
			cmd = append(cmd, byte(g.Uint32()))
		}
		copy(cmd[2:], binary.BigEndian.AppendUint32(nil, uint32(len(cmd))))
	}
	return cmd[:min(len(cmd), engine.MaxCommandSize)]
}

// volatileOf is the volatile state without the digest of the permanent one,
// in which a count of failures may have changed.
func volatileOf(t *testing.T, d *engine.Device) []byte {
	t.Helper()
	b, err := d.Volatile()
	if err != nil {
		t.Fatal(err)
	}
	return b[4+2+2+tpmcrypto.MustSize(engine.ContextHash):]
}

// slowCommands search for primes or try all of an algorithm's tests: a few of
// them are enough.
var slowCommands = []tcg.TPMCC{tcg.TPMCCSelfTest, tcg.TPMCCChangeEPS, tcg.TPMCCChangePPS}

// TestTableCommands sends commands made from the specification's table. What
// holds for any bytes holds for them; beyond that a refused one leaves the
// volatile state, too, as it was.
func TestTableCommands(t *testing.T) {
	t.Parallel()
	rounds := 20000
	if testing.Short() {
		rounds = 2000
	}
	g := newTableGenerator(t, 5)
	succeeded := map[tcg.TPMCC]int{}
	for i := range rounds {
		cmd := g.next()
		cc := tcg.TPMCC(binary.BigEndian.Uint32(cmd[6:]))
		if slices.Contains(slowCommands, cc) && i%50 != 0 {
			continue
		}
		volatile := volatileOf(t, g.d)
		r := checkCommand(t, g.d, uint8(g.IntN(5)), cmd)
		if ok(r) {
			succeeded[cc]++
		} else if !bytes.Equal(volatile, volatileOf(t, g.d)) {
			t.Fatalf("%v %x: refused with %v, and the volatile state changed", cc, cmd, tcg.TPMRC(binary.BigEndian.Uint32(r[6:])))
		}
		if i%200 == 199 || !g.d.Vol.Started {
			if i%2000 == 1999 {
				g.restart(t)
				continue
			}
			g.d.Init()
			g.d.Execute(0, startupClear)
			if g.d.Clear.ReadOnly || len(g.d.Hierarchies().Auth(tcg.TPMRHOwner)) > 0 {
				g.restart(t)
				continue
			}
			g.refill(t)
		}
	}
	t.Logf("%d of %d kinds of commands succeeded at least once", len(succeeded), len(g.specs))
	if len(succeeded) < 50 && !testing.Short() {
		t.Errorf("%d kinds of commands that succeed are too few to say anything: %v", len(succeeded), succeeded)
	}
}

// maxAllocation is what one command may allocate, in bytes. TPM2_SelfTest took
// the most in this test, 158 kB; keys of RSA are not made in it.
const maxAllocation = 1 << 20

// TestAllocationBound sends commands, and any bytes, and looks what each one
// allocates. It is not parallel: the runtime counts for all.
func TestAllocationBound(t *testing.T) {
	g := newTableGenerator(t, 6)
	var before, after runtime.MemStats
	var most uint64
	var by tcg.TPMCC
	for i := range 3000 {
		cmd := g.next()
		if i%3 == 0 {
			// Lengths and counts as large as they can be.
			j := dispatch.HeaderSize + g.IntN(max(1, len(cmd)-dispatch.HeaderSize))
			copy(cmd[min(j, len(cmd)):], []byte{0xFF, 0xFF, 0xFF, 0xFF})
		}
		runtime.ReadMemStats(&before)
		g.d.Execute(0, cmd)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > most {
			most, by = n, tcg.TPMCC(binary.BigEndian.Uint32(cmd[6:]))
		}
		if i%200 == 199 {
			g.restart(t)
		}
	}
	t.Logf("the most was %d bytes, by %v", most, by)
	if most > maxAllocation {
		t.Errorf("%v allocates %d bytes, the bound is %d", by, most, maxAllocation)
	}
}
