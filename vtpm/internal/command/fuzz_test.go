package command

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/lockout"
	"stubtpm/vtpm/tcg"
)

// recorder keeps the commands that a client sends.
type recorder struct {
	client
	commands [][]byte
}

func (r *recorder) Send(cmd []byte) ([]byte, error) {
	r.commands = append(r.commands, bytes.Clone(cmd))
	return r.client.Send(cmd)
}

// testClock stands still unless it is told otherwise: what a failed command
// leaves behind can then be compared.
func testDevice(t testing.TB, s engine.Store) *engine.Device {
	t.Helper()
	d, err := Manufacture(engine.Config{Store: s, Now: func() time.Duration { return time.Hour }})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

var (
	startupClear  = []byte{0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 0}
	shutdownState = []byte{0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x45, 0, 1}
	shutdownClear = []byte{0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x45, 0, 0}
	startupState  = []byte{0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 1}
)

func ok(r []byte) bool { return len(r) >= 10 && binary.BigEndian.Uint32(r[6:]) == 0 }

// corpus is what a client that knows the protocol sends: commands of every
// kind, in an order in which they succeed.
func corpus(t testing.TB) [][]byte {
	t.Helper()
	d := testDevice(t, new(memStore))
	d.Execute(0, startupClear)
	r := &recorder{client: client{d}}
	scenario(t, r)
	return r.commands
}

func scenario(t testing.TB, tpm transport.TPM) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := tpm2.GetRandom{BytesRequested: 16}.Execute(tpm)
	check(err)
	_, err = tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: 0x100, PropertyCount: 64}.Execute(tpm)
	check(err)
	_, err = tpm2.PCRExtend{
		PCRHandle: tpm2.AuthHandle{Handle: 8, Auth: tpm2.PasswordAuth(nil)},
		Digests:   tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: make([]byte, 32)}}},
	}.Execute(tpm)
	check(err)
	srk, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(tpm)
	check(err)
	parent := tpm2.NamedHandle{Handle: srk.ObjectHandle, Name: srk.Name}
	sealed, err := tpm2.Create{
		ParentHandle: parent,
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
			UserAuth: tpm2.TPM2BAuth{Buffer: []byte("pw")},
			Data:     tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: []byte("secret")}),
		}},
		InPublic: tpm2.New2B(tpm2.TPMTPublic{
			Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
			ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, UserWithAuth: true},
		}),
	}.Execute(tpm)
	check(err)
	loaded, err := tpm2.Load{ParentHandle: parent, InPrivate: sealed.OutPrivate, InPublic: sealed.OutPublic}.Execute(tpm)
	check(err)
	_, err = tpm2.Unseal{ItemHandle: tpm2.AuthHandle{Handle: loaded.ObjectHandle, Name: loaded.Name,
		Auth: tpm2.HMAC(tpm2.TPMAlgSHA256, 16, tpm2.Auth([]byte("pw")), tpm2.AESEncryption(128, tpm2.EncryptOut))}}.Execute(tpm)
	check(err)
	define := tpm2.NVDefineSpace{AuthHandle: tpm2.TPMRHOwner, PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{
		NVIndex: 0x01800001, NameAlg: tpm2.TPMAlgSHA256, DataSize: 8,
		Attributes: tpm2.TPMANV{OwnerWrite: true, OwnerRead: true, NT: tpm2.TPMNTCounter, NoDA: true},
	})}
	_, err = define.Execute(tpm)
	check(err)
	pub, err := tpm2.NVReadPublic{NVIndex: tpm2.TPMHandle(0x01800001)}.Execute(tpm)
	check(err)
	_, err = tpm2.NVIncrement{AuthHandle: tpm2.TPMRHOwner, NVIndex: tpm2.NamedHandle{Handle: 0x01800001, Name: pub.NVName}}.Execute(tpm)
	check(err)
	session, done, err := tpm2.PolicySession(tpm, tpm2.TPMAlgSHA256, 16)
	check(err)
	_, err = tpm2.PolicyPCR{PolicySession: session.Handle(), Pcrs: tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{
		{Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(8)}}}}.Execute(tpm)
	check(err)
	_, err = tpm2.PolicyGetDigest{PolicySession: session.Handle()}.Execute(tpm)
	check(err)
	check(done())
	saved, err := tpm2.ContextSave{SaveHandle: loaded.ObjectHandle}.Execute(tpm)
	check(err)
	_, err = tpm2.ContextLoad{Context: saved.Context}.Execute(tpm)
	check(err)
	_, err = tpm2.EvictControl{Auth: tpm2.TPMRHOwner, ObjectHandle: &parent, PersistentHandle: tpm2.TPMIDHPersistent(0x81000001)}.Execute(tpm)
	check(err)
	_, err = tpm2.FlushContext{FlushHandle: loaded.ObjectHandle}.Execute(tpm)
	check(err)
}

