package command

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
)

// leaves calls visit for each exported field of v, a struct, that holds a number,
// a flag or bytes, with the name of the field.
func leaves(v reflect.Value, name string, visit func(name string, v reflect.Value)) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				leaves(v.Field(i), name+"."+f.Name, visit)
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			leaves(v.Index(i), fmt.Sprintf("%s[%d]", name, i), visit)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			visit(name, v)
			return
		}
		for i := range v.Len() {
			leaves(v.Index(i), fmt.Sprintf("%s[%d]", name, i), visit)
		}
	case reflect.Bool, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		visit(name, v)
	}
}

// change gives a leaf another value.
func change(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Slice:
		b := bytes.Clone(v.Bytes())
		if len(b) == 0 {
			b = make([]byte, 32)
		}
		b[0] ^= 1
		v.SetBytes(b)
	default:
		v.SetUint(v.Uint() ^ 1)
	}
}

// notEncoded are the fields that the encodings leave out, and why.
var notEncoded = map[string]string{
	"Vol.Failed":       "a device in failure mode has no volatile state",
	"Vol.Failure.What": "the same",
}

// TestEveryFieldIsEncoded changes one exported field of the state at a time: the
// encoding changes, and what is decoded from it has the change. So a field that
// is added without its encoding is found. A part tests its unexported fields.
func TestEveryFieldIsEncoded(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	d.Perm.Shutdown = uint16(tcg.TPMSUState) // SavedClear and SavedReset count
	load := func(state []byte) ([]byte, error) {
		again, err := Load(engine.Config{Store: new(memStore), Log: t.Logf}, state)
		if err != nil {
			return nil, err
		}
		e := again.EncodePermanent()
		return e.B, nil
	}
	permanent := func() []byte { e := d.EncodePermanent(); return e.B }
	if b, err := load(permanent()); err != nil || !bytes.Equal(b, permanent()) {
		t.Fatalf("a state does not decode to itself: %v", err)
	}
	fields := 0
	check := func(encode func() []byte, again func([]byte) ([]byte, error)) func(string, reflect.Value) {
		return func(name string, v reflect.Value) {
			fields++
			old := reflect.New(v.Type()).Elem()
			old.Set(v)
			defer v.Set(old)
			before := encode()
			change(v)
			after := encode()
			if bytes.Equal(before, after) && notEncoded[name] == "" {
				t.Errorf("%s: its change does not change the encoding", name)
			}
			if again == nil {
				return
			}
			if b, err := again(after); err == nil && !bytes.Equal(b, after) {
				t.Errorf("%s: its change is lost in decoding", name)
			}
		}
	}
	leaves(reflect.ValueOf(&d.Perm).Elem(), "Perm", check(permanent, load))
	leaves(reflect.ValueOf(&d.Clear).Elem(), "Clear", check(d.EncodeVolatile, nil))
	leaves(reflect.ValueOf(&d.Reset).Elem(), "Reset", check(d.EncodeVolatile, nil))
	leaves(reflect.ValueOf(&d.Vol).Elem(), "Vol", check(d.EncodeVolatile, nil))
	if fields < 60 {
		t.Errorf("only %d fields", fields)
	}
}
