package doorbell

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"stubtpm/drivers/crb"
	"stubtpm/drivers/eventlog"
	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/abi"
	"stubtpm/drivers/xen/xenbus"
	"stubtpm/image/launch"
	"stubtpm/vtpm/tcg"
)

// TestTables checks what a kernel checks in tables: lengths, sums and addresses.
func TestTables(t *testing.T) {
	t.Parallel()
	m := newMachine(&world{})
	m.put(crb.TablesFrame*xen.PageSize, []byte{0})
	for range 2 { // a second time changes nothing
		if err := addTables(m, rsdpAt); err != nil {
			t.Fatal(err)
		}
		_, at, err := readRSDP(m, rsdpAt)
		if err != nil {
			t.Fatal(err)
		}
		xsdt := readTable(t, m, at, "XSDT")
		if len(xsdt) != tableHeader+4*8 {
			t.Fatalf("XSDT of %d bytes", len(xsdt))
		}
		if old := binary.LittleEndian.Uint64(xsdt[tableHeader:]); old != 0xFC001000 {
			t.Errorf("its first table is at %#x", old)
		}
		if got := readTable(t, m, binary.LittleEndian.Uint64(xsdt[tableHeader+16:]), "SSDT"); !bytes.Equal(got, ssdt) {
			t.Error("another SSDT")
		}
		tpm2 := readTable(t, m, binary.LittleEndian.Uint64(xsdt[tableHeader+24:]), "TPM2")
		if control, log := binary.LittleEndian.Uint64(tpm2[40:]), binary.LittleEndian.Uint64(tpm2[68:]); len(tpm2) != tpm2Size || control != 0xFED45000 || log != 0xFED50000 || tpm2[48] != 2 {
			t.Errorf("TPM2: %x", tpm2)
		}
	}
	m.put(rsdpAt+5, []byte{'!'})
	if err := addTables(m, rsdpAt); !errors.Is(err, errTables) {
		t.Errorf("a root pointer with a wrong sum: %v", err)
	}
}

func readTable(t *testing.T, m *machine, at uint64, signature string) []byte {
	t.Helper()
	b := make([]byte, tableHeader)
	if _, err := m.ReadAt(b, int64(at)); err != nil {
		t.Fatal(err)
	}
	b = make([]byte, binary.LittleEndian.Uint32(b[tableLength:]))
	if _, err := m.ReadAt(b, int64(at)); err != nil {
		t.Fatal(err)
	}
	if string(b[:4]) != signature || sum(b) != 0 {
		t.Errorf("%s at %#x: %x", signature, at, b[:tableHeader])
	}
	return b
}

// TestSSDT compiles the source of the table that is embedded.
func TestSSDT(t *testing.T) {
	t.Parallel()
	iasl, err := exec.LookPath("iasl")
	if err != nil {
		t.Skip("iasl (package acpica-tools) is not installed")
	}
	dir := t.TempDir()
	if out, err := exec.Command(iasl, "-p", filepath.Join(dir, "ssdt"), "ssdt.asl").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got, err := os.ReadFile(filepath.Join(dir, "ssdt.aml"))
	if err != nil {
		t.Fatal(err)
	}
	// The compiler's version, in the header, may differ.
	if !bytes.Equal(got[tableHeader:], ssdt[tableHeader:]) {
		t.Errorf("iasl makes %x of ssdt.asl", got)
	}
}