// durable is the permanent state without what a refused command may change:
// counts of failed authorizations.
func durable(d *engine.Device) []byte {
	da := d.Perm.DA
	d.Perm.DA = lockout.Lockout{}
	defer func() { d.Perm.DA = da }()
	return d.EncodePermanent().B
}

// passing is the rest of the state, without what comes of failed authorizations:
// when the last one was, and a hash of the permanent state. The test's clock
// stands still.
func passing(t *testing.T, d *engine.Device) []byte {
	t.Helper()
	at, kept := d.Vol.DATime, d.Kept
	d.Vol.DATime, d.Kept = lockout.Timers{}, nil
	defer func() { d.Vol.DATime, d.Kept = at, kept }()
	if d.Vol.Failed {
		t.Fatalf("failure mode: %s", d.Vol.Failure.What)
	}
	return d.EncodeVolatile()
}

// checkCommand sends any bytes, checks what must hold for all of them, and
// returns the response.
func checkCommand(t *testing.T, d *engine.Device, locality uint8, cmd []byte) []byte {
	t.Helper()
	before, passed := durable(d), passing(t, d)
	r := d.Execute(locality, cmd)
	if len(r) < 10 || len(r) > engine.MaxResponseSize || int(binary.BigEndian.Uint32(r[2:])) != len(r) {
		t.Fatalf("command %x: response %x", cmd, r)
	}
	if d.Vol.Failed {
		t.Fatalf("command %x: failure mode: %s", cmd, d.Vol.Failure.What)
	}
	if tag := binary.BigEndian.Uint16(r); binary.BigEndian.Uint32(r[6:]) != 0 && (len(r) != 10 || tag != uint16(tcg.TPMSTNoSessions) && tag != dispatch.Tag12Response) {
		t.Fatalf("command %x: an error of %d bytes with tag %#x", cmd, len(r), tag)
	}
	if binary.BigEndian.Uint32(r[6:]) != 0 && !bytes.Equal(before, durable(d)) {
		t.Fatalf("command %x: refused with %#x, and the state changed", cmd, binary.BigEndian.Uint32(r[6:]))
	}
	if binary.BigEndian.Uint32(r[6:]) != 0 && !bytes.Equal(passed, passing(t, d)) {
		t.Fatalf("command %x: refused with %#x, and PCRs, sessions, objects or counters changed", cmd, binary.BigEndian.Uint32(r[6:]))
	}
	return r
}

// FuzzExecute: any bytes, at any locality, before or after a Startup, get a
// well-formed response; none ends in failure mode; a refused one changes
// nothing.
func FuzzExecute(f *testing.F) {
	for _, c := range corpus(f) {
		f.Add(uint8(0), true, c)
	}
	for _, c := range corpus185(f) {
		f.Add(uint8(0), true, c)
	}
	f.Add(uint8(3), false, startupClear)
	f.Add(uint8(0), true, []byte{0x00, 0xC1, 0, 0, 0, 0x16, 0, 0, 0, 0x65, 0, 0, 0, 5, 0, 0, 0, 4, 0, 0, 1, 0x15})
	f.Fuzz(func(t *testing.T, locality uint8, started bool, cmd []byte) {
		d := newDevice185(t, new(memStore))
		if !started {
			d.Init()
		}
		checkCommand(t, d, locality, cmd)
		checkCommand(t, d, locality, cmd)
	})
}

