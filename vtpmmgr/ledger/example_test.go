package ledger_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/ledger"
)

// A chip is an Anchor in memory: an NV index and a PCR.
type chip struct{ index, pcr [32]byte }

func extend(v *[32]byte, d [32]byte) { *v = sha256.Sum256(append(v[:], d[:]...)) }

func (c *chip) Value() ([32]byte, error)         { return c.index, nil }
func (c *chip) Extend(d [32]byte) error          { extend(&c.index, d); return nil }
func (c *chip) Chain() ([32]byte, uint64, error) { return c.pcr, 1, nil }
func (c *chip) Link(d [32]byte) error            { extend(&c.pcr, d); return nil }

// What is committed is found again. A disk that was put back to an earlier time is
// not taken: the anchor knows better.
func ExampleOpen() {
	disk := blocktest.NewMem(128 << 10)
	cfg := ledger.Config{Disk: disk, Manager: ledger.ID{1}, Key: make([]byte, ledger.KeySize), Anchor: new(chip)}
	s, err := ledger.Format(cfg)
	if err != nil {
		panic(err)
	}
	item := ledger.ID{7}
	if err := s.Commit(ledger.Change{ID: item, Body: []byte("first")}); err != nil {
		panic(err)
	}
	old := bytes.Clone(disk.Data)
	if err := s.Commit(ledger.Change{ID: item, Body: []byte("second")}); err != nil {
		panic(err)
	}
	if err := s.Close(); err != nil {
		panic(err)
	}

	s, err = ledger.Open(cfg)
	if err != nil {
		panic(err)
	}
	body, err := s.Get(item)
	fmt.Printf("%s %v\n", body, err)
	s.Close()

	copy(disk.Data, old)
	_, err = ledger.Open(cfg)
	fmt.Println(errors.Is(err, ledger.ErrRolledBack))
	// Output:
	// second <nil>
	// true
}
