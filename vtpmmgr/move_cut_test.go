package vtpmmgr

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/block"
	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/hwtpm"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// signMove signs the move that an error asks for, as the administrator.
func signMove(t *testing.T, disk block.Device, err error) []byte {
	t.Helper()
	r, e := hwtpm.ReadRecord(disk)
	if e != nil {
		t.Fatal(e)
	}
	return ed25519.Sign(testAdmin, proto.SignedMove(r.ID(), challengeOf(t, err)))
}

// A recordCut is a disk on which the power goes at the first write of the root record.
type recordCut struct{ *blocktest.Mem }

func (d recordCut) WriteAt(b []byte, at int64) (int, error) {
	if at < hwtpm.Area {
		return 0, errors.New("cut")
	}
	return d.Mem.WriteAt(b, at)
}

// cutMove orders a move that is cut off between the commit of the ledger and the root
// record. It returns the order.
func cutMove(t *testing.T, cfg Config, disk *blocktest.Mem) []byte {
	t.Helper()
	_, err := OpenMoved(cfg, nil)
	order := signMove(t, disk, err)
	cfg.Disk = recordCut{disk}
	if _, err := OpenMoved(cfg, order); err == nil {
		t.Fatal("the move was not cut off")
	}
	return order
}

// TestCutMove: a move that was cut off after its commit cannot be given up. Nothing goes on
// with the old indices, which are still there; and once it is completed the disk as the
// cut left it is refused, without a signature and with the one of then.
func TestCutMove(t *testing.T) {
	t.Parallel()
	for _, mode := range []ledger.Mode{{}, {Daily: 54}, {Bounded: 5e9}} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			tpm, disk := hardwareTPM(t), blocktest.NewMem(testDisk)
			cfg := Config{TPM: tpm, Disk: disk, Log: func(string, ...any) {}, Mode: mode}
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			m, err := Initialize(cfg, testSetup())
			must(err)
			must(enroll(connect(t, m, Peer{}), testUUID))
			_, end := live(t, m, Peer{Domain: 5, UUID: testUUID}, 3)
			end()
			must(m.Close())
			order := cutMove(t, cfg, disk)
			kept := bytes.Clone(disk.Data)
			for range 2 {
				reset(t, tpm)
				if _, err := Open(cfg); !errors.Is(err, hwtpm.ErrMoved) {
					t.Fatalf("a start by the old indices: %v", err)
				}
			}
			m, err = OpenMoved(cfg, nil)
			must(err)
			_, end = live(t, m, Peer{Domain: 5, UUID: testUUID}, 9)
			end()
			must(connect(t, m, Peer{}).Destroy(testUUID))
			must(m.Close())
			newest := bytes.Clone(disk.Data)
			copy(disk.Data, kept)
			if _, err := Open(cfg); !errors.Is(err, hwtpm.ErrMoved) {
				t.Errorf("the disk as the cut left it: %v", err)
			}
			for _, signature := range [][]byte{nil, order} {
				if _, err := OpenMoved(cfg, signature); !errors.Is(err, ErrMove) {
					t.Errorf("the disk as the cut left it, with the word move: %v", err)
				}
			}
			copy(disk.Data, newest)
			m, err = Open(cfg)
			must(err)
			must(m.Close())
		})
	}
}

// TestMoveNotOrdered: the word move without a signature leaves no index on the chip for good,
// which has room for few.
func TestMoveNotOrdered(t *testing.T) {
	t.Parallel()
	tpm, disk := hardwareTPM(t), blocktest.NewMem(testDisk)
	cfg := Config{TPM: tpm, Disk: disk, Log: func(string, ...any) {}, Mode: ledger.Mode{Daily: 54}}
	if _, err := Initialize(cfg, testSetup()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		OpenMoved(cfg, nil)
		reset(t, tpm)
	}
	m, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: uint32(anchorHandle), PropertyCount: 64}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	if list, _ := r.CapabilityData.Data.Handles(); len(list.Handle) != 2 {
		t.Errorf("indices %x are there, of a manager that never moved", list.Handle)
	}
}

// reset is one of the platform.
func reset(t *testing.T, tpm transport.TPM) {
	t.Helper()
	tpm.(hardware).d.Init()
	if _, err := (tpm2.Startup{StartupType: tpm2.TPMSUClear}).Execute(tpm); err != nil {
		t.Fatal(err)
	}
}
