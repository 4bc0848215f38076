package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"stubtpm/tools/hosted"
)

// Control commands and blob types (swtpm_ioctls(3)).
const (
	ctlInit, ctlStop, ctlStoreVolatile, ctlGetBlob, ctlSetBlob = 2, 0x0E, 0x0A, 0x0C, 0x0D

	blobPermanent, blobVolatile = 1, 2
)

// A snapshot is a TPM at one moment: what the model knows of it, and its state
// as bytes.
type snapshot struct {
	started             bool
	pcr                 [32]byte
	counter             uint64
	permanent, volatile []byte
}

// A hostedModel drives the real device over the control channel and knows the
// expected results.
type hostedModel struct {
	t       *testing.T
	dir     string
	files   *hosted.StateDir
	machine *hosted.Machine
	ctrl    net.Conn
	trace   []string

	on    bool
	now   snapshot  // of the running TPM
	file  *snapshot // in the volatile state's file
	fresh bool      // no command ran since the file was written or resumed from
	saved *snapshot // blobs taken by the host
}

func (h *hostedModel) fatal(format string, args ...any) {
	h.t.Helper()
	h.t.Fatalf("%s\nafter %v", fmt.Sprintf(format, args...), h.trace)
}

// begin is the start of a process.
func (h *hostedModel) begin() {
	files, err := hosted.OpenStateDir(h.dir, hosted.StateOptions{NoSync: true})
	if err != nil {
		h.fatal("open: %v", err)
	}
	open, err := openDevice(func(string, ...any) {}, "")
	if err != nil {
		h.fatal("device: %v", err)
	}
	h.files, h.machine = files, hosted.NewMachine(open, files, nil)
	client, server := net.Pipe()
	client.SetDeadline(time.Now().Add(time.Minute))
	h.ctrl = client
	go (&hosted.Control{Machine: h.machine}).Serve(server)
	h.on = false
}

// end is the end of a process, by a signal that it sees or by one that it does
// not see.
func (h *hostedModel) end(kill bool) {
	if !kill {
		h.machine.PowerOff()
	}
	h.ctrl.Close()
	h.files.Close()
}

func (h *hostedModel) control(answer int, body []byte, words ...uint32) []byte {
	h.t.Helper()
	var b []byte
	for _, w := range words {
		b = binary.BigEndian.AppendUint32(b, w)
	}
	if b = append(b, body...); len(b) > 0 {
		if _, err := h.ctrl.Write(b); err != nil {
			h.fatal("control %x: %v", words, err)
		}
	}
	rsp := make([]byte, answer)
	for n := 0; n < answer; {
		m, err := h.ctrl.Read(rsp[n:])
		if err != nil {
			h.fatal("control %x: %v", words, err)
		}
		n += m
	}
	return rsp
}

// blob is CMD_GET_STATEBLOB as QEMU sends it: with PTM_STATE_FLAG_DECRYPTED.
func (h *hostedModel) blob(typ uint32) []byte {
	head := h.control(16, nil, ctlGetBlob, 1, typ, 0)
	if binary.BigEndian.Uint32(head) != 0 {
		h.fatal("get blob %d: %x", typ, head)
	}
	return h.control(int(binary.BigEndian.Uint32(head[12:])), nil)
}

// command runs a TPM command, whose header is completed, and returns the
// response code and what follows it.
func (h *hostedModel) command(tag uint16, code uint32, body ...byte) (uint32, []byte) {
	cmd := binary.BigEndian.AppendUint16(nil, tag)
	cmd = binary.BigEndian.AppendUint32(cmd, uint32(10+len(body)))
	cmd = append(binary.BigEndian.AppendUint32(cmd, code), body...)
	rsp := h.machine.Execute(0, cmd)
	h.fresh = false
	return binary.BigEndian.Uint32(rsp[6:]), rsp[10:]
}

var (
	emptyAuth  = []byte{0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0}
	ownerIndex = []byte{0x40, 0, 0, 1, 1, 0x80, 0, 1}
)

func (h *hostedModel) define() {
	body := append([]byte{0x40, 0, 0, 1}, emptyAuth...)
	// An NV counter that the owner reads and writes, without dictionary attack protection.
	body = append(body, 0, 0, 0, 14, 1, 0x80, 0, 1, 0, 0x0B, 0x02, 0x02, 0x00, 0x12, 0, 0, 0, 8)
	if rc, _ := h.command(0x8002, 0x12A, body...); rc != 0 {
		h.fatal("NV_DefineSpace: 0x%X", rc)
	}
	h.increment()
}

func (h *hostedModel) increment() {
	if rc, _ := h.command(0x8002, 0x134, append(bytes.Clone(ownerIndex), emptyAuth...)...); rc != 0 {
		h.fatal("NV_Increment: 0x%X", rc)
	}
	h.now.counter++
}

func (h *hostedModel) extend(r *rand.Rand) {
	d := sha256.Sum256(binary.BigEndian.AppendUint64(nil, r.Uint64()))
	body := append([]byte{0, 0, 0, 0}, emptyAuth...)
	body = append(append(body, 0, 0, 0, 1, 0, 0x0B), d[:]...)
	if rc, _ := h.command(0x8002, 0x182, body...); rc != 0 {
		h.fatal("PCR_Extend: 0x%X", rc)
	}
	h.now.pcr = sha256.Sum256(append(h.now.pcr[:], d[:]...))
}

