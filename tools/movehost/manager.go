package movehost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// A Manager is this host's, by `stubtpm mgr`.
type Manager struct {
	// Command is the command with its flags, such as stubtpm mgr -domain vtpmmgr.
	Command []string
}

// ErrRefused means that the manager does not do a step. It has not done it before, either, or
// says so for good.
var ErrRefused = errors.New("movehost: the manager refuses")

// errUndone means that a step has failed at the manager, such as by its hardware TPM: it may have
// done it before.
var errUndone = errors.New("movehost: the manager fails")

// Exit codes of `stubtpm mgr` after a refusal, and after a step that failed.
const (
	exitRefused = 3
	exitUndone  = 7
)

// step has the manager do a step of a move: the word after move, with more words. in is given as
// a file if it is not nil. The answer is nil if nothing was written.
func (m *Manager) step(ctx context.Context, in []byte, step string, more ...string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "stubtpm-move")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	words := append(append(slices.Clone(m.Command), "move", step), more...)
	if in != nil {
		file := filepath.Join(dir, "in")
		if err := os.WriteFile(file, in, 0o600); err != nil {
			return nil, err
		}
		words = append(words, file)
	}
	out := filepath.Join(dir, "out")
	if step != "finish" {
		words = append(words, "-o", out)
	}
	said, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() && exit.ExitCode() == exitRefused {
		return nil, fmt.Errorf("%w: %s", ErrRefused, bytes.TrimSpace(said))
	}
	if exit != nil && exit.Exited() && exit.ExitCode() == exitUndone {
		return nil, fmt.Errorf("%w: %s", errUndone, bytes.TrimSpace(said))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, bytes.TrimSpace(said))
	}
	b, err := os.ReadFile(out)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return b, err
}
