package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

func sortedFlags() []string { return slices.Sorted(maps.Keys(flagTable())) }

// completion prints what a shell reads to complete orders and their flags.
func completion(m *mgrRun) error {
	var names []string
	for _, o := range orders() {
		names = append(names, o.name)
	}
	all := strings.Join(names, " ")
	flagsOf := func(o order) string {
		s := ""
		for _, f := range strings.Fields("domain key json " + o.flags) {
			s += " -" + f
		}
		return strings.TrimSpace(s)
	}
	switch m.args[0] {
	case "bash":
		fmt.Fprintf(m.out, "_stubtpm() {\n  local word=${COMP_WORDS[COMP_CWORD]} order= w\n")
		fmt.Fprintf(m.out, "  [ \"$COMP_CWORD\" = 1 ] && { COMPREPLY=($(compgen -W 'serve socket mgr help version' -- \"$word\")); return; }\n")
		fmt.Fprintf(m.out, "  [ \"${COMP_WORDS[1]}\" = mgr ] || return\n")
		fmt.Fprintf(m.out, "  for w in \"${COMP_WORDS[@]:2:COMP_CWORD-2}\"; do case \" %s \" in *\" $w \"*) order=$w; break;; esac; done\n", all)
		fmt.Fprintf(m.out, "  case \"$order\" in\n  '') COMPREPLY=($(compgen -W '-domain -key -json %s' -- \"$word\"));;\n", all)
		for _, o := range orders() {
			fmt.Fprintf(m.out, "  %s) COMPREPLY=($(compgen -f -W '%s' -- \"$word\"));;\n", o.name, flagsOf(o))
		}
		fmt.Fprintf(m.out, "  esac\n}\ncomplete -F _stubtpm stubtpm\n")
	case "zsh":
		fmt.Fprintf(m.out, "#compdef stubtpm\nif (( CURRENT == 2 )); then\n  compadd serve socket mgr help version\n  return\nfi\n[[ $words[2] == mgr ]] || return\n")
		fmt.Fprintf(m.out, "local order=${words[(r)(%s)]}\ncase \"$order\" in\n", strings.Join(names, "|"))
		fmt.Fprintf(m.out, "'') compadd -- -domain -key -json %s;;\n", all)
		for _, o := range orders() {
			fmt.Fprintf(m.out, "%s) compadd -- %s; _files;;\n", o.name, flagsOf(o))
		}
		fmt.Fprintf(m.out, "esac\n")
	case "fish":
		fmt.Fprintf(m.out, "complete -c stubtpm -n __fish_use_subcommand -a 'serve socket mgr help version'\n")
		for _, o := range orders() {
			fmt.Fprintf(m.out, "complete -c stubtpm -f -n '__fish_seen_subcommand_from mgr; and not __fish_seen_subcommand_from %s' -a %s -d '%s'\n",
				all, o.name, strings.ReplaceAll(o.help, "'", `\'`))
			for _, f := range strings.Fields(o.flags) {
				fmt.Fprintf(m.out, "complete -c stubtpm -n '__fish_seen_subcommand_from %s' -o %s -d '%s'\n", o.name, f, strings.ReplaceAll(flagTable()[f].help, "'", `\'`))
			}
		}
	default:
		return fmt.Errorf("%w: shells are bash, zsh and fish", errUsage)
	}
	return nil
}
