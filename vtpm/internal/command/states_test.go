package command

import (
	"encoding/hex"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

var update = flag.Bool("update", false, "write the fixture of the present state version if it is missing")

const (
	stateV1 = "testdata/state-v1.bin"
	stateV2 = "testdata/state-v2.bin" // with countdown timers
)

// fixedDevice is a device whose random numbers are always the same ones.
func fixedDevice(t *testing.T, s engine.Store) *engine.Device {
	t.Helper()
	d, err := Manufacture(engine.Config{
		Store: s, Now: func() time.Duration { return time.Hour },
		Rand: tpmcrypto.NewDRBG(tcg.TPMAlgSHA512, []byte("the state that is the fixture of version 1")),
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// primaries are the Names of primary keys that the fixture's seeds make. They
// never change: what guests sealed to such keys has to open forever.
var primaries = []struct {
	name     string
	root     tpm2.TPMHandle
	template tpm2.TPMTPublic
	want     string
}{
	{"owner, ECC P-256", tpm2.TPMRHOwner, tpm2.ECCSRKTemplate, "000b102a493741e7c2e80a00052d63dc5b9a27819331b9022f94f839aec5324dd3ca"},
	{"owner, RSA-2048", tpm2.TPMRHOwner, tpm2.RSASRKTemplate,
		"000b86f7fb15a577d9c778ac632b9443c943dddb2ed33075cd19cee9558f20ba2a43"},
	{"owner, ECC P-384", tpm2.TPMRHOwner, p384Template(),
		"000c344411d66348e38325364a75660c5e36ec6d5a144624d9b44f7af7ad8351a0843307ae1be8e3fc469ece8cf2ed54b8a0"},
	{"endorsement, ECC P-256", tpm2.TPMRHEndorsement, tpm2.ECCEKTemplate,
		"000bd8e4c54520eb3f4ddc212d5f3fce4fbde98611c438ca5d6098b898a48ec951a9"},
	{"endorsement, RSA-2048", tpm2.TPMRHEndorsement, tpm2.RSAEKTemplate,
		"000bae7f1e2aa9c0441a9dd1d09717a65878751c222e8bdfecdef2fff52c58991653"},
}

// p384Template is the storage key's template with P-384, SHA-384 and AES-256.
func p384Template() tpm2.TPMTPublic {
	p := tpm2.ECCSRKTemplate
	p.NameAlg = tpm2.TPMAlgSHA384
	p.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
		Symmetric: tpm2.TPMTSymDefObject{Algorithm: tpm2.TPMAlgAES,
			KeyBits: tpm2.NewTPMUSymKeyBits(tpm2.TPMAlgAES, tpm2.TPMKeyBits(256)),
			Mode:    tpm2.NewTPMUSymMode(tpm2.TPMAlgAES, tpm2.TPMAlgCFB)},
		CurveID: tpm2.TPMECCNistP384,
	})
	p.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{})
	return p
}

func primaryName(t *testing.T, tpm transport.TPM, h tpm2.TPMHandle, p tpm2.TPMTPublic) string {
	t.Helper()
	r, err := tpm2.CreatePrimary{PrimaryHandle: h, InPublic: tpm2.New2B(p)}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	defer tpm2.FlushContext{FlushHandle: r.ObjectHandle}.Execute(tpm)
	return hex.EncodeToString(r.Name.Buffer)
}

// stateFiles are what each version wrote, forever.
var stateFiles = []struct {
	file  string
	timer uint32 // what a countdown timer has left after a resume
}{
	{stateV1, 0},
	{stateV2, 250},
}

// TestStates loads the states that all versions wrote, and finds in them what
// was there.
func TestStates(t *testing.T) {
	t.Parallel()
	for _, f := range stateFiles {
		t.Run(f.file, func(t *testing.T) { t.Parallel(); checkState(t, f.file, f.timer) })
	}
}

func checkState(t *testing.T, file string, timer uint32) {
	state, err := os.ReadFile(file)
	if *update && os.IsNotExist(err) {
		s := new(memStore)
		d := fixedDevice(t, s)
		d.Execute(0, startupClear)
		scenario(t, client{d})
		rawTPM{t, d}.setACT(tcg.TPMRCSuccess, tcg.TPMRHACT0, 250)
		d.Execute(0, shutdownState)
		state = s.state
		err = os.WriteFile(file, state, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	d, err := Load(engine.Config{Store: new(memStore)}, state)
	if err != nil {
		t.Fatal(err)
	}
	if r := d.Execute(0, []byte{0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 1}); !ok(r) {
		t.Fatalf("TPM2_Startup(STATE): %x", r)
	}
	if got := (rawTPM{t, d}).act(tcg.TPMRHACT0).timeout; got > timer || got+5 < timer {
		t.Errorf("the countdown timer has %d s left, not %d", got, timer)
	}
	tpm := client{d}
	pub, err := tpm2.NVReadPublic{NVIndex: tpm2.TPMHandle(0x01800001)}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	v, err := tpm2.NVRead{AuthHandle: tpm2.TPMRHOwner, Size: 8,
		NVIndex: tpm2.NamedHandle{Handle: 0x01800001, Name: pub.NVName}}.Execute(tpm)
	if err != nil || hex.EncodeToString(v.Data.Buffer) != "0000000000000001" {
		t.Fatalf("the counter: %x, %v", v, err)
	}
	key, err := tpm2.ReadPublic{ObjectHandle: tpm2.TPMHandle(0x81000001)}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range primaries {
		got := primaryName(t, tpm, p.root, p.template)
		if got != p.want {
			t.Errorf("%s: %s, always was %s", p.name, got, p.want)
		}
		if p.template.Type == tpm2.TPMAlgECC && p.name == primaries[0].name && got != hex.EncodeToString(key.Name.Buffer) {
			t.Error("the persistent key is not the primary that it was")
		}
	}
}

type actData struct {
	timeout  uint32
	signaled bool
	preserve bool
}

// actOf reads a timer by TPM2_GetCapability.
func (x rawTPM) act(h tcg.TPMHandle) actData {
	x.t.Helper()
	r := x.want(tcg.TPMRCSuccess, tcg.TPMCCGetCapability, nil, func(w *tcg.Writer) {
		w.Uint32(uint32(tcg.TPMCapACT))
		w.Uint32(uint32(h))
		w.Uint32(1)
	})
	r.Bytes(5)
	if n := r.Uint32(); n != 1 {
		x.t.Fatalf("%d timers", n)
	}
	if got := tcg.TPMHandle(r.Uint32()); got != h {
		x.t.Fatalf("timer %#x, not %#x", got, h)
	}
	a := actData{timeout: r.Uint32()}
	v := tcg.TPMAACT(r.Uint32())
	a.signaled, a.preserve = v&tcg.TPMAACTSignaled != 0, v&tcg.TPMAACTPreserveSignaled != 0
	return a
}

func (x rawTPM) setACT(rc tcg.TPMRC, h tcg.TPMHandle, seconds uint32) {
	x.t.Helper()
	x.want(rc, tcg.TPMCCACTSetTimeout, handles(h), func(w *tcg.Writer) { w.Uint32(seconds) })
}
