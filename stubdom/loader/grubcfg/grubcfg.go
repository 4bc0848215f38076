package grubcfg

import (
	"path"
	"strconv"
	"strings"

	"stubtpm/stubdom/loader/entry"
)

// Limits of a file: more than any grub.cfg has.
const (
	MaxSize    = 128 << 10 // bytes
	maxEntries = 256
	maxDepth   = 16 // of blocks
)

// A Config is what a grub.cfg says.
type Config struct {
	// Entries in the order of the file, those of submenus among the others. The ID is
	// that of the entry, or its title.
	Entries []entry.Entry
	Default int // index in Entries, 0 if the file names none that is there
	Timeout int // seconds; -1 if it says nothing, -2 for no limit
}

// A frame is a block that is open.
type frame struct {
	kind    string // "if", "menuentry", "submenu", or "" for a block that is skipped
	run     bool   // commands count
	outer   bool   // run of the block around it
	decided bool   // of an if: a branch was taken
}

// A parser walks through the commands.
type parser struct {
	vars    variables
	frames  []frame
	entries []entry.Entry
	places  [][]string // of each entry: its names at each level, "index\x00id\x00title"
	menu    [][]string // of the submenus that are open: the same
	next    []int      // index of the next entry at each level
	current *entry.Entry
}

// Parse reads a grub.cfg. What it does not understand it leaves out.
func Parse(text string) Config {
	p := newParser()
	for _, c := range commands(text[:min(len(text), MaxSize)]) {
		if len(p.frames) > maxDepth || len(p.entries) > maxEntries {
			break
		}
		p.command(c)
	}
	c := Config{Entries: p.entries, Timeout: -1}
	if n, err := strconv.Atoi(p.vars["timeout"]); err == nil {
		c.Timeout = max(n, -2)
		if n < 0 {
			c.Timeout = -2
		}
	}
	c.Default = p.find(p.vars["default"])
	return c
}

// newParser returns a parser with the variables that GRUB itself sets.
func newParser() *parser {
	return &parser{vars: variables{idOption: "--id", "feature_menuentry_id": "y", "feature_timeout_style": "y"}, next: []int{0}}
}

// idOption is the variable that holds the option for an entry's ID.
const idOption = "menuentry_id_option"

// running reports whether commands count here.
func (p *parser) running() bool {
	return len(p.frames) == 0 || p.frames[len(p.frames)-1].run
}

func (p *parser) push(f frame) {
	f.outer = p.running()
	f.run = f.run && f.outer
	p.frames = append(p.frames, f)
}

// command runs one command.
func (p *parser) command(c []word) {
	args := p.expand(c)
	if len(args) == 0 {
		return
	}
	switch name, args := args[0], args[1:]; name {
	case "if":
		ok := test(args)
		p.push(frame{kind: "if", run: ok, decided: ok})
	case "elif", "else", "fi":
		p.branch(name, args)
		if name == "else" {
			p.rest(c)
		}
	case "then":
		p.rest(c)
	case "menuentry", "submenu":
		p.open(name, args)
	case "function", "while", "until", "for":
		if opens(args) {
			p.push(frame{})
		}
	case "{":
		p.push(frame{kind: "{", run: true})
	case "}":
		p.close()
	default:
		if p.running() {
			p.simple(name, args)
		}
	}
}

// expand returns the words of a command with their variables replaced, and none if they
// are longer than maxWord together: a part of a command line is not to be booted.
func (p *parser) expand(c []word) []string {
	var args []string
	size := 0
	for _, w := range c {
		s, quoted := p.vars.expand(w)
		if size += len(s) + 1; size > maxWord {
			return nil
		}
		if s != "" || quoted {
			args = append(args, s)
		}
	}
	return args
}

// rest runs what follows "then" or "else" on the same line.
func (p *parser) rest(c []word) {
	if len(c) > 1 {
		p.command(c[1:])
	}
}

// opens reports whether a command ends with an opening brace.
func opens(args []string) bool { return len(args) > 0 && args[len(args)-1] == "{" }

// branch goes to another branch of an if, or to its end.
func (p *parser) branch(name string, args []string) {
	if len(p.frames) == 0 || p.frames[len(p.frames)-1].kind != "if" {
		return
	}
	f := &p.frames[len(p.frames)-1]
	switch {
	case name == "fi":
		p.frames = p.frames[:len(p.frames)-1]
	case f.decided:
		f.run = false
	case name == "else" || test(args):
		f.run, f.decided = f.outer, true
	}
}

