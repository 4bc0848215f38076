package command

import (
	"bytes"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
)

// leaves calls visit for each number, flag, and run of bytes in v, a struct, and for
// each list, map and pointer, with its name. Unexported fields are among them.
func leaves(v reflect.Value, name string, visit func(name string, v reflect.Value)) {
	if !v.CanSet() { // an unexported field
		v = reflect.NewAt(v.Type(), v.Addr().UnsafePointer()).Elem()
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			leaves(v.Field(i), name+"."+v.Type().Field(i).Name, visit)
		}
	case reflect.Array:
		for i := range v.Len() {
			leaves(v.Index(i), fmt.Sprintf("%s[%d]", name, i), visit)
		}
	case reflect.Slice:
		visit(name, v)
		if v.Type().Elem().Kind() != reflect.Uint8 {
			for i := range v.Len() {
				leaves(v.Index(i), fmt.Sprintf("%s[%d]", name, i), visit)
			}
		}
	case reflect.Pointer:
		if visit(name, v); !v.IsNil() {
			leaves(v.Elem(), name, visit)
		}
	case reflect.Map:
		visit(name, v)
		for _, k := range v.MapKeys() {
			leaves(v.MapIndex(k).Elem(), name, visit)
		}
	default:
		visit(name, v)
	}
}

// change gives a leaf another value: other bytes, a longer list. It returns false
// if it cannot.
func change(v reflect.Value) bool {
	switch {
	case v.Kind() == reflect.Bool:
		v.SetBool(!v.Bool())
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		b := bytes.Clone(v.Bytes())
		if len(b) == 0 {
			b = make([]byte, 32)
		}
		b[0] ^= 1
		v.SetBytes(b)
	case v.Kind() == reflect.Slice:
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
	case v.CanUint():
		v.SetUint(v.Uint() ^ 1)
	case v.Type() == reflect.TypeFor[time.Duration]():
		v.SetInt(v.Int() + int64(time.Hour))
	case v.CanInt():
		v.SetInt(v.Int() ^ 1)
	default:
		return false
	}
	return true
}

// index is where leaves puts the number of an element.
var index = regexp.MustCompile(`\[\d+\]`)

// notEncoded are the fields that the encodings leave out, and why.
var notEncoded = map[string]string{
	"Vol.Failed":     "a device in failure mode has no volatile state",
	"Vol.Failure":    "the same",
	"Vol.Clock.held": "a Clock that could not be saved: what goes on tries it again",
	"Vol.retryAt":    "the same",
	"Vol.Ask":        "an answer is of a moment, and is lost where a device goes on in another place",
	"Vol.Answer":     "the same",

	"Perm.Objects.Key":          "made again at the first use",
	"Vol.Objects[].Key":         "the same",
	"Perm.Objects.Seq":          "no sequence is persistent",
	"Vol.Objects[].Seq":         "a running hash, whose forms exclude each other: see the tests of section 17",
	"Vol.HashSequence":          "the same",
	"Perm.NV.Indices.nameCache": "made again at the first use",

	"Perm.NV.Indices.Data":         "the index of the test is an orderly one, whose data is volatile",
	"Perm.SavedClear.ACTs[].setAt": "a timer that was decoded begins to count then",
	"Clear.ACTs[].setAt":           "the same",
	"Vol.PCRs":                     "lists that have to fit each other: package pcr tests its encoding",

	"Perm.Objects.Public":  "a union, whose encoding package tcg tests",
	"Vol.Objects[].Public": "the same",

	"Vol.Sessions[].Symmetric": "a union, whose encoding package tcg tests",
}

// checked are the fields of which not every value decodes: another one is refused.
var checked = map[string]bool{
	"Perm.NV.Indices.Public.DataSize": true, "Perm.NV.Indices.Public.NameAlg": true,
	"Perm.Objects.Sensitive.SensitiveType": true, "Vol.Objects[].Sensitive.SensitiveType": true,
	"Perm.PCRBanks": true, "Perm.PCRBanks[].Hash": true, "Perm.PCRBanks[].TPMSPCRSelect.Size": true,
	"Vol.Sessions[].Handle": true, "Vol.Sessions[].Hash": true,
}

