// Command tcti lets programs of tpm2-tss use the TPM of a QEMU virtual machine
// as its guest would, through its registers.
//
// Synopsis:
//
//	tcti [-locality N] SOCKET
//
// SOCKET is the unix socket of QEMU's -qtest. TPM commands are read from the
// standard input, responses are written to the standard output, as tpm2-tss'
// TCTI "cmd" does it: TPM2TOOLS_TCTI="cmd:tcti /tmp/qtest".
//
// The exit code is 0 at the end of the input, 1 for an error, 2 for wrong usage.
package main

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"

	"stubtpm/drivers/tpmhw"
	"stubtpm/tools/hosted/qtest"
)

func main() {
	locality := flag.Int("locality", 0, "locality of the commands, 0 to 4")
	flag.Parse()
	if flag.NArg() != 1 || *locality < 0 || *locality > 4 {
		fmt.Fprintln(os.Stderr, "usage: tcti [-locality N] SOCKET")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *locality, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "tcti:", err)
		os.Exit(1)
	}
}

func run(socket string, locality int, in io.Reader, out io.Writer) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	tpm, err := qtest.New(conn).TPM(locality)
	if err != nil {
		return err
	}
	for {
		cmd, err := command(in)
		if err == io.EOF {
			return tpm.Close()
		}
		if err != nil {
			return errors.Join(err, tpm.Close())
		}
		rsp, err := tpm.Send(cmd)
		if err != nil {
			return errors.Join(err, tpm.Close())
		}
		if _, err := out.Write(rsp); err != nil {
			return errors.Join(err, tpm.Close())
		}
	}
}

// command reads a command; its size is in its header.
func command(in io.Reader) ([]byte, error) {
	const header = 10
	cmd := make([]byte, header, tpmhw.MaxSize)
	if _, err := io.ReadFull(in, cmd); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(cmd[2:])
	if n < header || n > tpmhw.MaxSize {
		return nil, fmt.Errorf("command of %d bytes", n)
	}
	cmd = cmd[:n]
	_, err := io.ReadFull(in, cmd[header:])
	return cmd, err
}
