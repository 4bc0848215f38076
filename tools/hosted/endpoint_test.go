package hosted

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// inode returns the inode number of the file at path, or 0 if no file is there.
func inode(path string) uint64 {
	info, err := os.Lstat(path)
	if err != nil {
		return 0
	}
	return info.Sys().(*syscall.Stat_t).Ino
}

// leaveStale leaves a socket at path that nobody listens on, as a killed
// process does, and returns its inode number, which is not used again.
func leaveStale(t *testing.T, path string) uint64 {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if err := os.Rename(path, path+".stale"); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(path+".stale", path); err != nil {
		t.Fatal(err)
	}
	return inode(path)
}

// libvirt waits until the name of the control socket exists and has QEMU
// connect to it, once: a name that exists must accept connections.
func TestSocketNameListens(t *testing.T) {
	for _, stale := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "s")
		var old atomic.Uint64
		var refused, connected, phase atomic.Int32 // phase is odd while Open may have made the name
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for {
				select {
				case <-stop:
					return
				default:
				}
				n := phase.Load()
				if i := inode(path); n%2 == 0 || i == 0 || i == old.Load() {
					continue
				}
				c, err := net.Dial("unix", path)
				if err == nil {
					connected.Add(1)
					c.Close()
				} else if phase.Load() == n {
					refused.Add(1)
				}
			}
		}()
		for range 500 {
			if stale {
				old.Store(leaveStale(t, path))
			}
			phase.Add(1)
			n := connected.Load()
			l, err := Endpoint{Unix: true, Path: path, UID: -1, GID: -1}.Open()
			if err != nil {
				t.Fatal(err)
			}
			for connected.Load() == n {
				c, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				c.Close()
			}
			phase.Add(1)
			l.Close()
			if inode(path) != 0 {
				t.Fatal("the name is still there after Close")
			}
			os.Remove(path + ".stale")
		}
		close(stop)
		<-done
		if n := refused.Load(); n != 0 {
			t.Errorf("stale socket %v: %d connections to a name that existed were refused, %d accepted", stale, n, connected.Load())
		}
	}
}

// A listener that is closed twice does not remove a later one's name.
func TestSocketClosedTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	e := Endpoint{Unix: true, Path: path, UID: -1, GID: -1}
	first, err := e.Open()
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	second, err := e.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	first.Close()
	if inode(path) == 0 {
		t.Error("the second listener's name was removed by the first")
	}
}

// A socket that a killed process left does not stop a later one; one that is in
// use does, and is not harmed.
func TestSocketLeftovers(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []int{1, 20, maxUnixPath - len(dir) - 2, maxUnixPath - len(dir) - 1} {
		path := filepath.Join(dir, strings.Repeat("s", n))
		e := Endpoint{Unix: true, Path: path, UID: -1, GID: -1}
		for _, stale := range []string{"", path, path + tempSocket} {
			if stale != "" && len(stale) <= maxUnixPath {
				leaveStale(t, stale)
				os.Remove(stale + ".stale")
			}
			l, err := e.Open()
			if err != nil {
				t.Fatalf("name of %d bytes: %v", n, err)
			}
			if _, err := e.Open(); err == nil || !strings.Contains(err.Error(), "listens") {
				t.Errorf("name of %d bytes: a second listener: %v", n, err)
			}
			c, err := net.Dial("unix", path)
			if err != nil {
				t.Fatalf("name of %d bytes: %v", n, err)
			}
			c.Close()
			l.Close()
			if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 0 {
				t.Errorf("name of %d bytes: left behind: %q", n, left)
			}
		}
	}
}
