package command

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// startedOver returns a device, started, whose generator is over entropy.
func startedOver(t *testing.T, entropy io.Reader) client {
	t.Helper()
	rng := tpmcrypto.NewRNG(entropy)
	d, err := Manufacture(engine.Config{Store: new(memStore), Rand: rng, Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	tpm := client{d}
	if _, err := (tpm2.Startup{StartupType: tpm2.TPMSUClear}).Execute(tpm); err != nil {
		t.Fatal(err)
	}
	return tpm
}

// stirWith runs TPM2_StirRandom, which go-tpm lacks, and returns its response
// code.
func stirWith(tpm client, data string) uint32 {
	var w tcg.Writer
	w.Uint16(uint16(tcg.TPMSTNoSessions))
	w.Uint32(uint32(12 + len(data)))
	w.Uint32(uint32(tcg.TPMCCStirRandom))
	w.Sized([]byte(data))
	return binary.BigEndian.Uint32(tpm.d.Execute(0, w.B)[6:])
}

// TestStirRandomChangesOutput: of devices with the same entropy, those that
// were stirred with the same data, and only those, give out the same octets.
func TestStirRandomChangesOutput(t *testing.T) {
	t.Parallel()
	output := func(data string) []byte {
		tpm := startedOver(t, tpmcrypto.NewDRBG(tcg.TPMAlgSHA512, []byte("the same entropy each time")))
		if rc := stirWith(tpm, data); rc != 0 {
			t.Fatalf("StirRandom: %#x", rc)
		}
		r, err := tpm2.GetRandom{BytesRequested: 32}.Execute(tpm)
		if err != nil {
			t.Fatal(err)
		}
		return r.RandomBytes.Buffer
	}
	a, again, b := output("data"), output("data"), output("datb")
	if !bytes.Equal(a, again) {
		t.Fatal("the device is not deterministic, so this test shows nothing")
	}
	if bytes.Equal(a, b) {
		t.Error("what is stirred in changes nothing")
	}
}

// TestDefaultGeneratorStirs: a device that was given no source of randomness
// has a generator that TPM2_StirRandom adds to, however it was made.
func TestDefaultGeneratorStirs(t *testing.T) {
	t.Parallel()
	d, s, _ := newTestDevice(t)
	loaded, err := Load(engine.Config{Store: s}, s.state)
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]*engine.Device{"Manufacture": d, "Load": loaded} {
		if _, ok := d.Cfg.Rand.(interface{ Stir([]byte) error }); !ok {
			t.Errorf("%s: %T cannot be stirred", name, d.Cfg.Rand)
		}
	}
}

// breakable is a source of entropy that can fail.
type breakable struct {
	io.Reader
	broken bool
}

func (b *breakable) Read(p []byte) (int, error) {
	if b.broken {
		return 0, errors.New("no entropy")
	}
	return b.Reader.Read(p)
}

// TestStirRandomFails: a source that fails is not answered with success.
func TestStirRandomFails(t *testing.T) {
	t.Parallel()
	src := &breakable{Reader: tpmcrypto.NewDRBG(tcg.TPMAlgSHA512, []byte("seed"))}
	tpm := startedOver(t, src)
	src.broken = true
	if rc := stirWith(tpm, "data"); rc != uint32(tcg.TPMRCFailure) {
		t.Errorf("StirRandom: %#x", rc)
	}
}
