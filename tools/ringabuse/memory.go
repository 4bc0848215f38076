package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"stubtpm/drivers/crb"
	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/devxen"
)

// tpmCRB is the directory of Linux's driver, which is taken off the device meanwhile.
const (
	tpmCRB    = "/sys/bus/acpi/drivers/tpm_crb/"
	crbDevice = "MSFT0101:00"
)

// abuseMemory does to a control area what abuse does to a ring.
func abuseMemory(ctx context.Context, duration time.Duration, r *rand.Rand, out io.Writer) error {
	if err := os.WriteFile(tpmCRB+"unbind", []byte(crbDevice), 0); err != nil {
		return err
	}
	defer os.WriteFile(tpmCRB+"bind", []byte(crbDevice), 0)
	port, err := os.OpenFile("/dev/port", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer port.Close()
	pages, unmap, err := devxen.MapPhysical(crb.ControlFrame, 1+crb.BufferPages)
	if err != nil {
		return err
	}
	defer unmap()
	ring := func() error {
		_, err := port.WriteAt([]byte{1}, crb.DoorbellPort)
		return err
	}
	return abusePages(ctx, pages, ring, duration, r, out)
}

// start is the offset of START in the control area, cancel that of CANCEL.
const (
	start  = 0x0C
	cancel = 0x08
)

// abusePages writes words and rings, and then uses the TPM as a driver does.
func abusePages(ctx context.Context, pages []*xen.Page, ring func() error, duration time.Duration, r *rand.Rand, out io.Writer) error {
	client := &crb.Client{Control: pages[0], Buffer: pages[1:], Ring: ring, Wait: func(ctx context.Context) error {
		select {
		case <-time.After(time.Millisecond):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	answers := func() error {
		ctx, stop := context.WithTimeout(ctx, time.Minute)
		defer stop()
		for pages[0].Load32(start)&1 != 0 { // what is under way
			if err := errors.Join(ring(), client.Wait(ctx)); err != nil {
				return err
			}
		}
		pages[0].Store32(cancel, 0)
		response, err := client.Transact(ctx, 0, []byte{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7B, 0, 8}) // TPM2_GetRandom
		if err == nil && len(response) < 10 {
			err = crb.ErrResponse
		}
		return err
	}
	if err := answers(); err != nil {
		return fmt.Errorf("before the abuse: %w", err)
	}
	count, done := 0, 0
	for end := time.Now().Add(duration); time.Now().Before(end); count++ {
		scribble(pages[1], r) // its length is at another place, and any bytes do
		if r.IntN(2) == 0 {
			pages[1].CopyIn(0, []byte{0x80, byte(1 + r.IntN(2)), 0, 0, byte(r.IntN(64)), 12, 0, 0, 1, byte(r.Uint32()), 0, 8})
		}
		pages[0].Store32(4*r.IntN(64), r.Uint32())
		if pages[0].Load32(start)&1 == 0 {
			done++
		}
		pages[0].Store32(start, []uint32{1, 1, 1, 0, 0xFFFFFFFF, r.Uint32()}[r.IntN(6)])
		if err := ring(); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "ringabuse: %d rings in %v; START was cleared %d times\n", count, duration, done)
	crb.Clear(pages[0])
	if err := answers(); err != nil {
		return fmt.Errorf("after the abuse: %w", err)
	}
	fmt.Fprintln(out, "ringabuse: the TPM answers after the abuse")
	return nil
}