// FuzzTables: a guest's memory can hold anything where the tables should be.
func FuzzTables(f *testing.F) {
	m := newMachine(&world{})
	for _, at := range []int64{rsdpAt, xsdtAt} {
		b := make([]byte, 64)
		m.ReadAt(b, at)
		f.Add(b, b)
	}
	f.Fuzz(func(t *testing.T, rsdp, xsdt []byte) {
		m := newMachine(&world{})
		m.put(crb.TablesFrame*xen.PageSize, []byte{0})
		rsdp = append(bytes.Clone(rsdp), make([]byte, rsdpSize)...)[:rsdpSize]
		copy(rsdp, "RSD PTR ")
		rsdp[rsdpChecksum] = 0
		rsdp[rsdpChecksum] = sum(rsdp)
		m.put(rsdpAt, rsdp)
		m.put(xsdtAt, xsdt[:min(len(xsdt), 2000)])
		if addTables(m, rsdpAt) != nil {
			return
		}
		if _, at, err := readRSDP(m, rsdpAt); err != nil || at>>12 != crb.TablesFrame {
			t.Errorf("the root pointer points to %#x, %v", at, err)
		}
	})
}

// await waits until the guest is served.
func (w *world) await(by xen.DomID) {
	w.t.Helper()
	if !w.served(by, w.ctx.Done()) {
		state, _ := w.Store.Get("/local/domain/2/backend/crb/5/state")
		w.t.Fatalf("not served: %q; the vTPM's directory has state %q", w.said(), state)
	}
}

// served reports whether the guest was served before something ended.
func (w *world) served(by xen.DomID, ended <-chan struct{}) bool {
	want := fmt.Sprintf("domain 5: served by domain %d", by)
	for {
		if slices.Contains(w.said(), want) {
			return true
		}
		select {
		case <-ended:
			return false
		case <-time.After(time.Millisecond):
		}
	}
}

// measured reports whether the PCRs are what was measured, and in the guest's log.
func (w *world) measured() bool {
	w.t.Helper()
	want, err := launch.Measure(w.machine, startAt, programAt, w.options(), usualBanks)
	if err != nil {
		w.t.Fatal(err)
	}
	area := make([]byte, eventlog.AreaSize)
	if _, err := w.machine.ReadAt(area, crb.LogFrame*xen.PageSize); err != nil {
		w.t.Fatal(err)
	}
	log, _, err := eventlog.Parse(area)
	if err != nil {
		return false
	}
	w.tpm.mu.Lock()
	defer w.tpm.mu.Unlock()
	for _, bank := range usualBanks {
		a, err := want.Log.Replay(bank)
		if err != nil {
			w.t.Fatal(err)
		}
		b, err := log.Replay(bank)
		if err != nil {
			return false
		}
		for pcr, value := range a {
			if !bytes.Equal(b[pcr], value) || !bytes.Equal(w.readPCR(bank, pcr), value) {
				return false
			}
		}
	}
	return !w.tpm.capped
}

// readPCR reads a PCR. Precondition: the TPM is locked.
func (w *world) readPCR(bank tcg.TPMAlgID, pcr uint32) []byte {
	b := []byte{0x80, 1, 0, 0, 0, 20, 0, 0, 1, 0x7E, 0, 0, 0, 1, byte(bank >> 8), byte(bank), 3, 0, 0, 0}
	b[17+pcr/8] = 1 << (pcr % 8)
	r := w.tpm.TPM.Execute(0, b)
	return r[10+4+4+6+4+2:]
}

// TestMeasured: a new guest is measured before it runs, and is held until then.
func TestMeasured(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.daemon(-1)
	w.toolstack()
	w.await(vtpmDom)
	if !w.measured() {
		t.Error("the PCRs are not those of the start")
	}
	if s, err := xenbus.WaitReopen(w.ctx, w.dom0.Store, testBase+"/state", xenbus.Closed); err != nil {
		t.Errorf("the device's state is %v, %v", s, err)
	}
	if w.machine.paused != 0 || !w.machine.ran || w.machine.servers != 1 {
		t.Errorf("paused %d times, runs: %v, %d servers", w.machine.paused, w.machine.ran, w.machine.servers)
	}
	if _, ok := w.Store.Get("/local/domain/5/device/vtpm/0/state"); ok {
		t.Error("the frontend is still there")
	}
}

