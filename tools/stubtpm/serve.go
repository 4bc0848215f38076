package main

import (
	"errors"
	"fmt"
	"io"

	"stubtpm/tools/hosted"
)

func serve(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	return report(stderr, "serve", hosted.RunServe(args, openDevice, stdout, stderr))
}

func socket(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	return report(stderr, "socket", hosted.RunSocket(args, openDevice, version, stdout, stderr))
}

// report prints an error and returns the exit code.
func report(stderr io.Writer, name string, err error) int {
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "stubtpm %s: %v\n", name, err)
	if errors.Is(err, hosted.ErrUsage) {
		return exitUsage
	}
	return exitFail
}

func chardev(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	return report(stderr, "chardev", hosted.RunChardev(args, openDevice, version, stdout, stderr))
}
