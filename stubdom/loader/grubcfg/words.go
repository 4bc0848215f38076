package grubcfg

import "strings"

// A word of a line, before variables are replaced. In single quotes nothing is.
type word struct {
	parts []part
}

type part struct {
	text   string
	raw    bool // no variables
	quoted bool
}

// Bounds, so that values made of values stay small.
const (
	maxVariable  = 1024     // bytes of a variable's value
	maxWord      = 16 << 10 // bytes of a word, and of all words of a command together
	maxVariables = 1024
)

// commands splits a text into commands, each a list of words. Commands end at the end of
// a line and at semicolons; braces are commands of their own.
func commands(text string) [][]word {
	text = strings.ReplaceAll(text, "\\\n", "")
	var all [][]word
	var line []word
	var w *word
	add := func(s string, raw, quoted bool) {
		if w == nil {
			w = &word{}
		}
		w.parts = append(w.parts, part{s, raw, quoted})
	}
	endWord := func() {
		if w != nil {
			line = append(line, *w)
			w = nil
		}
	}
	endLine := func() {
		endWord()
		if len(line) > 0 {
			all = append(all, line)
			line = nil
		}
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\n' || c == ';':
			endLine()
		case c == ' ' || c == '\t' || c == '\r':
			endWord()
		case c == '#' && w == nil:
			for i+1 < len(text) && text[i+1] != '\n' {
				i++
			}
		case (c == '{' || c == '}') && w == nil:
			if c == '}' {
				endLine()
			}
			add(string(c), true, false)
			endLine()
		case c == '\'':
			n := strings.IndexByte(text[i+1:], '\'')
			if n < 0 {
				n = len(text) - i - 1
			}
			add(text[i+1:i+1+n], true, true)
			i += n + 1
		case c == '"':
			end := double(text[i+1:], add)
			i += end
		case c == '\\' && i+1 < len(text):
			i++
			add(text[i:i+1], true, false)
		default:
			n := strings.IndexAny(text[i:], " \t\r\n;'\"\\")
			if n < 0 {
				n = len(text) - i
			}
			// A brace of a variable belongs to the word.
			add(text[i:i+n], false, false)
			i += n - 1
		}
	}
	endLine()
	return all
}

// double passes on the parts of what is in double quotes, and returns how long it is with
// the closing one.
func double(s string, add func(s string, raw, quoted bool)) int {
	add("", true, true) // counts even if it is empty
	from, n := 0, 0
	for n < len(s) && s[n] != '"' {
		if s[n] == '\\' && n+1 < len(s) && strings.IndexByte("\"\\$", s[n+1]) >= 0 {
			add(s[from:n], false, true)
			add(s[n+1:n+2], true, true)
			n++
			from = n + 1
		}
		n++
	}
	add(s[from:min(n, len(s))], false, true)
	return n + 1
}

// variables are the values of what set has set.
type variables map[string]string

// expand replaces variables in a word. quoted reports whether a part was in quotes, so
// that it counts even if it is empty.
func (v variables) expand(w word) (s string, quoted bool) {
	var b strings.Builder
	for _, p := range w.parts {
		quoted = quoted || p.quoted
		if p.raw {
			b.WriteString(p.text)
		} else {
			v.replace(&b, p.text)
		}
	}
	return b.String(), quoted
}

func (v variables) replace(b *strings.Builder, s string) {
	for b.Len() <= maxWord {
		at := strings.IndexByte(s, '$')
		if at < 0 {
			b.WriteString(s)
			return
		}
		b.WriteString(s[:at])
		s = s[at+1:]
		name := ""
		if strings.HasPrefix(s, "{") {
			end := strings.IndexByte(s, '}')
			if end < 0 {
				return
			}
			name, s = s[1:end], s[end+1:]
		} else {
			n := 0
			for n < len(s) && (s[n] == '_' || s[n] == '?' || s[n] >= '0' && s[n] <= '9' || s[n]|0x20 >= 'a' && s[n]|0x20 <= 'z') {
				n++
			}
			name, s = s[:n], s[n:]
		}
		b.WriteString(v[name])
	}
}