// TestKilled ends the process at each of its accesses to the guest, and another one takes
// over: the guest then runs as measured, and never runs while its TPM takes signals.
func TestKilled(t *testing.T) {
	t.Parallel()
	killed(t, 25, newWorld, func(t *testing.T, w *world) {
		if !w.measured() || w.destroyed {
			t.Errorf("the PCRs are not those of the start, destroyed: %v\n%q", w.destroyed, w.said())
		}
		if w.machine.servers != 1 {
			t.Errorf("%d servers", w.machine.servers)
		}
	})
}

// TestReleasedTwice: the guest runs, although the call that had it run failed. It is not
// measured again while it runs.
func TestReleasedTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.machine.fails = true
	w.daemon(-1)
	w.toolstack()
	w.await(vtpmDom)
	if !w.measured() || w.destroyed {
		t.Errorf("the PCRs are not those of the start, destroyed: %v\n%q", w.destroyed, w.said())
	}
}

// TestKeyLost: a process that measures ends anywhere, and the next one has no key. The
// guest runs, and has the PCRs of a start only if all was measured.
func TestKeyLost(t *testing.T) {
	t.Parallel()
	for left := range 30 {
		t.Run(fmt.Sprint(left), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			xl := w.killAt(left)
			_, all := w.Store.Get(testBase + "/" + nodeMeasured)
			w.keyless = true
			w.daemon(-1)
			w.awaitRun(xl)
			w.tpm.mu.Lock()
			defer w.tpm.mu.Unlock()
			if w.tpm.used && !all && !w.tpm.capped {
				t.Error("what was measured in part counts")
			}
		})
	}
}

// TestRing: the guest's access to the port reaches the TPM, also of a later domain, and
// after the process was restarted.
func TestRing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, stop := w.daemon(-1)
	w.toolstack()
	w.await(vtpmDom)
	w.command("at first")
	stop()
	w.request() // nobody answers it yet
	w.daemon(-1)
	w.response("after the process was restarted")
	for _, path := range []string{"/libxl/2", "/local/domain/2"} {
		if err := w.dom0.Store.Remove(w.ctx, path); err != nil {
			t.Fatal(err)
		}
		// Without its device only, it is being connected to another manager.
		if path == "/libxl/2" {
			w.command("without the device of the vTPM's domain")
		}
	}
	w.startTPM(7)
	w.await(7)
	w.command("with another domain of the vTPM")
}

// request writes a command and rings, as the guest's ACPI method makes it.
func (w *world) request() {
	control := w.machine.pages[crb.ControlFrame]
	w.machine.pages[crb.BufferFrame].CopyIn(0, []byte{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7B, 0, 8}) // TPM2_GetRandom
	control.Store32(0x0C, 1)
	p := w.machine.server.page
	p.Store8(abi.IOReqType, abi.IOReqPIO)
	p.Store8(abi.IOReqState, abi.IOReqReady)
}

// response waits until the access has ended, and the command.
func (w *world) response(when string) {
	w.t.Helper()
	p, control := w.machine.server.page, w.machine.pages[crb.ControlFrame]
	for p.Load8(abi.IOReqState)&abi.IOReqStateMask != abi.IOReqResponse || control.Load32(0x0C) != 0 {
		if w.ctx.Err() != nil {
			w.t.Fatalf("no response %s: %q", when, w.said())
		}
		time.Sleep(time.Millisecond)
	}
	var b [10]byte
	w.machine.pages[crb.BufferFrame].CopyOut(b[:], 0)
	if b != [10]byte{0x80, 1, 0, 0, 0, 20} {
		w.t.Errorf("%s: response %x", when, b)
	}
	// A guest that moves meanwhile takes it along.
	for !w.machine.server.knows(crb.ControlFrame) || !w.machine.server.knows(crb.BufferFrame) {
		if w.ctx.Err() != nil {
			w.t.Fatalf("%s: Xen does not know what the vTPM has written", when)
		}
		time.Sleep(time.Millisecond)
	}
}

