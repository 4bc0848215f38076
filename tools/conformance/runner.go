package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"stubtpm/tools/hosted/tpmproc"
)

// A runner runs suites.
type runner struct {
	here, root  string // directories of this module and of the project
	tmp, traces string
	tpm         string // another TPM, empty for this project's
	tools       string // the copy of go-tpm-tools, once made
}

// run executes the suite's tests.
func (r *runner) run(s suite) (*result, error) {
	dir := r.here
	if s.test != "" {
		dir = r.root
	}
	if s.copy {
		if r.tools == "" {
			var err error
			if r.tools, err = copyTools(r.tmp, r.here); err != nil {
				return nil, err
			}
		}
		dir = r.tools
	}
	version, err := s.version(r.here)
	if err != nil {
		return nil, err
	}
	trace, err := filepath.Abs(filepath.Join(r.traces, strings.ReplaceAll(s.name, "/", "-")+".trace"))
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(trace, nil, 0o644); err != nil {
		return nil, err
	}
	cmd := exec.Command("go", s.args()...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), tpmproc.TraceVariable+"="+trace, "GOWORK=off", "CGO_ENABLED=0")
	if s.test == "" {
		cmd.Env = append(cmd.Env, "GOFLAGS=-mod=mod", "CONFORMANCE_TPM="+r.tpm)
	} else {
		cmd.Env = append(cmd.Env, "STUBTPM_EVERYDAY=1", "EVERYDAY_TPM="+r.tpm, "HOSTED_TPM="+r.tpm)
	}
	stderr := new(strings.Builder)
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	res := &result{output: map[string][]string{}, version: version}
	res.read(out)
	err = cmd.Wait()
	res.took = time.Since(start)
	res.judge(s.known)
	if res.tests == (tally{}) {
		return nil, fmt.Errorf("no test ran: %w: %s%s", err, stderr, res.build)
	}
	if s.test != "" && res.subs != (tally{}) {
		res.tests, res.subs = res.subs, tally{}
	}
	if err != nil && len(res.failures) == 0 {
		// A test binary that dies loses the tests after it.
		res.tests.failed++
		res.failures = append(res.failures, "(the test process ended: "+err.Error()+")")
	}
	if res.commands, err = succeeded(trace); err != nil {
		return nil, err
	}
	return res, nil
}

// succeeded reads a trace's commands, those that the TPM carried out.
func succeeded(file string) (map[uint32]bool, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	codes := map[uint32]bool{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		rc, cmd, _ := strings.Cut(lines.Text(), " ")
		if rc != "000" || len(cmd) < 20 {
			continue
		}
		b, err := hex.DecodeString(cmd[12:20])
		if err != nil {
			return nil, err
		}
		codes[uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8|uint32(b[3])] = true
	}
	return codes, lines.Err()
}

// confdoc runs tools/confdoc.
func (r *runner) confdoc(stdout io.Writer, args ...string) error {
	cmd := exec.Command("go", append([]string{"run", "./tools/confdoc"}, args...)...)
	cmd.Dir = r.root
	cmd.Stdout, cmd.Stderr = stdout, os.Stderr
	return cmd.Run()
}
