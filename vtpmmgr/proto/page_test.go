package proto

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

// fill sets a field to a value whose encoding differs from that of zero in every byte.
// A text has one character.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1<<(v.Type().Bits()) - 1)
	case reflect.String:
		v.SetString("a")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Array:
		for i := range v.Len() {
			v.Index(i).SetUint(255)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	}
}

// extent returns where the encodings a and b differ.
func extent(a, b []byte) (offset, size int) {
	first, last := -1, -1
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			if first < 0 {
				first = i
			}
			last = i
		}
	}
	return first, last - first + 1
}

// TestPage: the tables of docs/manager-protocol.md have each field at its offset in the
// encoding, and with its size.
func TestPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/manager-protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []struct {
		heading string
		value   interface{ Append([]byte) []byte }
		fields  map[string]string // and how the page begins its text
	}{
		{fmt.Sprintf("### State (%d bytes)", StateSize), &State{}, map[string]string{
			"Sequence": "sequence", "Hash": "SHA-256 of the sealed state", "Key": "key that opens it", "Floors": "floors"}},
		{"### Grant", &Grant{}, map[string]string{
			"Manufacture": "flags: 1 manufacture", "UUID": "uuid", "Epoch": "epoch of the vTPM", "Ledger": "epoch of the ledger", "State": "state", "Entropy": "entropy",
			"Firmware": "firmware secret", "SVN": "secret of security version", "Profile": "profile"}},
		{fmt.Sprintf("\nGreeting, %d bytes:", len((&Greeting{}).Append(nil))), &Greeting{}, map[string]string{
			"Version": "version", "Manager": "manager's ID", "Nonce": "nonce", "Recovery": "", "Audit": "", "Admin": "administrator's key", "Counter": "counter of the hardware TPM"}},
		{"\nEnrollment:", &Enrollment{}, map[string]string{
			"UUID": "uuid", "Group": "group", "Replace": "flags: 1 replace", "Image": "hash of the image", "Name": "name"}},
		{"\nEntry of LIST:", &Entry{}, map[string]string{
			"UUID": "uuid", "Group": "group", "Epoch": "epoch", "Sequence": "sequence", "Floors": "floors", "State": "flags: 1 has a state", "Image": "hash of the image", "Name": "name"}},
		{"\nGroup:", &Group{}, map[string]string{"ID": "ID", "Name": "name"}},
	} {
		_, table, found := strings.Cut(string(page), s.heading+"\n")
		if !found {
			t.Errorf("docs/manager-protocol.md has no %q", s.heading)
			continue
		}
		if _, table, found = strings.Cut(table, "| offset |"); !found {
			t.Errorf("%q has no table", s.heading)
			continue
		}
		table, _, _ = strings.Cut(table, "\n\n")
		zero := s.value.Append(nil)
		for name, text := range s.fields {
			v := reflect.New(reflect.TypeOf(s.value).Elem())
			f := v.Elem().FieldByName(name)
			fill(f)
			b := v.Interface().(interface{ Append([]byte) []byte }).Append(nil)
			offset, size := extent(zero, b)
			row := fmt.Sprintf("| %d | %d | %s", offset, size, text)
			if f.Kind() == reflect.String {
				offset = bytes.LastIndexByte(b, 'a') - 1 // after its length
				row = fmt.Sprintf("| %d | text | %s", offset, text)
			}
			if !strings.Contains(table, row) {
				t.Errorf("%q has no row %q for %s", s.heading, row, name)
			}
		}
	}
}
