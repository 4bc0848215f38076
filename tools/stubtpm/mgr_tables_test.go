package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTables holds what comes from the tables against them.
func TestTables(t *testing.T) {
	t.Parallel()
	flags, used := flagTable(), map[string]bool{}
	h := &site{t: t, dir: t.TempDir()}
	code, help, _ := h.run("", "help")
	if code != exitOK {
		t.Errorf("help: %d", code)
	}
	man := string(mgrPage())
	names := map[string]bool{}
	for _, o := range orders() {
		if names[o.name] || o.help == "" || strings.HasSuffix(o.help, ".") || o.more != "" && !strings.HasSuffix(o.more, ".") {
			t.Errorf("%s: there twice, or its help is not in the form of the others", o.name)
		}
		names[o.name] = true
		for _, f := range o.flagNames() {
			if _, ok := flags[f]; !ok {
				t.Errorf("%s: no flag %s", o.name, f)
			}
			used[f] = true
		}
		if !strings.Contains(help, "  "+o.name) {
			t.Errorf("%s is not in the help", o.name)
		}
		if !strings.Contains(man, `\fB`+roff(o.name)+`\fR`) {
			t.Errorf("%s is not in the manual page", o.name)
		}
		code, text, _ := h.run("", append(strings.Fields(o.name), "--help")...)
		if code != exitOK || !strings.Contains(text, "usage: stubtpm mgr "+o.name) {
			t.Errorf("%s --help: %d, %s", o.name, code, text)
		}
		for _, f := range o.flagNames() {
			if !strings.Contains(text, "  "+flagSynopsis(f)) {
				t.Errorf("%s --help does not tell %s:\n%s", o.name, f, text)
			}
		}
		if found := findOrder(append(strings.Fields(o.name), "x")); found == nil || found.name != o.name {
			t.Errorf("%s: found as %+v", o.name, found)
		}
	}
	for name := range flags {
		if !used[name] {
			t.Errorf("no order has the flag %s", name)
		}
		if !strings.Contains(man, `\fB`+roff(flagSynopsis(name))+`\fR`) {
			t.Errorf("flag %s is not in the manual page", name)
		}
	}
	for _, c := range commands() {
		if names[c.name] {
			t.Errorf("%s is an order and a command", c.name)
		}
	}
	for _, e := range examples() {
		_, after, ok := strings.Cut(e, "stubtpm mgr ")
		words := strings.FieldsFunc(after, func(r rune) bool { return r == ' ' || r == ')' })
		for len(words) > 0 && strings.HasPrefix(words[0], "--") {
			words = words[1:]
		}
		if !ok || findOrder(words) == nil {
			t.Errorf("example without an order: %s", e)
		}
	}
}

// TestManPages has a roff program read the pages.
func TestManPages(t *testing.T) {
	t.Parallel()
	h := &site{t: t, dir: t.TempDir()}
	h.do("man", h.dir)
	var linters [][]string
	for _, l := range [][]string{{"mandoc", "-T", "lint", "-W", "warning"}, {"groff", "-man", "-ww", "-z", "-Tutf8"}} {
		if _, err := exec.LookPath(l[0]); err != nil {
			t.Logf("%s is not installed: the pages are not read by it", l[0])
			continue
		}
		linters = append(linters, l)
	}
	for _, name := range []string{"man1/stubtpm.1", "man8/stubtpm-mgr.8"} {
		file := filepath.Join(h.dir, name)
		if b, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(b), ".TH STUBTPM") {
			t.Errorf("%s: %v, %.40s", name, err, b)
		}
		for _, l := range linters {
			out, err := exec.Command(l[0], append(l[1:], file)...).CombinedOutput()
			if text := strings.TrimSpace(string(out)); err != nil || text != "" {
				t.Errorf("%s of %s: %v\n%s", l[0], name, err, text)
			}
		}
	}
}

