package hosted_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/tools/hosted/tpmproc"
)

// killFor is how long TestKill goes on: -kill 10m is the long run.
var killFor = flag.Duration("kill", 10*time.Second, "how long TestKill kills the hosted process")

// Things in the killed TPM.
const (
	killCounter = 0x01800010 // NV_Increment
	killData    = 0x01800011 // NV_Write
	killSpace   = 0x01800012 // defined and undefined
	killKey     = 0x81000010 // made persistent and evicted

	killDataSize = 512
)

// A ledger is what the client of a TPM knows of its state: the last answer,
// and what a command sent after it, and not answered, would have made of it.
type ledger struct {
	counter, data uint64 // data is the number that the index is filled with
	space, key    bool
	pending       func(l *ledger) // nil if all was answered
}

// is reports whether two ledgers have the same state.
func (l ledger) is(m ledger) bool {
	return l.counter == m.counter && l.data == m.data && l.space == m.space && l.key == m.key
}

// step runs one command and keeps the book. An error leaves the command
// pending.
func (l *ledger) step(effect func(l *ledger), run func() error) error {
	l.pending = effect
	if err := run(); err != nil {
		return err
	}
	effect(l)
	l.pending = nil
	return nil
}

// nv returns the index with its present Name.
func nv(tpm transport.TPM, index tpm2.TPMHandle) (tpm2.NamedHandle, error) {
	r, err := tpm2.NVReadPublic{NVIndex: index}.Execute(tpm)
	if err != nil {
		return tpm2.NamedHandle{}, err
	}
	return tpm2.NamedHandle{Handle: index, Name: r.NVName}, nil
}

func defineNV(tpm transport.TPM, index tpm2.TPMHandle, size uint16, kind tpm2.TPMNT) error {
	_, err := tpm2.NVDefineSpace{AuthHandle: tpm2.TPMRHOwner, PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{
		NVIndex: index, NameAlg: tpm2.TPMAlgSHA256, DataSize: size,
		Attributes: tpm2.TPMANV{OwnerWrite: true, OwnerRead: true, NT: kind, NoDA: true},
	})}.Execute(tpm)
	return err
}

// filled is the data index's contents for a number: torn writes show.
func filled(n uint64) []byte {
	return bytes.Repeat(binary.BigEndian.AppendUint64(nil, n), killDataSize/8)
}

// killClient sends commands that change the permanent state.
type killClient struct {
	tpm           transport.TPM
	counter, data tpm2.NamedHandle
	key           tpm2.NamedHandle // transient
}

func newKillClient(tpm transport.TPM) (k killClient, err error) {
	k.tpm = tpm
	if k.counter, err = nv(tpm, killCounter); err != nil {
		return k, err
	}
	if k.data, err = nv(tpm, killData); err != nil {
		return k, err
	}
	key, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(tpm)
	if err == nil {
		k.key = tpm2.NamedHandle{Handle: key.ObjectHandle, Name: key.Name}
	}
	return k, err
}

// one sends one command.
func (k *killClient) one(l *ledger, r *rand.Rand) error {
	switch r.IntN(8) {
	case 0:
		want := !l.space
		return l.step(func(l *ledger) { l.space = want }, func() error {
			if want {
				return defineNV(k.tpm, killSpace, 32, tpm2.TPMNTOrdinary)
			}
			h, err := nv(k.tpm, killSpace)
			if err == nil {
				_, err = tpm2.NVUndefineSpace{AuthHandle: tpm2.TPMRHOwner, NVIndex: h}.Execute(k.tpm)
			}
			return err
		})
	case 1:
		want := !l.key
		return l.step(func(l *ledger) { l.key = want }, func() error {
			object := k.key
			if !want {
				object.Handle = killKey
			}
			_, err := tpm2.EvictControl{Auth: tpm2.TPMRHOwner, ObjectHandle: &object, PersistentHandle: killKey}.Execute(k.tpm)
			return err
		})
	case 2, 3, 4:
		n := l.data + 1
		return l.step(func(l *ledger) { l.data = n }, func() error {
			_, err := tpm2.NVWrite{AuthHandle: tpm2.TPMRHOwner, NVIndex: k.data,
				Data: tpm2.TPM2BMaxNVBuffer{Buffer: filled(n)}}.Execute(k.tpm)
			return err
		})
	}
	n := l.counter + 1
	return l.step(func(l *ledger) { l.counter = n }, func() error {
		_, err := tpm2.NVIncrement{AuthHandle: tpm2.TPMRHOwner, NVIndex: k.counter}.Execute(k.tpm)
		return err
	})
}

// readLedger asks a TPM for what the ledger is about.
func readLedger(tpm transport.TPM) (l ledger, err error) {
	read := func(index tpm2.TPMHandle, size uint16) ([]byte, error) {
		h, err := nv(tpm, index)
		if err != nil {
			return nil, err
		}
		r, err := tpm2.NVRead{AuthHandle: tpm2.TPMRHOwner, NVIndex: h, Size: size}.Execute(tpm)
		if err != nil {
			return nil, err
		}
		return r.Data.Buffer, nil
	}
	b, err := read(killCounter, 8)
	if err != nil {
		return l, fmt.Errorf("counter: %w", err)
	}
	l.counter = binary.BigEndian.Uint64(b)
	if b, err = read(killData, killDataSize); err != nil {
		return l, fmt.Errorf("data: %w", err)
	}
	l.data = binary.BigEndian.Uint64(b)
	if !bytes.Equal(b, filled(l.data)) {
		return l, fmt.Errorf("data is torn: %x", b)
	}
	if l.space, err = exists(tpm, killSpace); err != nil {
		return l, err
	}
	l.key, err = exists(tpm, killKey)
	return l, err
}

