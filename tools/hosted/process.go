package hosted

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// readyFD is the environment variable that tells the process in the
// background through which descriptor to say that it serves.
const readyFD = "STUBTPM_READY_FD"

// readyTimeout is how long a process in the background may take to start.
const readyTimeout = 60 * time.Second

// daemonize starts this program again in a session of its own, with the
// descriptors that the options name, and returns when it serves. (A Go program
// cannot fork without exec: its other threads would be missing.)
func daemonize(o *Options) error {
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

// tellReady tells the process in the foreground that this one serves.
func tellReady() {
	fd, err := strconv.Atoi(os.Getenv(readyFD))
	if err != nil {
		return
	}
	os.Unsetenv(readyFD)
	// Standard error carried what went wrong before; whoever reads it waits for
	// its end, so it goes now.
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
func (o *Options) fds() (fds []int) {
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
	for _, k := range []*KeyOption{o.Key, o.MigrationKey} {
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

// become changes to the root of --chroot and to the user of --runas. The user
// is looked up in the old root.
func (o *Options) become() error {
	if o.RunAs == "" {
		return o.changeRoot()
	}
	u, err := user.Lookup(o.RunAs)
	if err != nil {
		if u, err = user.LookupId(o.RunAs); err != nil {
			return fmt.Errorf("--runas: %w", err)
		}
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if err := o.changeRoot(); err != nil {
		return err
	}
	if err := errors.Join(syscall.Setgroups([]int{gid}), syscall.Setgid(gid), syscall.Setuid(uid)); err != nil {
		return fmt.Errorf("--runas %s: %w", o.RunAs, err)
	}
	return nil
}

// elsewhere reports whether the log is not standard error.
func (l LogOption) elsewhere() bool { return l.File != "" || l.FD >= 0 }

func (o *Options) changeRoot() error {
	if o.Chroot == "" {
		return nil
	}
	if err := errors.Join(syscall.Chroot(o.Chroot), os.Chdir("/")); err != nil {
		return fmt.Errorf("--chroot %s: %w", o.Chroot, err)
	}
	return nil
}

// open returns the logger of the option.
func (l LogOption) open(stderr io.Writer) (Logger, error) {
	w := stderr
	switch {
	case l.File == "-":
		return func(string, ...any) {}, nil
	case l.File != "":
		flags := os.O_APPEND
		if l.Truncate {
			flags |= os.O_TRUNC
		}
		f, err := openOutput(l.File, flags, 0o640)
		if err != nil {
			return nil, fmt.Errorf("--log: %w", err)
		}
		w = f
	case l.FD >= 0:
		w = os.NewFile(uintptr(l.FD), "log")
	}
	var mu sync.Mutex
	return func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(w, l.Prefix+"stubtpm: "+format+"\n", args...)
	}, nil
}