// open begins a menuentry or submenu.
func (p *parser) open(kind string, args []string) {
	if !opens(args) {
		return
	}
	title, id := "", ""
	for i := 0; i < len(args)-1; i++ {
		switch a := args[i]; {
		case i == 0:
			title = a
		case a == "--id" && i+1 < len(args)-1:
			i++
			id = args[i]
		}
	}
	p.push(frame{kind: kind, run: p.current == nil})
	if !p.running() {
		return
	}
	level := len(p.next) - 1
	here := []string{strconv.Itoa(p.next[level]), id, title}
	p.next[level]++
	if kind == "submenu" {
		p.menu = append(p.menu, here)
		p.next = append(p.next, 0)
		return
	}
	if id == "" {
		id = title
	}
	p.current = &entry.Entry{ID: id, Title: title, TriesLeft: -1}
	var place []string
	for _, m := range append(p.menu[:len(p.menu):len(p.menu)], here) {
		place = append(place, strings.Join(m, "\x00"))
	}
	p.places = append(p.places, place)
}

// close ends a block in braces.
func (p *parser) close() {
	if len(p.frames) == 0 {
		return
	}
	f := p.frames[len(p.frames)-1]
	if f.kind == "if" {
		return // an if that is not closed
	}
	p.frames = p.frames[:len(p.frames)-1]
	switch {
	case !f.run:
	case f.kind == "submenu":
		p.menu, p.next = p.menu[:len(p.menu)-1], p.next[:len(p.next)-1]
	case f.kind == "menuentry":
		// An entry without a kernel keeps its number, since a default may be one.
		p.entries = append(p.entries, *p.current)
		p.current = nil
	}
}

// simple runs a command that opens no block.
func (p *parser) simple(name string, args []string) {
	if strings.Contains(name, "=") { // an assignment without set
		name, args = "set", []string{name}
	}
	switch name {
	case "set":
		if len(args) > 0 {
			if k, v, ok := strings.Cut(args[0], "="); ok && len(v) <= maxVariable && len(p.vars) < maxVariables {
				p.vars[k] = v
			}
		}
	case "linux", "linuxefi", "linux16":
		if p.current != nil && len(args) > 0 {
			p.current.Linux = clean(args[0])
			p.current.Options = strings.Join(args[1:], " ")
		}
	case "initrd", "initrdefi", "initrd16":
		if p.current != nil {
			p.current.Initrds = nil
			for _, a := range args {
				p.current.Initrds = append(p.current.Initrds, clean(a))
			}
		}
	}
}

// clean makes a path of package fs of one of GRUB's, which may name a device.
func clean(name string) string {
	if strings.HasPrefix(name, "(") {
		_, name, _ = strings.Cut(name, ")")
	}
	return strings.TrimPrefix(path.Clean("/"+name), "/")
}

// find returns the index of the entry that a default names.
func (p *parser) find(name string) int {
	want := strings.Split(name, ">")
	for i, place := range p.places {
		if i >= len(p.entries) || len(place) < len(want) {
			continue
		}
		match := true
		for j, w := range want {
			at := strings.SplitN(place[j], "\x00", 3)
			match = match && w != "" && (w == at[0] || w == at[1] || w == at[2])
		}
		if match { // a submenu stands for its first entry
			return i
		}
	}
	return 0
}

// test evaluates a condition: what stands between if and then.
func test(args []string) bool {
	not := false
	for len(args) > 0 && args[0] == "!" {
		not, args = !not, args[1:]
	}
	return truth(args) != not
}

func truth(args []string) bool {
	n := len(args)
	if n < 2 || args[0] != "[" || args[n-1] != "]" {
		return false
	}
	switch args = args[1 : n-1]; len(args) {
	case 1:
		return args[0] != ""
	case 2:
		switch args[0] {
		case "-n":
			return args[1] != ""
		case "-z":
			return args[1] == ""
		case "!":
			return args[1] == ""
		}
	case 3:
		switch args[1] {
		case "=", "==":
			return args[0] == args[2]
		case "!=":
			return args[0] != args[2]
		}
	}
	return false
}
