package hosted

import (
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"stubtpm/tools/vtpmproxy"
)

// RunChardev is `swtpm chardev`: commands are read from a character device, by
// --chardev or --fd, or from a TPM device that Linux makes, by --vtpm-proxy.
// Otherwise it is RunSocket.
func RunChardev(args []string, open Factory, version string, stdout, stderr io.Writer) error {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	o.Chardev = true
	if o.VTPMProxy && o.Startup == StartupNone && !o.StartupNone {
		o.Startup, o.NotNeedInit = StartupClear, true
	}
	return run(o, open, version, stdout, stderr)
}

// openDevice opens the device of RunChardev.
func (o *options) openDevice(log Logger) (net.Conn, error) {
	if o.VTPMProxy {
		d, err := vtpmproxy.New()
		if err != nil {
			return nil, fmt.Errorf("--vtpm-proxy: %w", err)
		}
		log("New TPM device: /dev/tpm%d (major/minor = %d/%d)", d.Number, d.Major, d.Minor)
		return deviceConn{File: d.Server}, nil
	}
	fd := -1
	var err error
	if o.Device != "" {
		fd, err = unix.Open(o.Device, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	} else {
		fd = o.Data.FD
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return nil, fmt.Errorf("character device: %w", err)
	}
	return deviceConn{File: os.NewFile(uintptr(fd), "character device")}, nil
}

// A deviceConn is a device as a connection. Each read is a command or a part of
// one, each write a response.
type deviceConn struct {
	*os.File
	notSyscallConn //lint:ignore U1000 it hides a method
}

// notSyscallConn hides the method SyscallConn of the file: it is no socket.
//
//lint:ignore U1000 used by embedding
type notSyscallConn struct{}

//lint:ignore U1000 it makes the method of the file ambiguous
func (notSyscallConn) SyscallConn() {}

type deviceAddr struct{}

func (deviceAddr) Network() string { return "device" }
func (deviceAddr) String() string  { return "character device" }

func (deviceConn) LocalAddr() net.Addr  { return deviceAddr{} }
func (deviceConn) RemoteAddr() net.Addr { return deviceAddr{} }
