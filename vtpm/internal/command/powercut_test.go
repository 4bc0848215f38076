package command

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/timer"
	"stubtpm/vtpm/tcg"
)

// command builds a command with handles, an empty password for each of the
// first auths of them (or auth, if it is not nil), and parameters.
func command(cc tcg.TPMCC, auths int, auth []byte, params []byte, handles ...tcg.TPMHandle) []byte {
	var w tcg.Writer
	tag := tcg.TPMSTNoSessions
	if auths > 0 {
		tag = tcg.TPMSTSessions
	}
	w.Uint16(uint16(tag))
	w.Uint32(0)
	w.Uint32(uint32(cc))
	for _, h := range handles {
		w.Uint32(uint32(h))
	}
	if auths > 0 {
		w.Uint32(uint32(auths * (9 + len(auth))))
		for range auths {
			w.Uint32(uint32(tcg.TPMRSPW))
			w.Uint16(0)
			w.Uint8(0)
			w.Sized(auth)
		}
	}
	w.Bytes(params)
	copy(w.B[2:], binary.BigEndian.AppendUint32(nil, uint32(len(w.B))))
	return w.B
}

func parameters(f func(w *tcg.Writer)) []byte {
	var w tcg.Writer
	f(&w)
	return w.B
}

// A cutter makes random commands that change the permanent state. It knows
// only which kind each of its few indices has been asked to be: commands that
// are refused belong to the stream.
type cutter struct {
	*rand.Rand
	objects []tcg.TPMHandle // transient, by creation
	kinds   [4]tcg.TPMNT
}

const cutIndex = tcg.TPMHandle(0x01800020)