func (w *world) command(when string) {
	w.t.Helper()
	w.request()
	w.ringAll()
	w.response(when)
}

// TestNotMeasured: a guest that was restored, or that has run without the daemon, is
// never measured.
func TestNotMeasured(t *testing.T) {
	t.Parallel()
	for _, poses := range []bool{false, true} {
		w := newWorld(t)
		w.machine.restored, w.machine.poses = true, poses
		for _, f := range frames() {
			w.machine.pages[f] = xen.NewPage()
		}
		w.daemon(-1)
		w.toolstack()
		w.await(vtpmDom)
		if w.tpm.reported || w.measured() {
			t.Errorf("a guest that was restored counts as measured, poses as new: %v", poses)
		}
	}
	w := newWorld(t)
	w.machine.ran, w.machine.paused = true, 0
	w.daemon(-1)
	for len(w.said()) == 0 && w.ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if got := fmt.Sprint(w.said()); got != "[domain 5: "+ErrUnprepared.Error()+"]" || w.tpm.reported {
		t.Errorf("it says %s", got)
	}
}

// TestRefused: a guest that its vTPM refuses does not start.
func TestRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.tpm.refuse = true
	w.daemon(-1)
	for w.ctx.Err() == nil {
		w.mu.Lock()
		destroyed := w.destroyed
		w.mu.Unlock()
		if destroyed {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if w.ctx.Err() != nil || w.machine.ran {
		t.Errorf("destroyed: %v, runs: %v, %q", w.ctx.Err() == nil, w.machine.ran, w.said())
	}
}

// TestToolstackFails: a new guest is measured although nobody could tell at first whether it
// runs, also one that a process before this one held.
func TestToolstackFails(t *testing.T) {
	t.Parallel()
	for _, left := range []int{0, 26, 28} {
		w := newWorld(t)
		xl := make(chan struct{})
		go func() { w.toolstack(); close(xl) }()
		ended, stop := w.daemon(left)
		w.served(vtpmDom, ended)
		stop()
		w.machine.mu.Lock()
		w.machine.unknown = 1
		w.machine.mu.Unlock()
		w.daemon(-1)
		<-xl
		w.await(vtpmDom)
		if w.machine.notRun() == nil || !w.measured() {
			t.Errorf("after %d accesses of the process before: %q", left, w.said())
		}
	}
}

// TestNotTaken: a guest whose start the manager refuses is destroyed. One that could not be
// reported yet is held until it can.
func TestNotTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.reports = errors.New("no manager")
	w.daemon(-1)
	w.toolstack()
	time.Sleep(10 * time.Millisecond)
	w.mu.Lock()
	w.reports = nil
	destroyed := w.destroyed
	w.mu.Unlock()
	w.await(vtpmDom)
	if destroyed || !w.measured() {
		t.Errorf("while there was no manager: destroyed %v; %q", destroyed, w.said())
	}
	w = newWorld(t)
	w.reports = ErrNotTaken
	w.daemon(-1)
	for destroyed = false; !destroyed && w.ctx.Err() == nil; time.Sleep(time.Millisecond) {
		w.mu.Lock()
		destroyed = w.destroyed
		w.mu.Unlock()
	}
	if !destroyed || w.machine.ran {
		t.Errorf("refused by the manager: destroyed %v, ran %v; %q", destroyed, w.machine.ran, w.said())
	}
}

func TestBucket(t *testing.T) {
	t.Parallel()
	var b bucket
	now := time.Unix(1, 0)
	for i := range ringBurst {
		if d := b.take(now); d != 0 {
			t.Fatalf("ring %d waits %v", i, d)
		}
	}
	for i := range 10 {
		if d := b.take(now); d != time.Duration(i+1)*ringRest {
			t.Errorf("ring %d beyond the burst waits %v", i, d)
		}
	}
	if d := b.take(now.Add(time.Hour)); d != 0 {
		t.Errorf("after an hour a ring waits %v", d)
	}
}
