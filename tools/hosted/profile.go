package hosted

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// profileFD begins the name of a profile that is read from a file descriptor.
const profileFD = "/dev/fd/"

// profileOption reads the value of --profile: a name, a file or JSON text, also
// as name=, file=, fd= or profile= (swtpm(8)).
func profileOption(v string) (string, error) {
	if strings.HasPrefix(v, "{") {
		return v, nil
	}
	key, rest, ok := strings.Cut(v, "=")
	if ok && key == "profile" {
		text, tail, err := cutJSON(rest)
		if err != nil {
			return "", fmt.Errorf("--profile: %w", err)
		}
		return text, profileTail(tail)
	}
	if ok && (key == "name" || key == "file" || key == "fd") {
		name, tail, _ := strings.Cut(rest, ",")
		if name == "" {
			return "", errors.New("--profile: a name or a file is meant")
		}
		if key == "fd" {
			name = profileFD + name
		}
		return name, profileTail(tail)
	}
	if v == "" {
		return "", errors.New("--profile: a name or a file is meant")
	}
	return v, nil
}

// cutJSON splits a JSON value off a text.
func cutJSON(s string) (value, rest string, err error) {
	var v json.RawMessage
	r := strings.NewReader(s)
	d := json.NewDecoder(r)
	if err := d.Decode(&v); err != nil {
		return "", "", err
	}
	tail, err := io.ReadAll(io.MultiReader(d.Buffered(), r))
	return string(v), strings.TrimPrefix(string(tail), ","), err
}

// profileTail reads what may follow a profile.
func profileTail(s string) error {
	p := parseSpec("--profile", s)
	if v := p.str("remove-disabled"); v != "" && v != "check" && v != "fips-host" {
		p.fail("remove-disabled is check or fips-host")
	} else if v != "" {
		p.fail("remove-disabled is not supported: no algorithm is disabled by the host here")
	}
	return p.end()
}