func (c *cutter) next() []byte {
	n := c.IntN(len(c.kinds))
	index := cutIndex + tcg.TPMHandle(n)
	switch c.IntN(18) {
	case 0, 1:
		kinds := []tcg.TPMNT{tcg.TPMNTOrdinary, tcg.TPMNTCounter, tcg.TPMNTExtend, tcg.TPMNTBits}
		c.kinds[n] = kinds[c.IntN(len(kinds))]
		size := uint16(8)
		if c.kinds[n] == tcg.TPMNTExtend {
			size = 32
		}
		attrs := tcg.TPMANVOwnerWrite | tcg.TPMANVOwnerRead | tcg.TPMANVAuthWrite | tcg.TPMANVAuthRead |
			tcg.TPMANVWriteSTClear | tcg.TPMANVReadSTClear | tcg.TPMANV(c.kinds[n])<<4
		if c.IntN(4) == 0 {
			attrs |= tcg.TPMANVOrderly
		}
		return command(tcg.TPMCCNVDefineSpace, 1, nil, parameters(func(w *tcg.Writer) {
			w.Sized([]byte("pin"))
			w.Nested(func(w *tcg.Writer) {
				w.Uint32(uint32(index))
				w.Uint16(uint16(tcg.TPMAlgSHA256))
				w.Uint32(uint32(attrs))
				w.Sized(nil)
				w.Uint16(size)
			})
		}), tcg.TPMRHOwner)
	case 2:
		return command(tcg.TPMCCNVUndefineSpace, 1, nil, nil, tcg.TPMRHOwner, index)
	case 3, 4, 5, 6, 7:
		switch c.kinds[n] {
		case tcg.TPMNTCounter:
			return command(tcg.TPMCCNVIncrement, 1, nil, nil, tcg.TPMRHOwner, index)
		case tcg.TPMNTExtend:
			return command(tcg.TPMCCNVExtend, 1, nil, parameters(func(w *tcg.Writer) { w.Sized([]byte{byte(c.IntN(256))}) }), tcg.TPMRHOwner, index)
		case tcg.TPMNTBits:
			return command(tcg.TPMCCNVSetBits, 1, nil, binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 0), 1<<c.IntN(32)), tcg.TPMRHOwner, index)
		}
		return command(tcg.TPMCCNVWrite, 1, nil, parameters(func(w *tcg.Writer) {
			w.Sized([]byte{byte(c.IntN(256))})
			w.Uint16(uint16(c.IntN(8)))
		}), tcg.TPMRHOwner, index)
	case 8: // a wrong password: the dictionary attack logic counts
		return command(tcg.TPMCCNVRead, 1, []byte("wrong"), []byte{0, 1, 0, 0}, index, index)
	case 9:
		return command(tcg.TPMCCNVWriteLock, 1, nil, nil, tcg.TPMRHOwner, index)
	case 10:
		if len(c.objects) == 0 || c.IntN(2) == 0 {
			return command(tcg.TPMCCCreatePrimary, 1, nil, sealedPrimary(byte(c.IntN(256))), tcg.TPMRHOwner)
		}
		return command(tcg.TPMCCEvictControl, 1, nil, binary.BigEndian.AppendUint32(nil, 0x81000000+uint32(c.IntN(3))),
			tcg.TPMRHOwner, c.objects[c.IntN(len(c.objects))])
	case 11:
		h := 0x81000000 + uint32(c.IntN(3))
		return command(tcg.TPMCCEvictControl, 1, nil, binary.BigEndian.AppendUint32(nil, h), tcg.TPMRHOwner, tcg.TPMHandle(h))
	case 12:
		return command(tcg.TPMCCDictionaryAttackParameters, 1, nil,
			binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(1000+c.IntN(9))), 1000), 1000), tcg.TPMRHLockout)
	case 13:
		return command(tcg.TPMCCSetPrimaryPolicy, 1, nil, parameters(func(w *tcg.Writer) {
			w.Sized(bytes.Repeat([]byte{byte(c.IntN(256))}, 32))
			w.Uint16(uint16(tcg.TPMAlgSHA256))
		}), tcg.TPMRHOwner)
	case 14:
		if c.IntN(4) != 0 {
			return shutdownState
		}
		return command(tcg.TPMCCClear, 1, nil, nil, tcg.TPMRHLockout)
	case 15: // what TPM2_Shutdown(STATE) saves, or must not
		act := tcg.TPMRHACT0 + tcg.TPMHandle(c.IntN(timer.Count))
		if c.IntN(2) == 0 {
			return command(tcg.TPMCCACTSetTimeout, 1, nil, binary.BigEndian.AppendUint32(nil, uint32(c.IntN(100))), act)
		}
		return command(tcg.TPMCCSetPrimaryPolicy, 1, nil, parameters(func(w *tcg.Writer) {
			w.Sized(bytes.Repeat([]byte{byte(c.IntN(256))}, 32))
			w.Uint16(uint16(tcg.TPMAlgSHA256))
		}), act)
	case 16:
		if c.IntN(2) == 0 {
			return command(tcg.TPMCCSetAlgorithmSet, 1, nil, binary.BigEndian.AppendUint32(nil, uint32(c.IntN(3))), tcg.TPMRHPlatform)
		}
		return command(tcg.TPMCCPCRAllocate, 1, nil, binary.BigEndian.AppendUint32(nil, 0), tcg.TPMRHPlatform)
	}
	if c.IntN(4) != 0 {
		return command(tcg.TPMCCDictionaryAttackLockReset, 1, nil, nil, tcg.TPMRHLockout)
	}
	return command(tcg.TPMCCChangeEPS, 1, nil, nil, tcg.TPMRHPlatform)
}

// sealedPrimary is the parameters of a TPM2_CreatePrimary of a keyed hash
// object: fast, and another one for each byte.
func sealedPrimary(b byte) []byte {
	return parameters(func(w *tcg.Writer) {
		w.Nested(func(w *tcg.Writer) { w.Sized(nil); w.Sized([]byte{b}) })
		w.Nested(func(w *tcg.Writer) {
			w.Uint16(uint16(tcg.TPMAlgKeyedHash))
			w.Uint16(uint16(tcg.TPMAlgSHA256))
			w.Uint32(uint32(tcg.TPMAObjectFixedTPM | tcg.TPMAObjectFixedParent | tcg.TPMAObjectUserWithAuth))
			w.Sized(nil)
			w.Uint16(uint16(tcg.TPMAlgNull))
			w.Sized(nil)
		})
		w.Sized(nil)
		w.Uint32(0)
	})
}

// learn keeps the handle of an object that was made.
func (c *cutter) learn(cmd, resp []byte) {
	if ok(resp) && tcg.TPMCC(binary.BigEndian.Uint32(cmd[6:])) == tcg.TPMCCCreatePrimary {
		c.objects = append(c.objects, tcg.TPMHandle(binary.BigEndian.Uint32(resp[10:])))
	}
}

