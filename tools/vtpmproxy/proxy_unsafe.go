package vtpmproxy

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
	ioctlNewDev   = 3<<30 | 20<<16 | 0xA1<<8 // read and write, 20 bytes
)

// A Device is a TPM that the kernel created for this process.
type Device struct {
	Number       uint32   // of /dev/tpmN and /dev/tpmrmN
	Major, Minor uint32   // of /dev/tpmN
	Server       *os.File // each read is a command, each write a response
}

// ManagerNode is the device node with the kernel's resource manager.
func (d *Device) ManagerNode() string { return fmt.Sprintf("/dev/tpmrm%d", d.Number) }

// New creates a TPM 2.0. Its device node appears after the server has answered the
// kernel's own first commands.
func New() (*Device, error) {
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
	// Close unblocks Read only for a descriptor in the poller.
	if err := unix.SetNonblock(int(request.fd), true); err != nil {
		unix.Close(int(request.fd))
		return nil, err
	}
	return &Device{request.number, request.major, request.minor, os.NewFile(uintptr(request.fd), "vtpm proxy")}, nil
}