// look compares the TPM with the model. It runs no command that the model does
// not count: what it needs of freshness is asked before.
func (h *hostedModel) look() {
	h.t.Helper()
	if !h.on {
		return
	}
	fresh := h.fresh
	rc, rsp := h.command(0x8001, 0x17E, 0, 0, 0, 1, 0, 0x0B, 3, 1, 0, 0)
	if !h.now.started {
		if rc != 0x100 {
			h.fatal("a TPM before TPM2_Startup answers PCR_Read with 0x%X", rc)
		}
		return
	}
	if rc != 0 || len(rsp) < 32 || !bytes.Equal(rsp[len(rsp)-32:], h.now.pcr[:]) {
		h.fatal("PCR_Read: 0x%X, %x, want %x (fresh %v)", rc, rsp, h.now.pcr, fresh)
	}
	rc, rsp = h.command(0x8002, 0x14E, append(append(bytes.Clone(ownerIndex), emptyAuth...), 0, 8, 0, 0)...)
	if rc != 0 || len(rsp) < 14 || binary.BigEndian.Uint64(rsp[6:]) != h.now.counter {
		h.fatal("NV_Read: 0x%X, %x, want %d", rc, rsp, h.now.counter)
	}
}

// init is CMD_INIT. What it resumes from is the file, if it belongs to the
// permanent state; a file whose TPM ran no command since must belong to it.
func (h *hostedModel) init(remove bool) {
	flag := uint32(0)
	if remove {
		flag = 1
	}
	mustResume := h.file != nil && h.fresh
	if rc := binary.BigEndian.Uint32(h.control(4, nil, ctlInit, flag)); rc != 0 {
		h.fatal("CMD_INIT: 0x%X", rc)
	}
	h.on = true
	rc, _ := h.command(0x8001, 0x17B, 0, 4) // GetRandom: was it resumed?
	resumed := rc == 0
	switch {
	case resumed && h.file == nil:
		h.fatal("resumed from nothing")
	case resumed:
		counter := h.now.counter
		h.now = *h.file
		h.now.counter = counter // the permanent state never goes back
		if remove {
			h.file = nil
		}
	case mustResume && h.file.started:
		h.fatal("CMD_INIT did not resume: 0x%X", rc)
	default:
		h.now.started = false
		h.file = nil
	}
}

func (h *hostedModel) startup(state bool) {
	su := byte(0)
	if state {
		su = 1
	}
	rc, _ := h.command(0x8001, 0x144, 0, su)
	switch {
	case rc == 0:
		h.now.started = true
		if !state {
			h.now.pcr = [32]byte{}
		}
	case !state:
		h.fatal("TPM2_Startup(CLEAR): 0x%X", rc)
	}
}

// step does something that a host or a guest may do at any time.
func (h *hostedModel) step(r *rand.Rand) {
	n := r.IntN(12)
	h.trace = append(h.trace, []string{"kill", "term", "init", "init", "stop", "startup", "extend", "increment", "store", "save", "load", "store+term"}[n])
	ready := h.on && h.now.started
	switch {
	case n == 0 || n == 1:
		h.end(n == 0)
		h.begin()
		h.init(r.IntN(2) == 0)
	case n == 2 || n == 3:
		h.init(n == 2)
	case n == 4:
		h.control(4, nil, ctlStop)
		h.on = false
		h.init(false)
	case n == 5 && h.on && !h.now.started:
		// Only after an orderly shutdown does STATE keep the PCRs; the model follows CLEAR.
		h.startup(false)
	case n == 6 && ready:
		h.extend(r)
	case n == 7 && ready:
		h.increment()
	case (n == 8 || n == 11) && ready:
		if rc := binary.BigEndian.Uint32(h.control(4, nil, ctlStoreVolatile)); rc != 0 {
			h.fatal("CMD_STORE_VOLATILE: 0x%X", rc)
		}
		f := h.now
		h.file, h.fresh = &f, true
		if n == 11 {
			h.end(r.IntN(2) == 0)
			h.begin()
			h.init(r.IntN(2) == 0)
		}
	case n == 9 && ready:
		s := h.now
		s.permanent, s.volatile = h.blob(blobPermanent), h.blob(blobVolatile)
		if len(s.volatile) == 0 {
			h.fatal("the volatile state of a running TPM has no bytes")
		}
		h.saved = &s
	case n == 10 && h.saved != nil:
		h.load()
	}
}

// load puts the blobs that were taken back, as QEMU does to resume.
func (h *hostedModel) load() {
	s := *h.saved
	h.control(4, nil, ctlStop)
	for typ, b := range map[uint32][]byte{blobPermanent: s.permanent, blobVolatile: s.volatile} {
		if rc := binary.BigEndian.Uint32(h.control(4, b, ctlSetBlob, 0, typ, uint32(len(b)))); rc != 0 {
			h.fatal("set blob %d: 0x%X", typ, rc)
		}
	}
	if rc := binary.BigEndian.Uint32(h.control(4, nil, ctlInit, 1)); rc != 0 {
		h.fatal("CMD_INIT with the blobs: 0x%X", rc)
	}
	h.on, h.now, h.file, h.fresh = true, s, nil, false
}

// TestHostedStateModel plays random sequences of what hosts, guests and kills
// do. The TPM always starts on the directory that the last process left, its
// counter never goes back, and what was stored or saved last is what is resumed.
func TestHostedStateModel(t *testing.T) {
	for seed := range uint64(40) {
		h := &hostedModel{t: t, dir: t.TempDir()}
		r := rand.New(rand.NewPCG(seed, 1))
		h.begin()
		h.init(false)
		h.startup(false)
		h.define()
		for range 60 {
			h.step(r)
			if r.IntN(3) == 0 {
				h.look()
			}
		}
		h.look()
		h.end(false)
	}
}
