// Package qtest reads and writes the registers of a virtual machine's TPM over
// QEMU's qtest protocol (QEMU documentation, "QTest Device Emulation Testing
// Framework"). The machine needs no guest, and its processors may be stopped.
package qtest

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"stubtpm/drivers/tpmhw"
)

// Registers are those of the TPM. Reads are all ones after an error, which Err
// returns.
type Registers struct {
	mu  sync.Mutex
	r   *bufio.Reader
	w   io.Writer
	err error
}

var _ tpmhw.Registers = (*Registers)(nil)

// New returns the registers behind a qtest connection.
func New(conn io.ReadWriter) *Registers { return &Registers{r: bufio.NewReader(conn), w: conn} }

// TPM returns the TPM as software at a locality, 0 to 4, drives it. It must be
// closed before another locality is used.
func (r *Registers) TPM(locality int) (tpmhw.TPM, error) {
	tpm, err := tpmhw.Open(tpmhw.Window(r, locality*0x1000), nil)
	if qerr := r.Err(); qerr != nil {
		return nil, qerr
	}
	return tpm, err
}

// Err returns the first error of the connection or of the machine.
func (r *Registers) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *Registers) Read8(off int) uint8       { return uint8(r.access("readb %#x", tpmhw.Base+off)) }
func (r *Registers) Read32(off int) uint32     { return r.access("readl %#x", tpmhw.Base+off) }
func (r *Registers) Write8(off int, v uint8)   { r.access("writeb %#x %#x", tpmhw.Base+off, v) }
func (r *Registers) Write32(off int, v uint32) { r.access("writel %#x %#x", tpmhw.Base+off, v) }

// access makes one access and returns what was read.
func (r *Registers) access(format string, args ...any) uint32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return 0xFFFFFFFF
	}
	v, err := r.ask(fmt.Sprintf(format, args...))
	if err != nil {
		r.err = fmt.Errorf("qtest: %w", err)
		return 0xFFFFFFFF
	}
	return v
}

// ask sends a request, one line, and returns the number in its answer: "OK", or
// "OK 0x...". Lines about interrupts come in between.
func (r *Registers) ask(request string) (uint32, error) {
	if _, err := io.WriteString(r.w, request+"\n"); err != nil {
		return 0, err
	}
	for {
		line, err := r.r.ReadString('\n')
		if err != nil {
			return 0, err
		}
		switch f := strings.Fields(line); {
		case len(f) > 0 && f[0] == "IRQ":
		case len(f) == 1 && f[0] == "OK":
			return 0, nil
		case len(f) == 2 && f[0] == "OK":
			v, err := strconv.ParseUint(f[1], 0, 64)
			return uint32(v), err
		default:
			return 0, fmt.Errorf("%s: answered %q", request, line)
		}
	}
}
