package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"stubtpm/vtpm/tcg"
)

// readProfile returns the profile that name stands for: JSON text, the name of a profile,
// or a file. A file with the name of a profile must be given with a "/".
func readProfile(name string) (*tcg.Profile, error) {
	if strings.HasPrefix(name, "{") {
		return parseJSON([]byte(name))
	}
	if p := namedProfile(name); p != nil {
		return p, nil
	}
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%q is neither a file nor one of the profiles %s", name, strings.Join(tcg.ProfileNames(), ", "))
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, tcg.MaxProfileText+1))
	if err != nil {
		return nil, err
	}
	parse := tcg.ParseProfile
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		parse = parseJSON
	}
	p, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

// namedProfile is tcg.NamedProfile, and also knows the names that swtpm has for a TPM
// without a profile.
func namedProfile(name string) *tcg.Profile {
	switch base, _, _ := strings.Cut(name, ":"); base {
	case "default-v1", "null", "custom":
		return tcg.DefaultProfile()
	}
	return tcg.NamedProfile(name)
}

// parseJSON parses a profile in swtpm's form (swtpm(8), --profile). Its lists restrict
// what a TPM offers: they are refused and not ignored, since the TPM would offer more than
// was asked for.
func parseJSON(text []byte) (*tcg.Profile, error) {
	var in struct {
		Name                             string
		StateFormatLevel                 uint
		Description                      string
		Commands, Algorithms, Attributes *string
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return nil, fmt.Errorf("profile in JSON: %w", err)
	}
	if in.Commands != nil || in.Algorithms != nil || in.Attributes != nil {
		return nil, errors.New("profile in JSON: Commands, Algorithms and Attributes are not supported; a profile file can restrict algorithms")
	}
	p := namedProfile(in.Name)
	if p == nil {
		return nil, fmt.Errorf("profile in JSON: unknown Name %q", in.Name)
	}
	return p, nil
}
