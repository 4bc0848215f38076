//go:build linux && !tamago

package devxen

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// These are system calls that return at once, or soon, so that the Go scheduler is not told.
// One that it knows of wakes its monitor thread, which then looks for work each 20 us for a
// while: on a control domain with one processor that costs more than the calls.

// rawRead is read(2) of a file that does not block.
func rawRead(fd uintptr, b []byte) (int, error) { return raw(unix.SYS_READ, fd, b) }

// rawWrite is write(2).
func rawWrite(fd uintptr, b []byte) error {
	_, err := raw(unix.SYS_WRITE, fd, b)
	return err
}

func raw(call, fd uintptr, b []byte) (int, error) {
	for {
		n, _, e := unix.RawSyscall(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch e {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, e
		}
	}
}

// rawIoctl is ioctl(2) with one word.
func rawIoctl(fd, request uintptr, word uint32) error {
	return rawIoctlAt(fd, request, unsafe.Pointer(&word))
}

// rawIoctlAt is ioctl(2).
func rawIoctlAt(fd, request uintptr, argument unsafe.Pointer) error {
	if _, _, e := unix.RawSyscall(unix.SYS_IOCTL, fd, request, uintptr(argument)); e != 0 {
		return e
	}
	return nil
}

// rawPoll waits some milliseconds at most until a file can be read. It is poll(2).
func rawPoll(fd uintptr, milliseconds int) bool {
	p := unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	_, _, e := unix.RawSyscall(unix.SYS_POLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(milliseconds))
	return e != 0 || p.Revents != 0
}