// TestEveryFieldIsEncoded changes one field of the state at a time: the encoding
// changes, and what is decoded from it has the change. So a field that is added
// without its encoding is found, whatever its type.
func TestEveryFieldIsEncoded(t *testing.T) {
	t.Parallel()
	cfg := engine.Config{Store: new(memStore), Log: t.Logf,
		Now: func() time.Duration { return time.Hour }} // or any two encodings differ, by Time
	d, err := Manufacture(cfg)
	if err != nil {
		t.Fatal(err)
	}
	d.Execute(0, startupClear)
	populate(t, d, client{d})
	d.Perm.Shutdown = uint16(tcg.TPMSUState) // SavedClear and SavedReset count
	load := func(state []byte) ([]byte, error) {
		again, err := Load(cfg, state)
		if err != nil {
			return nil, err
		}
		e := again.EncodePermanent()
		return e.B, nil
	}
	permanent := func() []byte { e := d.EncodePermanent(); return e.B }
	resume := func(volatile []byte) ([]byte, error) {
		again, err := Resume(cfg, d.Kept, volatile)
		if err != nil {
			return nil, err
		}
		return again.EncodeVolatile(), nil
	}
	if b, err := load(permanent()); err != nil || !bytes.Equal(b, permanent()) {
		t.Fatalf("a state does not decode to itself: %v", err)
	}
	fields := 0
	seen, excused := map[string]bool{}, map[string]bool{}
	check := func(encode func() []byte, again func([]byte) ([]byte, error)) func(string, reflect.Value) {
		return func(name string, v reflect.Value) {
			name = index.ReplaceAllString(name, "[]")
			if reason := leftOut(name); reason != "" {
				excused[reason] = true
				return
			}
			fields++
			if k := v.Kind(); k == reflect.Pointer || k == reflect.Map {
				seen[name] = seen[name] || !v.IsNil() && (k == reflect.Pointer || v.Len() != 0)
				return // what is in it has its turn
			}
			old := reflect.New(v.Type()).Elem()
			old.Set(v)
			defer v.Set(old)
			before := encode()
			if !change(v) {
				t.Errorf("%s is a %v", name, v.Kind())
				return
			}
			after := encode()
			if bytes.Equal(before, after) {
				t.Errorf("%s: its change does not change the encoding", name)
			}
			if b, err := again(after); err != nil && !checked[name] {
				t.Errorf("%s: its change does not decode: %v", name, err)
			} else if err == nil && !bytes.Equal(b, after) {
				t.Errorf("%s: its change is lost in decoding", name)
			}
		}
	}
	leaves(reflect.ValueOf(&d.Perm).Elem(), "Perm", check(permanent, load))
	leaves(reflect.ValueOf(&d.Clear).Elem(), "Clear", check(d.EncodeVolatile, resume))
	leaves(reflect.ValueOf(&d.Reset).Elem(), "Reset", check(d.EncodeVolatile, resume))
	leaves(reflect.ValueOf(&d.Vol).Elem(), "Vol", check(d.EncodeVolatile, resume))
	for name, full := range seen {
		if !full {
			t.Errorf("populate puts nothing into %s", name)
		}
	}
	for name := range notEncoded {
		if !excused[name] {
			t.Errorf("%s is excused, and is not there", name)
		}
	}
	if fields < 200 {
		t.Errorf("only %d fields", fields)
	}
}

// leftOut returns the entry of notEncoded that a field falls under, or "".
func leftOut(name string) string {
	for prefix := range notEncoded {
		if name == prefix || strings.HasPrefix(name, prefix+".") || strings.HasPrefix(name, prefix+"[") {
			return prefix
		}
	}
	return ""
}

// populate gives a device one of each: an object, a persistent object, an NV index,
// an HMAC and a policy session.
func populate(t *testing.T, d *engine.Device, tpm transport.TPM) {
	t.Helper()
	key, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(tpm)
	if err == nil {
		_, err = tpm2.EvictControl{Auth: tpm2.TPMRHOwner, PersistentHandle: 0x81000000,
			ObjectHandle: tpm2.NamedHandle{Handle: key.ObjectHandle, Name: key.Name}}.Execute(tpm)
	}
	if err == nil {
		_, err = tpm2.NVDefineSpace{AuthHandle: tpm2.TPMRHOwner, PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{NVIndex: 0x01800000,
			NameAlg: tpm2.TPMAlgSHA256, DataSize: 8, Attributes: tpm2.TPMANV{OwnerWrite: true, OwnerRead: true, Orderly: true}})}.Execute(tpm)
	}
	for _, kind := range []tpm2.TPMSE{tpm2.TPMSEHMAC, tpm2.TPMSEPolicy} {
		if err == nil {
			_, err = tpm2.StartAuthSession{TPMKey: tpm2.TPMRHNull, Bind: tpm2.TPMRHNull, NonceCaller: tpm2.TPM2BNonce{Buffer: make([]byte, 16)},
				SessionType: kind, Symmetric: tpm2.TPMTSymDef{Algorithm: tpm2.TPMAlgNull}, AuthHash: tpm2.TPMAlgSHA256}.Execute(tpm)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}
