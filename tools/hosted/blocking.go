package hosted

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A blockingConn is a connection whose reads and writes bypass the runtime's
// poller: there are few connections, and a TPM command takes so little time
// that waking a goroutine costs as much again as all the rest. A read that
// finds nothing blocks its thread in poll(2), as a system call that the
// scheduler knows of, so that garbage collection waits for nothing.
//
// Reading again and again for a while instead, before it blocks, was measured
// to gain nothing: a client woken from another processor is woken later.
//
// Close must not be called while a read is under way. To end one from another
// goroutine, shut the original connection's reading side and close it
// (Server.Stop does): that wakes a read, and a write that waits for a client
// that does not read looks for it every stopInterval.
type blockingConn struct {
	net.Conn
	raw      syscall.RawConn // of Conn, and an error once that is closed
	fd       int
	deadline time.Time // for reads; zero is none
}

// stopInterval is how long Server.Stop may wait for a blocked write.
const stopInterval = 200 * time.Millisecond

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
		if n, err := unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0); err == nil {
			fd = n
		}
	})
	if fd < 0 {
		return conn
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		syscall.Close(fd)
		return conn
	}
	return &blockingConn{Conn: conn, raw: raw, fd: fd}
}

// Read reads once; SetReadDeadline bounds it. A client sends its next command
// after the response to the last, so it waits first.
func (c *blockingConn) Read(p []byte) (int, error) {
	for {
		if err := c.wait(unix.POLLIN, c.deadline); err != nil {
			return 0, err
		}
		n, err := syscall.Read(c.fd, p)
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			// poll(2) always reports a datagram socket that was shut down as
			// readable.
			if c.closed() {
				return 0, net.ErrClosed
			}
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Write writes all of p; partTimeout bounds each wait for the client to take
// what it was sent.
func (c *blockingConn) Write(p []byte) (n int, err error) {
	for n < len(p) {
		// To a client that left it is EPIPE; the Go runtime ignores SIGPIPE for
		// all descriptors but 1 and 2.
		m, err := syscall.Write(c.fd, p[n:])
		switch err {
		case nil:
			n += m
		case syscall.EINTR:
		case syscall.EAGAIN:
			if err := c.waitWrite(); err != nil {
				return n, err
			}
		default:
			return n, os.NewSyscallError("write", err)
		}
	}
	return n, nil
}

// waitWrite blocks until the client takes something, at most partTimeout.
func (c *blockingConn) waitWrite() error {
	for end := time.Now().Add(partTimeout); ; {
		step := time.Now().Add(stopInterval)
		err := c.wait(unix.POLLOUT, step)
		if err == nil || step.After(end) || !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if c.closed() {
			return net.ErrClosed
		}
	}
}

// closed reports whether the original connection was closed.
func (c *blockingConn) closed() bool { return c.raw.Control(func(uintptr) {}) != nil }

// wait blocks until the socket has one of the events, has ended, or the time
// is over.
func (c *blockingConn) wait(events int16, deadline time.Time) error {
	for {
		ms := -1
		if !deadline.IsZero() {
			left := time.Until(deadline)
			if left <= 0 {
				return os.ErrDeadlineExceeded
			}
			ms = int((left + time.Millisecond - 1) / time.Millisecond)
		}
		fds := [1]unix.PollFd{{Fd: int32(c.fd), Events: events}}
		n, err := unix.Poll(fds[:], ms)
		if err != nil && err != unix.EINTR {
			return os.NewSyscallError("poll", err)
		}
		if n > 0 {
			return nil
		}
	}
}

// SetReadDeadline bounds each later read.
func (c *blockingConn) SetReadDeadline(t time.Time) error {
	c.deadline = t
	return nil
}

// SetWriteDeadline has nothing to do: writes are always bounded by
// partTimeout.
func (c *blockingConn) SetWriteDeadline(time.Time) error { return nil }

// Close ends the connection.
func (c *blockingConn) Close() error {
	syscall.Close(c.fd)
	return c.Conn.Close()
}

// partTimeout bounds the time between the first and the last byte of a
// request, so that half a request does not hold the channel forever.
const partTimeout = 30 * time.Second
