package movehost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"stubtpm/tools/xenmove"
)

// A Dir is a directory of records, which is empty after a restart of the machine. It
// implements xenmove.Records.
type Dir string

// file returns the path of a record.
func (d Dir) file(name string) (string, error) {
	if name == "" || name[0] == '.' || strings.ContainsAny(name, "/\x00") {
		return "", fmt.Errorf("movehost: %q cannot be the name of a record", name)
	}
	return filepath.Join(string(d), name), os.MkdirAll(string(d), 0o700)
}

// A lock has two files. The first is locked by the program that moves the guest, the second
// by that and by the programs of xl that it started.
type lock struct{ program, xl *os.File }

func (l *lock) Close() error { return errors.Join(l.program.Close(), l.xl.Close()) }

// flock opens a file, and locks it until all its descriptors are closed.
func (d Dir) flock(name string) (*os.File, error) {
	path, err := d.file(name)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = xenmove.ErrBusy
		}
		return nil, err
	}
	return f, nil
}

// Lock locks a guest.
func (d Dir) Lock(guest string) (xenmove.Lock, error) {
	return d.lock(guest, func() error { return xenmove.ErrBusy })
}

// takeTimeout is how long a program of xl may take to end after it was killed.
const takeTimeout = 20 * time.Second

// Take locks a guest, and ends a program of xl that was left.
func (d Dir) Take(guest string) (xenmove.Lock, error) {
	until := time.Now().Add(takeTimeout)
	return d.lock(guest, func() error {
		if time.Now().After(until) {
			return xenmove.ErrBusy
		}
		d.endXL(guest)
		time.Sleep(pollRest)
		return nil
	})
}

// lock locks a guest. left is called while a program of xl has the lock that nobody waits for.
func (d Dir) lock(guest string, left func() error) (xenmove.Lock, error) {
	program, err := d.flock("lock-" + guest)
	if err != nil {
		return nil, err
	}
	for {
		xl, err := d.flock(xlFile(guest))
		if err == nil {
			if err = xl.Truncate(0); err == nil {
				return &lock{program, xl}, nil
			}
			xl.Close()
		}
		if errors.Is(err, xenmove.ErrBusy) {
			err = left()
		}
		if err != nil {
			program.Close()
			return nil, err
		}
	}
}

// xlFile is the lock of the programs of xl, which has the number of the process that started
// them.
func xlFile(guest string) string { return "xl-" + guest }

// endXL kills the process that has started xl, with which xl ends.
func (d Dir) endXL(guest string) {
	b, ok, err := d.Load(xlFile(guest))
	if err != nil || !ok {
		return
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 1 {
		return
	}
	// The number may be another process's by now.
	words, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err == nil && strings.Contains(string(words), ProgramXL) {
		syscall.Kill(pid, syscall.SIGKILL)
	}
}

// Load reads a record.
func (d Dir) Load(name string) (b []byte, ok bool, err error) {
	path, err := d.file(name)
	if err != nil {
		return nil, false, err
	}
	b, err = os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, false, nil
	}
	return b, err == nil, err
}

// Save writes a record whole or not at all.
func (d Dir) Save(name string, b []byte) error {
	path, err := d.file(name)
	if err != nil {
		return err
	}
	next := filepath.Join(string(d), "."+name) // as no record is named, whatever a guest is
	if err := os.WriteFile(next, b, 0o600); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// Remove removes a record, if there is one.
func (d Dir) Remove(name string) error {
	path, err := d.file(name)
	if err == nil {
		if err = os.Remove(path); errors.Is(err, os.ErrNotExist) {
			err = nil
		}
	}
	return err
}

// Listen waits for a visitor.
func (d Dir) Listen(ctx context.Context, name string) (io.ReadWriteCloser, error) {
	path, err := d.file("visit-" + name)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err // of a program that was killed
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	c, err := l.Accept()
	if err != nil {
		return nil, errors.Join(ctx.Err(), err)
	}
	return c, nil
}

// Visit connects to a program that listens.
func (d Dir) Visit(ctx context.Context, name string) (io.ReadWriteCloser, error) {
	path, err := d.file("visit-" + name)
	if err != nil {
		return nil, err
	}
	return (&net.Dialer{}).DialContext(ctx, "unix", path)
}