// TestCompletion has shells read their scripts.
func TestCompletion(t *testing.T) {
	t.Parallel()
	h := &site{t: t, dir: t.TempDir()}
	for shell, check := range map[string][]string{"bash": {"-n"}, "zsh": {"-n"}, "fish": {"--no-execute"}} {
		out := h.do("completion", shell)
		for _, o := range orders() {
			for _, w := range strings.Fields(o.name) {
				if !strings.Contains(out, w) {
					t.Errorf("%s: nothing of %s", shell, o.name)
				}
			}
		}
		file := h.file(shell)
		if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := exec.LookPath(shell); err != nil {
			t.Logf("%s is not installed: it has not read its script", shell)
			continue
		}
		if b, err := exec.Command(shell, append(check, file)...).CombinedOutput(); err != nil || len(b) != 0 {
			t.Errorf("%s: %v\n%s", shell, err, b)
		}
	}
	h.refused(exitUsage, "want bash, zsh or fish", "completion", "tcsh")
}

// TestCompletes completes lines in the shells that there are.
func TestCompletes(t *testing.T) {
	t.Parallel()
	h := &site{t: t, dir: t.TempDir()}
	// Each prints what fits the last word.
	scripts := map[string]string{
		"bash": `. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _stubtpm; printf '%s\n' "${COMPREPLY[@]}"`,
		"zsh": `compdef() { }; _files() { }; compadd() { shift; for w; do [[ $w == $last* ]] && print -r -- $w; done }
			. "$0"; words=("$@"); CURRENT=$#; last=$words[-1]; _stubtpm; true`,
		"fish": `source "$argv[1]"; complete -C "$argv[2..-1]" | string replace -r '\t.*' ''; true`,
	}
	for shell, script := range scripts {
		if _, err := exec.LookPath(shell); err != nil {
			t.Logf("%s is not installed: what it completes is not known", shell)
			continue
		}
		if err := os.WriteFile(h.file(shell), []byte(h.do("completion", shell)), 0o600); err != nil {
			t.Fatal(err)
		}
		for line, want := range map[string]string{
			"stubtpm mg":                            "mgr",
			"stubtpm mgr enr":                       "enroll",
			"stubtpm mgr --key k enr":               "enroll",
			"stubtpm mgr --json enroll --rep":       "--replace",
			"stubtpm mgr enroll uuid --rep":         "--replace",
			"stubtpm mgr group cr":                  "create",
			"stubtpm mgr group create name --esc":   "--escrow",
			"stubtpm escrow reseal -o k --reco":     "--recovery",
			"stubtpm mgr audit-log ver":             "verify",
			"stubtpm mgr audit-log verify f --audi": "--audit-key",
		} {
			c := exec.Command(shell, append([]string{"-c", script, h.file(shell)}, strings.Fields(line)...)...)
			c.Dir = t.TempDir()
			c.Env = append(os.Environ(), "HOME="+h.dir)
			b, err := c.CombinedOutput()
			if err != nil || strings.TrimSpace(string(b)) != want {
				t.Errorf("%s completes %s by %q, %v; want %s", shell, line, b, err, want)
			}
		}
	}
}

func TestConfigs(t *testing.T) {
	t.Parallel()
	h := &site{t: t, dir: t.TempDir()}
	config := []string{"xl-config", "mail", testUUID, "--manager-disk", "/dev/vg/mgr", "--vtpm-disk", "/dev/vg/mail", "-o", h.dir}
	h.refused(exitUsage, "--vtpm-disk", config[:3]...)
	var v filesView
	h.json(&v, config...)
	if len(v.Written) != 3 {
		t.Errorf("xl-config: %+v", v)
	}
	if h.json(&v, config...); len(v.Written) != 0 {
		t.Errorf("xl-config again: %+v", v)
	}
	h.refused(exitFail, "differs", append(config, "--words", "guard=5s")...)
	h.refused(exitFail, "uuid", "xl-config", "mail", "nonsense", "--manager-disk", "/dev/vg/mgr", "--vtpm-disk", "/dev/vg/mail", "-o", h.dir)
}

// TestShortForm leaves the word mgr out.
func TestShortForm(t *testing.T) {
	t.Parallel()
	h := &site{t: t, dir: t.TempDir()}
	var out strings.Builder
	code := run([]string{"stubtpm", "audit-log", "verify", h.file("nothing")}, strings.NewReader(""), &out, &out)
	if code != exitFail || !strings.Contains(out.String(), "no such file") {
		t.Errorf("audit-log verify: %d, %s", code, out.String())
	}
}
