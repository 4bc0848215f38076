package hosted

import (
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// A blockingConn is a connection whose reads and writes block their thread
// instead of going through the runtime's poller. There are few connections,
// and a TPM command takes so little time that waking a goroutine by the poller
// would cost as much again as all the rest (measured: 5 of 20 us).
//
// Close must not be called while a read is under way; to end one from another
// goroutine, shut the original connection's reading side (Server.Stop does).
type blockingConn struct {
	net.Conn
	fd   int
	wait time.Duration // the present SO_RCVTIMEO
}

// block takes a socket from the poller; it returns conn itself if that is not
// possible.
func block(conn net.Conn) net.Conn {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return conn
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return conn
	}
	fd := -1
	raw.Control(func(s uintptr) {
		n, _, e := syscall.Syscall(syscall.SYS_FCNTL, s, syscall.F_DUPFD_CLOEXEC, 0)
		if e == 0 {
			fd = int(n)
		}
	})
	if fd < 0 {
		return conn
	}
	if err := syscall.SetNonblock(fd, false); err != nil {
		syscall.Close(fd)
		return conn
	}
	tv := syscall.NsecToTimeval(int64(partTimeout))
	syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_SNDTIMEO, &tv)
	return &blockingConn{Conn: conn, fd: fd}
}

// Read reads once; SetReadDeadline bounds it.
func (c *blockingConn) Read(p []byte) (int, error) {
	for {
		n, err := syscall.Read(c.fd, p)
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return 0, os.ErrDeadlineExceeded
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Write writes all of p.
func (c *blockingConn) Write(p []byte) (n int, err error) {
	for n < len(p) {
		// MSG_NOSIGNAL: a client that left is an error, not SIGPIPE.
		m, err := syscall.SendmsgN(c.fd, p[n:], nil, nil, syscall.MSG_NOSIGNAL)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return n, os.NewSyscallError("write", err)
		}
		n += m
	}
	return n, nil
}

// SetReadDeadline bounds each later read by the time left now.
func (c *blockingConn) SetReadDeadline(t time.Time) error {
	wait := time.Duration(0)
	if !t.IsZero() {
		wait = max(time.Until(t), time.Millisecond)
	}
	if wait == c.wait {
		return nil
	}
	c.wait = wait
	tv := syscall.NsecToTimeval(int64(wait))
	return os.NewSyscallError("setsockopt", syscall.SetsockoptTimeval(c.fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &tv))
}

// SetWriteDeadline has nothing to do: writes are always bounded by
// partTimeout.
func (c *blockingConn) SetWriteDeadline(time.Time) error { return nil }

// Close ends the connection.
func (c *blockingConn) Close() error {
	syscall.Close(c.fd)
	return c.Conn.Close()
}
