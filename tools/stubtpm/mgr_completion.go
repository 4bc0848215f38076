package main

import (
	"fmt"
	"slices"
	"strings"
)

// completion prints a shell's completion script.
func completion(m *mgrRun) error {
	script, ok := map[string]func() string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}[m.args[0]]
	if !ok {
		return fmt.Errorf("%w: want bash, zsh or fish", errUsage)
	}
	_, err := fmt.Fprint(m.out, script())
	return err
}

// firstWords returns the first words of all orders.
func firstWords() (words []string) {
	for _, o := range orders() {
		first, _, _ := strings.Cut(o.name, " ")
		if !slices.Contains(words, first) {
			words = append(words, first)
		}
	}
	return words
}

// secondWords returns the words that can follow a first word; none if it is an order.
func secondWords(first string) (words []string) {
	for _, o := range orders() {
		if second, ok := strings.CutPrefix(o.name, first+" "); ok {
			words = append(words, second)
		}
	}
	return words
}

func commandNames() string {
	s := "help version"
	for _, c := range commands() {
		s += " " + c.name
	}
	return s
}

func dashAll(names []string) string {
	var s []string
	for _, n := range names {
		s = append(s, dash(n))
	}
	return strings.Join(s, " ")
}

// valueFlags returns the flags that take a value, as a shell pattern.
func valueFlags() string {
	var s []string
	for _, name := range sortedFlags() {
		if flagTable()[name].value != "" {
			s = append(s, "-"+name, "--"+name)
		}
	}
	return strings.Join(s, "|")
}

// cases calls branch for each position on a command line, with its pattern, the words to
// offer, and whether files are allowed too.
func cases(branch func(pattern, offer string, files bool) string) string {
	var b strings.Builder
	first := strings.Join(firstWords(), " ")
	b.WriteString(branch("''", commandNames()+" "+first, false))
	b.WriteString(branch("mgr", "help "+dashAll(strings.Fields(commonFlags))+" "+first, false))
	for _, w := range firstWords() {
		if second := secondWords(w); second != nil {
			b.WriteString(branch(w+"|'mgr "+w+"'", strings.Join(second, " "), false))
		}
	}
	for _, o := range orders() {
		p := strings.ReplaceAll(o.name, " ", `\ `)
		offer := dashAll(o.flagNames())
		if o.name == "completion" {
			offer = "bash zsh fish " + offer
		}
		b.WriteString(branch(fmt.Sprintf(`%s|%[1]s\ *|mgr\ %[1]s|mgr\ %[1]s\ *`, p), offer, true))
	}
	return b.String()
}

// wordsBefore is shell code, for bash and zsh, that collects in `words` what precedes the
// cursor, without flags and their values.
const wordsBefore = `  local w skip= words=
  for w in %s; do
    if [ -n "$skip" ]; then skip=; continue; fi
    case "$w" in
    %s) skip=1;;
    -*) ;;
    *) words="$words${words:+ }$w";;
    esac
  done
`

func bashCompletion() string {
	return "_stubtpm() {\n  local word=${COMP_WORDS[COMP_CWORD]}\n" +
		fmt.Sprintf(wordsBefore, `"${COMP_WORDS[@]:1:COMP_CWORD-1}"`, valueFlags()) +
		"  if [ -n \"$skip\" ]; then COMPREPLY=($(compgen -f -- \"$word\")); return; fi\n  case \"$words\" in\n" +
		cases(func(pattern, offer string, files bool) string {
			f := ""
			if files {
				f = "-f "
			}
			return fmt.Sprintf("  %s) COMPREPLY=($(compgen %s-W '%s' -- \"$word\"));;\n", pattern, f, offer)
		}) + "  esac\n}\ncomplete -F _stubtpm stubtpm\n"
}

func zshCompletion() string {
	return "#compdef stubtpm\n_stubtpm() {\n  local -a before\n  before=(\"${(@)words[2,CURRENT-1]}\")\n" +
		fmt.Sprintf(wordsBefore, `"${before[@]}"`, valueFlags()) +
		"  if [ -n \"$skip\" ]; then _files; return; fi\n  case \"$words\" in\n" +
		cases(func(pattern, offer string, files bool) string {
			f := ""
			if files {
				f = "; _files"
			}
			return fmt.Sprintf("  %s) compadd -- %s%s;;\n", pattern, offer, f)
		}) + "  esac\n}\nif [ \"$funcstack[1]\" = _stubtpm ]; then _stubtpm \"$@\"; else compdef _stubtpm stubtpm; fi\n"
}

func fishCompletion() string {
	var b strings.Builder
	line := func(when, format string, args ...any) {
		fmt.Fprintf(&b, "complete -c stubtpm -n '%s' "+format+"\n", append([]any{when}, args...)...)
	}
	quote := func(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), "'", `\'`) }
	first := strings.Join(firstWords(), " ")
	line("not __fish_seen_subcommand_from "+commandNames()+" "+first, "-f -a '%s'", commandNames())
	for _, o := range orders() {
		name, second, two := strings.Cut(o.name, " ")
		seen := "__fish_seen_subcommand_from " + name
		if !two {
			line("not __fish_seen_subcommand_from "+first, "-f -a %s -d '%s'", name, quote(o.help))
		} else {
			line("not __fish_seen_subcommand_from "+first, "-f -a %s", name)
			line(seen+"; and not __fish_seen_subcommand_from "+strings.Join(secondWords(name), " "), "-f -a %s -d '%s'", second, quote(o.help))
			seen += "; and __fish_seen_subcommand_from " + second
		}
		for _, f := range o.flagNames() {
			kind := "-l"
			if len(f) == 1 {
				kind = "-s"
			}
			value := ""
			if flagTable()[f].value != "" {
				value = " -r"
			}
			line(seen, "%s %s%s -d '%s'", kind, f, value, quote(flagTable()[f].help))
		}
	}
	return b.String()
}