// TestPowerCutsInStream cuts the power at random saves of random commands,
// before or after the save takes effect. A save is the whole state, so what has
// to hold is that a command saves once, that none is answered with success
// before, that the state found after a cut is one that loads, and that a
// device which goes on after a failed save has the state from before in memory
// too.
func TestPowerCutsInStream(t *testing.T) {
	t.Parallel()
	streams := 300
	if testing.Short() {
		streams = 30
	}
	cuts := map[tcg.TPMCC]int{}
	for seed := range streams {
		cutStream(t, uint64(seed), cuts)
		if t.Failed() {
			return
		}
	}
	total := 0
	for _, n := range cuts {
		total += n
	}
	t.Logf("%d cuts in %d kinds of commands: %v", total, len(cuts), cuts)
	if total < 3*streams || len(cuts) < 12 && !testing.Short() {
		t.Errorf("%d cuts in %d kinds of commands are too few to say anything", total, len(cuts))
	}
}

func cutStream(t *testing.T, seed uint64, cuts map[tcg.TPMCC]int) {
	t.Helper()
	c := &cutter{Rand: rand.New(rand.NewPCG(seed, 7))}
	s := new(cutStore)
	d := testDevice(t, s)
	// What was answered last, as it is in the store.
	answered := bytes.Clone(s.state)
	started := false
	for step := range 60 {
		cmd := startupClear
		if started {
			cmd = c.next()
		} else if c.IntN(2) == 0 {
			cmd = startupState
		}
		s.n, s.at, s.late = 0, 0, false
		if c.IntN(8) == 0 {
			s.at, s.late = 1, c.IntN(2) == 0
		}
		before := d.EncodePermanent().B // with attributes of orderly indices that are not in the store
		counts := countsBefore(d)
		resp, err := execute(d, 0, cmd)
		if err != nil {
			t.Fatalf("stream %d, step %d: %v", seed, step, err)
		}
		c.learn(cmd, resp)
		if s.at == 0 || s.n == 0 { // no cut
			if cut := tcg.TPMRC(binary.BigEndian.Uint32(resp[6:])); cut == tcg.TPMRCNVUnavailable || d.Vol.Failed {
				t.Fatalf("stream %d, step %d: %x: %v without a cut", seed, step, cmd, cut)
			}
			started = started || ok(resp)
			if ok(resp) && s.n == 0 && !bytes.Equal(answered, s.state) {
				t.Fatalf("stream %d, step %d: the store changed without a save", seed, step)
			}
			if ok(resp) && s.n == 1 && !bytes.Equal(reload(t, s.state).EncodePermanent().B, s.state) {
				t.Fatalf("stream %d, step %d: the state is another when it is read", seed, step)
			}
			answered = bytes.Clone(s.state)
			continue
		}
		cuts[tcg.TPMCC(binary.BigEndian.Uint32(cmd[6:]))]++
		if ok(resp) {
			t.Fatalf("stream %d, step %d: %x was answered with success, and not saved", seed, step, cmd)
		}
		if s.n != 1 {
			t.Fatalf("stream %d, step %d: %x saves %d times: power may go in between", seed, step, cmd, s.n)
		}
		if !s.late && !bytes.Equal(s.state, answered) {
			t.Fatalf("stream %d, step %d: the state changed before the cut", seed, step)
		}
		counts.takeBack(d) // TestTriesCountWithoutStore looks at them
		if now := d.EncodePermanent().B; !bytes.Equal(clockless(t, now), clockless(t, before)) {
			t.Fatalf("stream %d, step %d: %x was refused, and memory is not what it was", seed, step, cmd)
		}
		if c.IntN(2) == 0 && !s.late {
			// The device goes on.
			started = d.Vol.Started
			if tcg.TPMCC(binary.BigEndian.Uint32(cmd[6:])) == tcg.TPMCCStartup && started {
				t.Fatalf("stream %d, step %d: TPM2_Startup failed, and the device is started", seed, step)
			}
			continue
		}
		d = reload(t, s.state)
		d.Cfg.Store = s
		started, c.objects = false, nil
		answered = bytes.Clone(s.state)
	}
}

func reload(t *testing.T, state []byte) *engine.Device {
	t.Helper()
	d := testDevice(t, new(memStore))
	l, err := Load(d.Cfg, state)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// clockless is a state with a Clock of zero.
func clockless(t *testing.T, state []byte) []byte {
	d := reload(t, state)
	d.Perm.Clock.Clock = 0
	return d.EncodePermanent().B
}
