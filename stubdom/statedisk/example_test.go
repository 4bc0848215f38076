package statedisk_test

import (
	"errors"
	"fmt"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/stubdom/statedisk"
)

// A state is saved into the slot that is not in use. It becomes the current one when
// the manager has acknowledged its version; an earlier one is then stale.
func Example() {
	d, err := statedisk.Open(blocktest.NewMem(statedisk.MinDisk), [16]byte{1})
	if err != nil {
		panic(err)
	}
	if err := d.Claim(); err != nil {
		panic(err)
	}
	key := make([]byte, statedisk.KeySize)
	first, err := d.Save(key, 1, []byte("first"))
	if err != nil {
		panic(err)
	}
	d.Confirm()
	second, err := d.Save(key, 2, []byte("second"))
	if err != nil {
		panic(err)
	}

	// Until Confirm both are there, whatever happens to the power.
	state, _, err := d.Load(key, &first)
	fmt.Printf("%s %v\n", state, err)
	d.Confirm()
	state, _, err = d.Load(key, &second)
	fmt.Printf("%s %v\n", state, err)

	// The third takes the place of the first.
	if _, err := d.Save(key, 3, []byte("third")); err != nil {
		panic(err)
	}
	_, _, err = d.Load(key, &first)
	fmt.Println(errors.Is(err, statedisk.ErrStale))
	// Output:
	// first <nil>
	// second <nil>
	// true
}
