package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"stubtpm/vtpm/tcg"
)

// readProfile returns the profile that a name or a file stands for. A file
// with the name of a profile needs a "/" in its path.
func readProfile(name string) (*tcg.Profile, error) {
	if p := tcg.NamedProfile(name); p != nil {
		return p, nil
	}
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%q is no file, and none of the profiles %s", name, strings.Join(tcg.ProfileNames(), ", "))
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, tcg.MaxProfileText+1))
	if err != nil {
		return nil, err
	}
	p, err := tcg.ParseProfile(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}
