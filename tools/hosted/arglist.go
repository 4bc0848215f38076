package hosted

import (
	"fmt"
	"strings"
)

// An argList walks over arguments as getopt_long does: "--name value",
// "--name=value", "-n value", "-nvalue"; "-td" is "-t -d".
type argList struct {
	args  []string
	name  string
	held  string
	holds bool
	err   error
}

func (a *argList) next() bool {
	if a.err != nil {
		return false
	}
	if a.holds {
		a.err = fmt.Errorf("%s takes no value", a.name)
		return false
	}
	if len(a.args) == 0 {
		return false
	}
	a.name, a.args = a.args[0], a.args[1:]
	switch {
	case strings.HasPrefix(a.name, "--"):
		a.name, a.held, a.holds = strings.Cut(a.name, "=")
	case len(a.name) > 2 && a.name[0] == '-' && strings.IndexByte(shortWithValue, a.name[1]) >= 0:
		a.name, a.held, a.holds = a.name[:2], a.name[2:], true
	case len(a.name) > 2 && a.name[0] == '-':
		a.args = append([]string{"-" + a.name[2:]}, a.args...)
		a.name = a.name[:2]
	}
	return true
}

// shortWithValue are the options of one letter that have a value.
const shortWithValue = "pfrRc"

func (a *argList) value() string {
	if a.holds {
		a.holds = false
		return a.held
	}
	if len(a.args) == 0 {
		a.err = fmt.Errorf("%s needs a value", a.name)
		return ""
	}
	v := a.args[0]
	a.args = a.args[1:]
	return v
}
