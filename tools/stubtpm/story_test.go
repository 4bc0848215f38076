package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets a script run this program as stubtpm.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"stubtpm": func() { os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// TestStories plays what an operator types, and what is answered: the scripts in
// testdata/story, each in a directory of its own.
func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/story", RequireExplicitExec: true})
}