func exists(tpm transport.TPM, h tpm2.TPMHandle) (bool, error) {
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: uint32(h), PropertyCount: 1}.Execute(tpm)
	if err != nil {
		return false, err
	}
	list, err := r.CapabilityData.Data.Handles()
	return err == nil && len(list.Handle) == 1 && list.Handle[0] == h, err
}

// TestKill kills the hosted device by SIGKILL at random moments, in service
// and while it starts, and checks after each start that nothing it had
// answered is lost, and that a command that got no answer happened as a whole
// or not at all. (A killed process leaves the kernel's cache of its files: what
// a loss of power does to them is TestSaveCut's business.)
func TestKill(t *testing.T) {
	const leastKills = 4
	limit := *killFor
	if testing.Short() {
		limit = min(limit, 2*time.Second)
	}
	dir := t.TempDir()
	program, err := tpmproc.Build(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, uint64(limit)))
	var book ledger
	var kills, stillborn, answered, pending, happened int

	for end := time.Now().Add(limit); time.Now().Before(end) || kills < leastKills; kills++ {
		if kills > 0 && r.IntN(4) == 0 {
			dieStarting(t, program, dir, time.Duration(r.IntN(30))*time.Millisecond)
			stillborn++
		}
		p, err := tpmproc.Start(program, dir)
		if err != nil {
			t.Fatalf("after %d kills: %v", kills, err)
		}
		defer p.Stop() // a second Stop does nothing
		tpm, err := tpmproc.Dial(p.Data)
		if err != nil {
			t.Fatal(err)
		}
		if kills == 0 {
			if book, err = firstLedger(tpm); err != nil {
				t.Fatal(err)
			}
		}
		found, err := readLedger(tpm)
		if err != nil {
			t.Fatalf("after %d kills: %v", kills, err)
		}
		if book.pending != nil {
			after := book
			after.pending(&after)
			if pending++; found.is(after) {
				book = after
				happened++
			}
			book.pending = nil
		}
		if !found.is(book) {
			t.Fatalf("after %d kills: the TPM has %+v, answered was %+v", kills, found, book)
		}
		client, err := newKillClient(tpm)
		if err != nil {
			t.Fatal(err)
		}
		// Counted in answers, and in time for one command only: a busy machine is as
		// good as a fast one.
		answers := 1 + r.IntN(60)
		for err = client.one(&book, r); err == nil; err = client.one(&book, r) {
			if answers--; answers == 0 {
				time.AfterFunc(time.Duration(r.IntN(3000))*time.Microsecond, func() {
					syscall.Kill(p.PID(), syscall.SIGKILL)
				})
			}
			answered++
		}
		if rc := tpm2.TPMRC(0); errors.As(err, &rc) {
			t.Fatalf("after %d kills: %v", kills, err) // an answer, and not success
		}
		p.Stop()
		tpm.Close()
	}
	t.Logf("%d kills, %d more while starting; %d commands answered; of %d that were not, %d had happened",
		kills, stillborn, answered, pending, happened)
	if answered < 10*kills || pending < kills/2 {
		t.Error("too few to show anything")
	}
}

// firstLedger makes the things in a new TPM that the ledger is about.
func firstLedger(tpm transport.TPM) (l ledger, err error) {
	if err := defineNV(tpm, killCounter, 8, tpm2.TPMNTCounter); err != nil {
		return l, err
	}
	if err := defineNV(tpm, killData, killDataSize, tpm2.TPMNTOrdinary); err != nil {
		return l, err
	}
	h, err := nv(tpm, killCounter)
	if err != nil {
		return l, err
	}
	if _, err := (tpm2.NVIncrement{AuthHandle: tpm2.TPMRHOwner, NVIndex: h}).Execute(tpm); err != nil {
		return l, err
	}
	if h, err = nv(tpm, killData); err != nil {
		return l, err
	}
	if _, err := (tpm2.NVWrite{AuthHandle: tpm2.TPMRHOwner, NVIndex: h,
		Data: tpm2.TPM2BMaxNVBuffer{Buffer: filled(0)}}).Execute(tpm); err != nil {
		return l, err
	}
	return readLedger(tpm)
}

// dieStarting starts the TPM and kills it after a time in which it may not
// even have sent itself TPM2_Startup.
func dieStarting(t *testing.T, program []string, dir string, after time.Duration) {
	t.Helper()
	args := append(program[1:len(program):len(program)], "--tpm2", "--tpmstate", "dir="+dir,
		"--server", "type=unixio,path="+filepath.Join(dir, "sock"), "--flags", "not-need-init,startup-clear")
	cmd := exec.Command(program[0], args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after)
	cmd.Process.Kill()
	cmd.Wait()
}
