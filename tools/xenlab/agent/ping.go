package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// readClock is TPM2_ReadClock (TPM 2.0 Part 3, section 29.1), which is only a header of
// ten bytes, and very little work for a TPM.
var readClock = []byte{0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x81}

// ping sends TPM2_ReadClock to a TPM device and prints the median, the 99th percentile,
// the least and the greatest round-trip time in microseconds.
func ping(device, count string, out io.Writer) error { return repeat(readClock, device, count, out) }

// extend is ping with TPM2_PCR_Extend (TPM 2.0 Part 3, section 22.2) of PCR 16.
func extend(device, count string, out io.Writer) error {
	command := append([]byte{0x80, 0x02, 0, 0, 0, 65, 0, 0, 0x01, 0x82, 0, 0, 0, 16, // tag, size, command code, PCR
		0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0, // size of authorizations, TPM_RS_PW, nonce, attributes, password
		0, 0, 0, 1, 0, 0x0B}, make([]byte, 32)...) // one digest, SHA-256
	return repeat(command, device, count, out)
}

// repeat sends a command to a TPM device a number of times.
func repeat(command []byte, device, count string, out io.Writer) error {
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 || n > 1_000_000 {
		return fmt.Errorf("count %q", count)
	}
	tpm, err := openTPM(device)
	if err != nil {
		return err
	}
	defer tpm.close()
	fd := tpm.fd
	buf := make([]byte, 4096)
	times := make([]time.Duration, n)
	for i := range times {
		start := time.Now()
		if _, err := unix.Write(fd, command); err != nil {
			return err
		}
		got, err := unix.Read(fd, buf)
		if err != nil {
			return err
		}
		times[i] = time.Since(start)
		if got < 10 || binary.BigEndian.Uint32(buf[6:]) != 0 {
			return fmt.Errorf("response % x", buf[:got])
		}
	}
	slices.Sort(times)
	_, err = fmt.Fprintf(out, "median %d p99 %d least %d most %d\n",
		times[n/2].Microseconds(), times[n*99/100].Microseconds(), times[0].Microseconds(), times[n-1].Microseconds())
	return err
}
