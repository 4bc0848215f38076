package main

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Numbers of the module tpm_vtpm_proxy (Linux, include/uapi/linux/vtpm_proxy.h
// and Documentation/security/tpm/tpm_vtpm_proxy.rst).
const (
	controlDevice = "/dev/vtpmx"
	flagTPM2      = 1
	ioctlNewDev   = 3<<30 | 20<<16 | 0xA1<<8 | 0 // read and write, 20 bytes
)

// A device is a TPM that the kernel made for us.
type device struct {
	number uint32   // of /dev/tpmN and /dev/tpmrmN
	server *os.File // commands are read from it, responses written
}

// newDevice asks the kernel for a TPM 2.0. Until the server has answered the
// kernel's own first commands there is no device node.
func newDevice() (*device, error) {
	c, err := os.OpenFile(controlDevice, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: is the module tpm_vtpm_proxy loaded?", err)
	}
	if err != nil {
		return nil, err
	}
	defer c.Close()
	request := struct{ flags, number, fd, major, minor uint32 }{flags: flagTPM2}
	_, _, e := unix.Syscall(unix.SYS_IOCTL, c.Fd(), ioctlNewDev, uintptr(unsafe.Pointer(&request)))
	if e != 0 {
		return nil, os.NewSyscallError("ioctl VTPM_PROXY_IOC_NEW_DEV", e)
	}
	// Only a descriptor in the poller can be closed under a reader.
	if err := unix.SetNonblock(int(request.fd), true); err != nil {
		unix.Close(int(request.fd))
		return nil, err
	}
	return &device{request.number, os.NewFile(uintptr(request.fd), "vtpm proxy")}, nil
}