// TestMutatedCommands sends what the corpus becomes by small changes, to a
// device that has what the commands speak of.
func TestMutatedCommands(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	seeds := append(corpus(t), corpus185(t)...)
	d := newDevice185(t, new(memStore))
	scenario185(t, func(cmd []byte) []byte { return d.Execute(0, cmd) }) // which knows its handles
	scenario(t, client{d})
	rounds := 20000
	if testing.Short() {
		rounds = 2000
	}
	for range rounds {
		c := bytes.Clone(seeds[r.IntN(len(seeds))])
		for range 1 + r.IntN(3) {
			switch i := r.IntN(len(c)); r.IntN(5) {
			case 0:
				c[i] ^= 1 << r.IntN(8)
			case 1:
				c[i] = byte(r.IntN(256))
			case 2:
				c = c[:max(i, 1)]
			case 3:
				c = append(c, byte(r.IntN(256)))
			case 4:
				if len(c) < dispatch.HeaderSize {
					continue
				}
				copy(c[6:], binary.BigEndian.AppendUint32(nil, uint32(engine.FirstCommand)+uint32(r.IntN(int(engine.LastCommand-engine.FirstCommand)+1))))
			}
		}
		if len(c) >= 6 && r.IntN(10) != 0 {
			copy(c[2:], binary.BigEndian.AppendUint32(nil, uint32(len(c))))
		}
		checkCommand(t, d, uint8(r.IntN(6)), c)
		if d.Vol.Sessions.Count() > 10 || d.Vol.Objects.Room() != tcg.TPMRCSuccess {
			d.Init()
			d.Execute(0, startupClear)
		}
	}
}

func FuzzLoad(f *testing.F) {
	s := new(memStore)
	d := testDevice(f, s)
	d.Execute(0, startupClear)
	scenario(f, client{d})
	d.Execute(0, shutdownState)
	f.Add(s.state)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, state []byte) {
		d, err := Load(engine.Config{Store: new(memStore)}, state)
		if err != nil {
			if !errors.Is(err, engine.ErrState) {
				t.Fatal(err)
			}
			return
		}
		d.Execute(0, startupClear)
	})
}

// TestLoadRefusesDamage: a state cut off at any byte is refused; no flipped
// bit makes Load panic.
func TestLoadRefusesDamage(t *testing.T) {
	t.Parallel()
	s := new(memStore)
	d := testDevice(t, s)
	d.Execute(0, startupClear)
	scenario(t, client{d})
	d.Execute(0, shutdownState)
	for n := range s.state {
		if _, err := Load(engine.Config{Store: new(memStore)}, s.state[:n]); !errors.Is(err, engine.ErrState) {
			t.Fatalf("%d bytes of %d: %v", n, len(s.state), err)
		}
	}
	for i := range s.state {
		b := bytes.Clone(s.state)
		b[i] ^= 0xFF
		if d, err := Load(engine.Config{Store: new(memStore)}, b); err == nil {
			d.Execute(0, startupClear)
		}
	}
}

// cutStore fails at a chosen save, before or after it took effect.
type cutStore struct {
	memStore
	at, n int
	late  bool
}

var errCut = errors.New("power cut")

func (s *cutStore) Save(state []byte) error {
	if s.n++; s.n != s.at {
		return s.memStore.Save(state)
	}
	if s.late {
		s.memStore.Save(state)
	}
	return errCut
}

// TestPowerCuts cuts the power at each save of a client's scenario, before and
// after it takes effect: the state is then as before the command or as after.
func TestPowerCuts(t *testing.T) {
	t.Parallel()
	seeds := corpus(t)
	seeds = append(seeds, seeds...)
	cuts := 0
	for at := 3; ; at++ { // the first save is the manufacture's, the second the Startup's
		var done bool
		for _, late := range []bool{false, true} {
			s := &cutStore{at: at, late: late}
			d := testDevice(t, s)
			d.Execute(0, startupClear)
			before, answered := bytes.Clone(s.state), true
			for _, c := range seeds {
				before = bytes.Clone(s.state)
				if r := d.Execute(0, c); binary.BigEndian.Uint32(r[6:]) == uint32(tcg.TPMRCNVUnavailable) {
					answered = false
					break
				}
			}
			if done = answered; done {
				break
			}
			cuts++
			if !late && !bytes.Equal(s.state, before) {
				t.Fatalf("cut before save %d: the state changed", at)
			}
			d, err := Load(engine.Config{Store: new(memStore)}, s.state)
			if err != nil {
				t.Fatalf("cut at save %d: %v", at, err)
			}
			if !ok(d.Execute(0, startupClear)) {
				t.Fatalf("cut at save %d: the device does not start", at)
			}
		}
		if done {
			break
		}
	}
	if cuts < 6 {
		t.Fatalf("the power was cut %d times only", cuts)
	}
}

func FuzzPartialCertificate(f *testing.F) {
	b, err := hex.DecodeString("30523011310f300d060355040313066973737565723000300030" + "00")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{0x30, 0x0A, 0x30, 0, 0x30, 0, 0x30, 0, 0xA3, 2, 0x30, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, ok := readPartial(b); ok && len(p.issuer)+len(p.validity)+len(p.subject)+len(p.extensions) > len(b) {
			t.Fatal("more than there was")
		}
	})
}
