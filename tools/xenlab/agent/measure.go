package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/sys/unix"
)

// openTPM opens a TPM device so that a read waits for the response; package os
// would make it non-blocking.
func openTPM(name string) (device, error) {
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return device{}, fmt.Errorf("%s: %w", name, err)
	}
	return device{fd}, nil
}

func (d device) close() { unix.Close(d.fd) }

// measurePause lies between two commands that are measured, as a guest that uses its
// TPM now and then.
const measurePause = 50 * time.Millisecond

// measure makes count rounds of TPM2_ReadClock and TPM2_NV_Write, and prints what
// each took in microseconds, a line each:
//
//	clock p50 N p99 N most N
//	write p50 N p99 N most N
func measure(name, count string, out io.Writer) error {
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 || n > 100_000 {
		return fmt.Errorf("count %q", count)
	}
	tpm, err := openTPM(name)
	if err != nil {
		return err
	}
	defer tpm.close()
	if err := define(tpm, loadData, tpm2.TPMNTOrdinary); err != nil {
		return err
	}
	var clock, write []time.Duration
	for i := range n {
		start := time.Now()
		if _, err := (tpm2.ReadClock{}).Execute(tpm); err != nil {
			return err
		}
		clock = append(clock, time.Since(start))
		time.Sleep(measurePause)
		start = time.Now()
		if err := nvWrite(tpm, uint64(i)); err != nil {
			return err
		}
		write = append(write, time.Since(start))
		time.Sleep(measurePause)
	}
	for _, m := range []struct {
		name  string
		times []time.Duration
	}{{"clock", clock}, {"write", write}} {
		slices.Sort(m.times)
		fmt.Fprintf(out, "%s p50 %d p99 %d most %d\n", m.name,
			m.times[n/2].Microseconds(), m.times[(n-1)*99/100].Microseconds(), m.times[n-1].Microseconds())
	}
	return nil
}

// flood writes to an NV index without a pause, and prints how many writes succeeded,
// failed with TPM_RC_NV_RATE, or failed with another response code:
//
//	writes N rate N other N
func flood(name, duration string, out io.Writer) error {
	d, err := time.ParseDuration(duration)
	if err != nil {
		return err
	}
	tpm, err := openTPM(name)
	if err != nil {
		return err
	}
	defer tpm.close()
	if err := define(tpm, loadData, tpm2.TPMNTOrdinary); err != nil {
		return err
	}
	var writes, rate, other int
	for end := time.Now().Add(d); time.Now().Before(end); {
		err := nvWrite(tpm, uint64(writes+rate))
		var rc tpm2.TPMRC
		switch {
		case err == nil:
			writes++
		case errors.Is(err, tpm2.TPMRCNVRate):
			rate++
		case errors.As(err, &rc):
			other++
		default:
			return err
		}
	}
	_, err = fmt.Fprintf(out, "writes %d rate %d other %d\n", writes, rate, other)
	return err
}

func nvWrite(tpm device, n uint64) error {
	_, err := tpm2.NVWrite{AuthHandle: tpm2.TPMRHOwner, NVIndex: named(loadData),
		Data: tpm2.TPM2BMaxNVBuffer{Buffer: binary.BigEndian.AppendUint64(nil, n)}}.Execute(tpm)
	return err
}
