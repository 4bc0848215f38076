package hosted

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// readyFD is the environment variable with the descriptor through which the
// process in the background reports that it serves.
const readyFD = "STUBTPM_READY_FD"

// readyTimeout is how long a process in the background may take to start.
const readyTimeout = 60 * time.Second

// daemonize starts this program again in a session of its own, with the
// descriptors that the options name, and returns when it serves. (A Go program
// cannot fork without exec: its other threads would be missing.)
func daemonize(o *options) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	files := []*os.File{null, null, os.Stderr}
	for _, fd := range o.fds() {
		for len(files) <= fd {
			files = append(files, nil)
		}
		files[fd] = os.NewFile(uintptr(fd), "inherited")
	}
	files = append(files, w)
	p, err := os.StartProcess(exe, os.Args, &os.ProcAttr{
		Files: files,
		Env:   append(os.Environ(), fmt.Sprintf("%s=%d", readyFD, len(files)-1)),
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	w.Close()
	if err != nil {
		return err
	}
	defer p.Release()
	r.SetReadDeadline(time.Now().Add(readyTimeout))
	if _, err := io.ReadFull(r, make([]byte, 1)); err != nil {
		return errors.New("the process in the background did not start")
	}
	return nil
}

// reportReady reports to the process in the foreground that this one serves.
func reportReady() {
	fd, err := strconv.Atoi(os.Getenv(readyFD))
	if err != nil {
		return
	}
	os.Unsetenv(readyFD)
	// Standard error was for errors of the start. A parent may read it to its
	// end, so it is closed now.
	if null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
		syscall.Dup3(int(null.Fd()), 2, 0)
		null.Close()
	}
	if f := os.NewFile(uintptr(fd), "ready"); f != nil {
		f.Write([]byte{1})
		f.Close()
	}
}

// fds are the descriptors above 2 that the options name.
func (o *options) fds() (fds []int) {
	add := func(fd int) {
		if fd > 2 {
			fds = append(fds, fd)
		}
	}
	for _, e := range []*Endpoint{o.Data, o.Control} {
		if e != nil {
			add(e.FD)
			add(e.ClientFD)
		}
	}
	for _, k := range []*keyOption{o.Key, o.MigrationKey} {
		if k != nil {
			add(k.FD)
		}
	}
	if n, ok := strings.CutPrefix(o.Profile, profileFD); ok {
		if fd, err := strconv.Atoi(n); err == nil {
			add(fd)
		}
	}
	add(o.Log.FD)
	add(o.PIDFD)
	return fds
}
