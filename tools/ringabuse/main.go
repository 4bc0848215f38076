// Command ringabuse acts as a hostile guest at its TPM's ring. For some time it
// writes garbage, wrapping lengths and random states into the shared page and
// sends events; then it reconnects and checks that the TPM still responds.
//
// Synopsis:
//
//	ringabuse [-duration 1m] [-device 0] [-seed N] [-attach BACKEND -uuid UUID]
//	ringabuse -memory [-duration 1m] [-seed N]
//
// With -memory it abuses the control area and the doorbell of a TPM that tpm_crb drives,
// through /dev/mem and /dev/port, and takes the driver off the device meanwhile.
//
// It runs as root in a Linux domain that has a vtpm device and no driver on it
// (xen-tpmfront not loaded, or unbound). With -attach, in dom0, it first creates
// a device of its own, whose backend is the domain with that ID.
//
// The exit code is 0 if the TPM responds afterwards, 1 if it does not or the ring
// could not be opened, 2 for wrong usage.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"stubtpm/drivers/tpmif"
	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/devxen"
	"stubtpm/drivers/xen/xenbus"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("ringabuse", flag.ContinueOnError)
	flags.SetOutput(stderr)
	duration := flags.Duration("duration", time.Minute, "how long to abuse the ring")
	device := flags.Int("device", 0, "number of the vtpm device")
	seed := flags.Uint64("seed", 1, "of the random numbers")
	memory := flags.Bool("memory", false, "abuse a control area in memory")
	attach := flags.Int("attach", -1, "in dom0: make a device with this domain as backend")
	uuid := flags.String("uuid", "00000000-0000-0000-0000-000000000000", "with -attach: the device's uuid")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() > 0 || *duration < 0 || *attach > 0x7FEF {
		fmt.Fprintln(stderr, "ringabuse: wrong arguments; -h lists them")
		return 2
	}
	if *memory {
		if err := abuseMemory(context.Background(), *duration, rand.New(rand.NewPCG(*seed, 0)), stdout); err != nil {
			fmt.Fprintln(stderr, "ringabuse:", err)
			return 1
		}
		return 0
	}
	host, err := devxen.Open()
	if err != nil {
		fmt.Fprintln(stderr, "ringabuse:", err)
		return 1
	}
	defer host.Close()
	d := host.Domain()
	ctx, cancel := context.WithTimeout(context.Background(), *duration+10*time.Minute)
	defer cancel()
	path := fmt.Sprintf("device/vtpm/%d", *device)
	if *attach >= 0 {
		dev := tpmif.Device{Front: 0, Back: xen.DomID(*attach), ID: *device, UUID: *uuid}
		if path, err = tpmif.Attach(ctx, d.Store, dev); err != nil {
			fmt.Fprintln(stderr, "ringabuse:", err)
			return 1
		}
		defer tpmif.Detach(context.WithoutCancel(ctx), d.Store, dev)
	}
	if err := abuse(ctx, d, path, *duration, rand.New(rand.NewPCG(*seed, 0)), stdout); err != nil {
		fmt.Fprintln(stderr, "ringabuse:", err)
		return 1
	}
	return 0
}

// abuse does the whole of it, at the device whose frontend is at path.
func abuse(ctx context.Context, d xenbus.Domain, path string, duration time.Duration, r *rand.Rand, out io.Writer) error {
	open := func() (*tpmif.Frontend, error) {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		return tpmif.ConnectAt(ctx, d, path)
	}
	f, err := open()
	if err != nil {
		return err
	}
	if err := answers(ctx, f); err != nil {
		return fmt.Errorf("before the abuse: %w", err)
	}
	page, events := f.Raw()
	count, reopened := 0, 0
	var seen [4]int // answers by state
	for end := time.Now().Add(duration); time.Now().Before(end); count++ {
		scribble(page, r)
		if err := events.Notify(); err != nil {
			return err
		}
		if count%64 == 0 { // now and then give the backend time to answer
			select {
			case <-events.C():
			case <-time.After(10 * time.Millisecond):
			}
		}
		seen[page.Load8(4)%4]++
		if count%50000 == 49999 { // and the handshake is abused too
			if err := reopen(ctx, f); err != nil {
				return fmt.Errorf("after %d pages: %w", count, err)
			}
			page, events = f.Raw()
			reopened++
		}
	}
	fmt.Fprintf(out, "ringabuse: %d pages in %v, reopened %d times; state idle %d, submit %d, finish %d, cancel %d\n",
		count, duration, reopened, seen[0], seen[1], seen[2], seen[3])
	if err := reopen(ctx, f); err != nil {
		return fmt.Errorf("after the abuse: %w", err)
	}
	if err := answers(ctx, f); err != nil {
		return fmt.Errorf("after the abuse: %w", err)
	}
	fmt.Fprintln(out, "ringabuse: the TPM answers after the abuse")
	return f.Close(ctx)
}

func reopen(ctx context.Context, f *tpmif.Frontend) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return f.Reopen(ctx)
}

// scribble writes something hostile into the page.
func scribble(p *xen.Page, r *rand.Rand) {
	lengths := []uint32{0, 9, 10, 12, 4088, 4089, 4096, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF7, 0xFFFFFFF8, 0xFFFFFFFC, 0xFFFFFFFF, r.Uint32(), r.Uint32N(4096)}
	if r.IntN(4) > 0 {
		b := make([]byte, r.IntN(256))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		p.CopyIn(8+r.IntN(64), b)
	}
	if r.IntN(2) == 0 { // a header that passes for a command
		p.CopyIn(8, []byte{0x80, byte(1 + r.IntN(2)), 0, 0, 0, 12, 0, 0, 1, byte(r.Uint32()), 0, 8})
	}
	p.Store32(0, lengths[r.IntN(len(lengths))])
	p.Store8(5, byte(r.Uint32()))
	if r.IntN(8) == 0 {
		p.Store8(7, byte(r.Uint32()))
	} else {
		p.Store8(7, 0)
	}
	p.Store8(4, []byte{1, 1, 1, 3, 0, 2, byte(r.Uint32())}[r.IntN(7)])
}

// answers asks the TPM for random bytes. A TPM that was not started says so in
// a response, which is an answer too.
func answers(ctx context.Context, f *tpmif.Frontend) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	command := []byte{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7B, 0, 8} // TPM2_GetRandom
	response, err := f.Transact(ctx, 0, command)
	if err != nil {
		return err
	}
	if len(response) < 10 || int(binary.BigEndian.Uint32(response[2:])) != len(response) {
		return errors.New("the TPM gave a malformed response")
	}
	return nil
}
