package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// A server is the kernel's side of our TPM. Its driver knows poll(2), but its
// read(2) blocks whatever O_NONBLOCK says (drivers/char/tpm/tpm_vtpm_proxy.c),
// and Close would not unblock it. Read only reads what is there.
type server struct{ *os.File }

func (s server) Read(p []byte) (n int, err error) {
	raw, err := s.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if k, _ := unix.Poll(fds[:], 0); k == 0 || fds[0].Revents == 0 {
			return false
		}
		n, failed = unix.Read(int(fd), p)
		return failed != unix.EAGAIN && failed != unix.EINTR
	})
	if err == nil {
		err = failed
	}
	return max(n, 0), err
}
