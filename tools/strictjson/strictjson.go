// Package strictjson decodes policies in JSON, in which nothing may be overlooked: a
// misspelt demand, or one that a later one of the same name takes back.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Decode decodes one value. An unknown field of a structure, a name that an object has
// twice, also in another case, and anything after the value are errors.
func Decode(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the value")
	}
	return checkNames(json.NewDecoder(bytes.NewReader(b)))
}

// checkNames returns an error if an object of the next value has a name twice.
// encoding/json takes the last one, and compares without case.
func checkNames(d *json.Decoder) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	open, ok := t.(json.Delim)
	if !ok {
		return nil
	}
	var seen []string
	for d.More() {
		if open == '{' {
			t, err := d.Token()
			if err != nil {
				return err
			}
			name, _ := t.(string)
			if slices.ContainsFunc(seen, func(s string) bool { return strings.EqualFold(s, name) }) {
				return fmt.Errorf("%q is there twice", name)
			}
			seen = append(seen, name)
		}
		if err := checkNames(d); err != nil {
			return err
		}
	}
	_, err = d.Token() // what closes it
	return err
}
