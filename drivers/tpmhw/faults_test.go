package tpmhw

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"
)

// exchangeOK sends a command and compares the answer.
func exchangeOK(t *testing.T, tpm TPM, n int) {
	t.Helper()
	r, err := tpm.Send(command(n))
	if err != nil || !bytes.Equal(r, echo(command(n))) {
		t.Fatalf("%d bytes: %v", n, err)
	}
}

// answer is a response of 20 bytes whose header says size.
func answer(size, code uint32) func([]byte) []byte {
	return func([]byte) []byte {
		b := command(20)
		binary.BigEndian.PutUint32(b[2:], size)
		binary.BigEndian.PutUint32(b[6:], code)
		return b
	}
}

// stuck makes bits of one register read as ones or zeros.
func stuck(reg int, set, clear uint32) func(int, uint32) uint32 {
	return func(off int, v uint32) uint32 {
		if off == reg {
			v = v&^clear | set
		}
		return v
	}
}

// TestEveryStep breaks one register for the length of one command. That
// command fails with the error that says why, in bounded time, and the next
// one works.
func TestEveryStep(t *testing.T) {
	t.Parallel()
	ones := func(int, uint32) uint32 { return 0xFFFFFFFF }
	for _, c := range []struct {
		name  string
		crb   bool
		fault func(int, uint32) uint32
		exec  func([]byte) []byte
		hang  bool
		want  error
	}{
		{name: "fifo: bus reads ones", fault: ones, want: ErrTimeout},
		{name: "fifo: locality taken away", fault: stuck(regAccess, 0, accessActive), want: ErrTimeout},
		{name: "fifo: status reads ones", fault: stuck(regStatus, 0xFFFFFFFF, 0), want: ErrReset},
		{name: "fifo: never ready", fault: stuck(regStatus, 0, statusCommandReady), want: ErrTimeout},
		{name: "fifo: burst of zero", fault: stuck(regStatus, 0, 0xFFFF00), want: ErrTimeout},
		{name: "fifo: status never valid", fault: stuck(regStatus, 0, statusValid), want: ErrTimeout},
		{name: "fifo: never expects", fault: stuck(regStatus, 0, statusExpect), want: ErrReset},
		{name: "fifo: always expects", fault: stuck(regStatus, statusExpect, 0), want: ErrReset},
		{name: "fifo: no data", fault: stuck(regStatus, 0, statusDataAvail), want: ErrTimeout},
		{name: "fifo: data never ends", fault: stuck(regStatus, statusDataAvail, 0), want: ErrResponse},
		{name: "fifo: hangs", hang: true, want: ErrTimeout},
		{name: "fifo: response too short", exec: answer(9, 0), want: ErrResponse},
		{name: "fifo: response too long", exec: answer(MaxSize+1, 0), want: ErrResponse},
		{name: "fifo: response of all ones", exec: answer(0xFFFFFFFF, 0), want: ErrResponse},
		{name: "fifo: response shorter than its size", exec: answer(30, 0), want: ErrTimeout},
		{name: "fifo: response longer than its size", exec: answer(15, 0), want: ErrResponse},
		{name: "crb: bus reads ones", crb: true, fault: ones, want: ErrTimeout},
		{name: "crb: locality taken away", crb: true, fault: stuck(regLocStatus, 0, locGranted), want: ErrTimeout},
		{name: "crb: never ready", crb: true, fault: stuck(ctrlArea+areaReq, reqReady, 0), want: ErrTimeout},
		{name: "crb: never idle", crb: true, fault: stuck(ctrlArea+areaReq, reqIdle, 0), want: ErrTimeout},
		{name: "crb: start reads ones", crb: true, fault: stuck(ctrlArea+areaStart, 0xFFFFFFFF, 0), want: ErrReset},
		{name: "crb: fatal error", crb: true, fault: stuck(ctrlArea+areaStatus, statusError, 0), want: ErrReset},
		{name: "crb: hangs", crb: true, hang: true, want: ErrTimeout},
		{name: "crb: response too short", crb: true, exec: answer(9, 0), want: ErrResponse},
		{name: "crb: response beyond the buffer", crb: true, exec: answer(4000, 0), want: ErrResponse},
		{name: "crb: response of all ones", crb: true, exec: answer(0xFFFFFFFF, 0), want: ErrResponse},
	} {
		exec := echo
		run := func(b []byte) []byte { return exec(b) }
		fifo, crb := newSimTIS(run), newSimCRB(run)
		var regs Registers = fifo
		if c.crb {
			regs = crb
		}
		clock := &fakeClock{now: time.Unix(0, 0)}
		tpm, err := open(regs, nil, clock)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		exchangeOK(t, tpm, 50)
		if c.exec != nil {
			exec = c.exec
		}
		fifo.fault, crb.fault, fifo.hang, crb.hang = c.fault, c.fault, c.hang, c.hang
		start := clock.now
		if _, err := tpm.Send(command(50)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if d := clock.now.Sub(start); d > commandTimeout+10*time.Second {
			t.Errorf("%s: took %v", c.name, d)
		}
		if c.crb && c.hang && crb.cancelled != 1 {
			t.Errorf("%s: cancelled %d times", c.name, crb.cancelled)
		}
		exec, fifo.fault, crb.fault, fifo.hang, crb.hang = echo, nil, nil, false, false
		exchangeOK(t, tpm, 50)
	}
}

// TestClose gives the locality up; the next command takes it again.
func TestClose(t *testing.T) {
	t.Parallel()
	fifo, crb := newSimTIS(echo), newSimCRB(echo)
	for _, regs := range []Registers{fifo, crb} {
		tpm, err := open(regs, nil, new(fakeClock))
		if err != nil {
			t.Fatal(err)
		}
		if err := tpm.Close(); err != nil || fifo.active && regs == Registers(fifo) || crb.assigned {
			t.Errorf("%T: locality is not given up: %v", regs, err)
		}
		exchangeOK(t, tpm, 10)
	}
}

// TestBusyTPM has a TPM ask for the command again, up to the last try.
func TestBusyTPM(t *testing.T) {
	t.Parallel()
	for _, code := range []uint32{rcRetry, rcYielded, rcTesting, rcNVRate, rcNVUnavailable} {
		for _, times := range []int{1, maxTries - 1, maxTries} {
			n := 0
			tpm, err := open(newSimTIS(func(b []byte) []byte {
				if n++; n <= times {
					return answer(20, code)(b)
				}
				return echo(b)
			}), nil, new(fakeClock))
			if err != nil {
				t.Fatal(err)
			}
			r, err := tpm.Send(command(30))
			if err != nil {
				t.Fatal(err)
			}
			gaveUp := binary.BigEndian.Uint32(r[6:]) == code
			if gaveUp != (times == maxTries) || n != min(times+1, maxTries) {
				t.Errorf("code %#x %d times: gave up %v after %d tries", code, times, gaveUp, n)
			}
		}
	}
}
