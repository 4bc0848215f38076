package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// copyTools copies go-tpm-tools into dir, with our simulator for its own, and
// returns the copy's directory.
func copyTools(dir, here string) (string, error) {
	b, err := exec.Command("go", "mod", "download", "-json", toolsModule+"@"+toolsVersion).Output()
	var m struct{ Dir, Error string }
	if e := json.Unmarshal(b, &m); e != nil || m.Error != "" {
		return "", fmt.Errorf("go mod download: %w %s", err, m.Error)
	}
	out := filepath.Join(dir, "go-tpm-tools")
	if err := os.CopyFS(out, os.DirFS(m.Dir)); err != nil {
		return "", err
	}
	// The module cache is read-only, and its copy is so too.
	err = filepath.WalkDir(out, func(path string, d os.DirEntry, err error) error {
		if err == nil {
			err = os.Chmod(path, 0o755)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	sim := filepath.Join(out, "simulator")
	test, err := os.ReadFile(filepath.Join(sim, "simulator_test.go"))
	if err != nil {
		return "", err
	}
	if err := os.RemoveAll(sim); err != nil {
		return "", err
	}
	if err := os.CopyFS(sim, os.DirFS(filepath.Join(here, "shim/simulator"))); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(sim, "simulator_test.go"), test, 0o644); err != nil {
		return "", err
	}
	root := filepath.Dir(filepath.Dir(here))
	for _, f := range []string{"go.work", "go.work.sum"} {
		os.Remove(filepath.Join(out, f))
	}
	cmd := exec.Command("go", "mod", "edit", "-require=stubtpm@v0.0.0", "-replace=stubtpm="+root)
	cmd.Dir = out
	if b, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go mod edit: %w: %s", err, b)
	}
	// What our device needs beyond go-tpm-tools' own list; the sums are ours.
	return out, appendSums(filepath.Join(out, "go.sum"), filepath.Join(root, "go.sum"))
}

func appendSums(to, from string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(to, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}
