package xenlife

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// A config is an xl configuration (xl.cfg(5)): the values of its settings, one for a
// string or a number, any number for a list. Where a setting is made twice the last one
// counts, as for xl.
type config map[string][]string

// errConfig means that a configuration is not one that xl takes.
var errConfig = errors.New("xenlife: xl configuration")

func readConfig(file string) (config, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	c, err := parseConfig(string(b))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return c, nil
}

// text returns the value of a setting that has one, "" if it is not made.
func (c config) text(name string) (string, error) {
	v := c[name]
	if len(v) == 0 {
		return "", nil
	}
	if len(v) > 1 || strings.Contains(v[0], `\`) {
		return "", fmt.Errorf("%w: %s has to be one string without a backslash", errConfig, name)
	}
	return v[0], nil
}

// name returns the name of the domain.
func (c config) name() (string, error) {
	s, err := c.text("name")
	if err == nil && (s == "" || strings.ContainsAny(s, "/\x00")) {
		err = fmt.Errorf("%w: %q cannot be the name of a domain", errConfig, s) // nor of files of its own
	}
	return s, err
}

// vtpm returns an option, such as backend or uuid, of the first vtpm device, or ""
// without such a device or option.
func (c config) vtpm(option string) string {
	if len(c["vtpm"]) == 0 {
		return ""
	}
	found := ""
	for o := range strings.SplitSeq(c["vtpm"][0], ",") {
		if name, value, _ := strings.Cut(o, "="); strings.TrimSpace(name) == option {
			found = strings.TrimSpace(value)
		}
	}
	return found
}

// parseConfig reads settings NAME = VALUE and NAME += VALUE, with a line end or ; after
// each and comments from # to the end of a line. A value is a string in quotes, a number, or
// a list of values in brackets, which may extend over lines. An escape sequence in a string
// is not replaced.
func parseConfig(text string) (config, error) {
	c := config{}
	p := configParser{rest: text, line: 1}
	for {
		p.skip(" \t\r\n;")
		if p.rest == "" {
			return c, nil
		}
		name := p.word()
		p.skip(" \t\r")
		add := p.accept("+=")
		if name == "" || !add && !p.accept("=") {
			return nil, p.fault("want NAME = VALUE")
		}
		p.skip(" \t\r")
		v, isList, err := p.value()
		if err != nil {
			return nil, err
		}
		p.skip(" \t\r")
		if p.rest != "" && !strings.ContainsRune("\n;", rune(p.rest[0])) {
			return nil, p.fault("want the end of the line after the value of " + name)
		}
		switch old := c[name]; {
		case add && isList:
			c[name] = append(old, v...)
		case add && len(old) == 1:
			c[name] = []string{old[0] + v[0]}
		default:
			c[name] = v
		}
	}
}

// A configParser has the part of a configuration that was not read yet.
type configParser struct {
	rest string
	line int
}

func (p *configParser) fault(what string) error {
	return fmt.Errorf("%w: line %d: %s", errConfig, p.line, what)
}

// skip skips characters of a set, and comments.
func (p *configParser) skip(set string) {
	for p.rest != "" {
		switch {
		case p.rest[0] == '#':
			end := strings.IndexByte(p.rest, '\n')
			if end < 0 {
				end = len(p.rest)
			}
			p.rest = p.rest[end:]
		case strings.IndexByte(set, p.rest[0]) >= 0:
			if p.rest[0] == '\n' {
				p.line++
			}
			p.rest = p.rest[1:]
		default:
			return
		}
	}
}

func (p *configParser) accept(s string) bool {
	var ok bool
	p.rest, ok = strings.CutPrefix(p.rest, s)
	return ok
}

// word reads a setting's name or a number.
func (p *configParser) word() string {
	end := strings.IndexFunc(p.rest, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
	if end < 0 {
		end = len(p.rest)
	}
	w := p.rest[:end]
	p.rest = p.rest[end:]
	return w
}

// value reads a value; lists in lists are read as one.
func (p *configParser) value() (v []string, isList bool, err error) {
	if p.rest != "" && (p.rest[0] == '"' || p.rest[0] == '\'') {
		s, err := p.quoted()
		return []string{s}, false, err
	}
	if !p.accept("[") {
		w := p.word()
		if w == "" {
			return nil, false, p.fault("want a string in quotes, a number or a list")
		}
		return []string{w}, false, nil
	}
	for {
		p.skip(" \t\r\n")
		if p.accept("]") {
			return v, true, nil
		}
		if p.rest == "" {
			return nil, true, p.fault("the list has no end")
		}
		one, _, err := p.value()
		if err != nil {
			return nil, true, err
		}
		v = append(v, one...)
		p.skip(" \t\r\n")
		if !p.accept(",") && !strings.HasPrefix(p.rest, "]") {
			return nil, true, p.fault("want , or ] after an element of a list")
		}
	}
}

// quoted reads a string, which ends on its line.
func (p *configParser) quoted() (string, error) {
	quote := p.rest[0]
	for i := 1; i < len(p.rest) && p.rest[i] != '\n'; i++ {
		switch p.rest[i] {
		case '\\':
			i++
		case quote:
			s := p.rest[1:i]
			p.rest = p.rest[i+1:]
			return s, nil
		}
	}
	return "", p.fault("the string has no end")
}
