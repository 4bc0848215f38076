package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"stubtpm/tools/xenlab/lab"
)

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// guestShell gives the user a shell in the guest, over the guest's console. It
// ends with the shell, or when the input ends.
func guestShell(ctx context.Context, g *lab.Guest, in *os.File, out io.Writer) error {
	fmt.Fprintln(out, "\nA shell in the guest; its TPM is /dev/tpm0 (try tpm2_getrandom --hex 8). End with exit.")
	rows, cols := 24, 80
	if size, err := unix.IoctlGetWinsize(int(in.Fd()), unix.TIOCGWINSZ); err == nil && size.Row > 0 {
		rows, cols = int(size.Row), int(size.Col)
	}
	p, err := g.Start(true, func(b []byte) { out.Write(b) }, "/bin/sh", "-c",
		fmt.Sprintf("stty rows %d cols %d; exec sh -l", rows, cols))
	if err != nil {
		return err
	}
	if isTerminal(in) {
		restore, err := rawTerminal(in)
		if err != nil {
			return err
		}
		defer restore()
	}
	go func() {
		buf := make([]byte, 512)
		for {
			n, err := in.Read(buf)
			if n > 0 {
				p.Write(buf[:n])
			}
			if err != nil {
				p.Write([]byte{4}) // end of file, as a terminal says it
				return
			}
		}
	}()
	_, _, err = p.Wait(ctx)
	return err
}

// rawTerminal hands every key to the guest; the guest's terminal does echo and
// line editing.
func rawTerminal(f *os.File) (restore func(), err error) {
	fd := int(f.Fd())
	old, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, err
	}
	raw := *old
	raw.Iflag &^= unix.ICRNL | unix.IXON | unix.INLCR | unix.IGNCR
	raw.Oflag &^= unix.OPOST
	raw.Lflag &^= unix.ECHO | unix.ICANON | unix.ISIG | unix.IEXTEN
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &raw); err != nil {
		return nil, err
	}
	return func() { unix.IoctlSetTermios(fd, unix.TCSETS, old) }, nil
}
