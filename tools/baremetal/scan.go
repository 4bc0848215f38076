package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// An instruction is a line of go tool objdump.
type instruction struct {
	file string // source file and line
	addr string
	code []byte
	text string
}

// systemCalls are the encodings of the instructions that enter a kernel. A unikernel
// has no kernel below it: executed, each would raise an exception or worse.
var systemCalls = []struct {
	code []byte
	name string
}{
	{[]byte{0x0f, 0x05}, "SYSCALL"},
	{[]byte{0x0f, 0x34}, "SYSENTER"},
	{[]byte{0xcd, 0x80}, "INT 0x80"},
}

// scanImage fails if the image holds an instruction that calls a kernel. It
// returns the number of instructions seen.
func scanImage(image string) (int, error) {
	cmd := exec.Command("go", "tool", "objdump", image)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	n, scanErr := scan(out)
	if scanErr != nil {
		io.Copy(io.Discard, out)
	}
	if err := cmd.Wait(); err != nil {
		return n, fmt.Errorf("go tool objdump %s: %w: %s", image, err, errs.String())
	}
	if scanErr == nil && n == 0 {
		scanErr = fmt.Errorf("no instructions found")
	}
	if scanErr != nil {
		return n, fmt.Errorf("%s: %w", image, scanErr)
	}
	return n, nil
}

// scan reads a disassembly.
func scan(r io.Reader) (int, error) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	var name string
	var function []instruction
	n := 0
	for s.Scan() {
		line := s.Text()
		if strings.HasPrefix(line, "TEXT ") {
			if err := scanFunction(name, function); err != nil {
				return n, err
			}
			name, function = line, function[:0]
			continue
		}
		f := strings.FieldsFunc(line, func(c rune) bool { return c == '\t' })
		if len(f) < 4 {
			continue
		}
		code, err := hex.DecodeString(strings.TrimSpace(f[2]))
		if err != nil {
			return n, fmt.Errorf("disassembly: %q: %w", line, err)
		}
		function = append(function, instruction{strings.TrimSpace(f[0]), strings.TrimSpace(f[1]), code, f[3]})
		n++
	}
	if err := s.Err(); err != nil {
		return n, err
	}
	return n, scanFunction(name, function)
}

// scanFunction looks for the byte sequences of system calls. One where an instruction
// starts is a system call. One inside an instruction is part of a number, if
// the disassembly can be trusted: what the compiler made is, hand-written assembly is
// not, because the disassembler does not know all vector instructions and may
// lose step. There the source decides.
func scanFunction(name string, function []instruction) error {
	var code []byte
	var owner []int // of each byte, the index in function
	for i, in := range function {
		for range in.code {
			owner = append(owner, i)
		}
		code = append(code, in.code...)
	}
	for _, c := range systemCalls {
		for at := 0; ; at++ {
			k := bytes.Index(code[at:], c.code)
			if k < 0 {
				break
			}
			at += k
			in := function[owner[at]]
			start := at == 0 || owner[at-1] != owner[at]
			assembly := strings.Contains(in.file, ".s:")
			if assembly && namesNoCall(name) {
				continue
			}
			if start || assembly {
				return fmt.Errorf("%s at %s, %s in %s: %s", c.name, in.addr, in.file, name, in.text)
			}
		}
	}
	return nil
}

// callName matches the name of a system call in an assembly file, rawCode a directive that
// writes out bytes, and rawNumber one whose bytes are a number.
var (
	callName  = regexp.MustCompile(`\b(SYSCALL|SYSENTER|INT)\b`)
	rawCode   = regexp.MustCompile(`\b(BYTE|WORD|LONG|QUAD)\b`)
	rawNumber = regexp.MustCompile(`\b(BYTE|WORD|LONG|QUAD)\s+\$(0[xX][0-9a-fA-F]+|[0-9]+)`)
)

// namesNoCall reports whether the function at a TEXT line of the disassembly is
// from an assembly file of the standard library in which no system call can be:
// then the bytes are part of an address that the linker filled in.
func namesNoCall(text string) bool {
	file := text[strings.LastIndexByte(text, ' ')+1:]
	goroot, err := goEnv("GOROOT")
	if err != nil || !filepath.IsLocal(file) {
		return false
	}
	source, err := os.ReadFile(filepath.Join(goroot, "src", file))
	return err == nil && !callName.Match(source) && !writesCall(source)
}

// writesCall reports whether the bytes that an assembly file writes out may have a system
// call among them, whatever is between two directives.
func writesCall(source []byte) bool {
	numbers := rawNumber.FindAllSubmatch(source, -1)
	if len(numbers) != len(rawCode.FindAll(source, -1)) {
		return true
	}
	size := map[string]int{"BYTE": 1, "WORD": 2, "LONG": 4, "QUAD": 8}
	var code []byte
	for _, n := range numbers {
		v, err := strconv.ParseUint(string(n[2]), 0, 64)
		if err != nil {
			return true
		}
		code = append(code, binary.LittleEndian.AppendUint64(nil, v)[:size[string(n[1])]]...)
	}
	for _, c := range systemCalls {
		if bytes.Contains(code, c.code) {
			return true
		}
	}
	return false
}
