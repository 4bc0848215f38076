package hosted

import (
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// An Endpoint is where a channel listens, as given by swtpm's --server and --ctrl.
type Endpoint struct {
	Unix     bool
	Path     string      // of a unix socket
	Mode     os.FileMode // of the unix socket; 0770 if zero
	UID, GID int         // of the unix socket; -1 leaves them
	Addr     string      // host:port for TCP
	FD       int         // an open listening socket (--ctrl) or connection (--server); -1 if none
	ClientFD int         // an open connection; -1 if none
}

// Loopback reports whether only this machine can reach the endpoint.
func (e Endpoint) Loopback() bool {
	if e.Unix || e.Addr == "" {
		return true
	}
	host, _, err := net.SplitHostPort(e.Addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// maxUnixPath is the longest path of a unix socket, in bytes (unix(7)).
const maxUnixPath = 107

// tempSocket is the suffix of a socket's name before it listens.
const tempSocket = "~"

// Open returns a listener on the endpoint, which must have an address or a
// path. A unix socket that no process listens on is replaced; a file of any
// other kind, and a socket in use, is an error.
func (e Endpoint) Open() (net.Listener, error) {
	if !e.Unix {
		return net.Listen("tcp", e.Addr)
	}
	if len(e.Path) > maxUnixPath {
		return nil, fmt.Errorf("path of socket has %d bytes; the system's limit is %d: %s", len(e.Path), maxUnixPath, e.Path)
	}
	if err := removeStale(e.Path); err != nil {
		return nil, err
	}
	// A client that waits for the name, as libvirt does, connects as soon as it
	// exists. Between bind and listen it would be refused, so the socket gets
	// its name when it listens.
	temp := e.Path + tempSocket
	if len(temp) > maxUnixPath {
		return e.listenAt(e.Path)
	}
	if err := removeStale(temp); err != nil {
		return nil, err
	}
	l, err := e.listenAt(temp)
	if err != nil {
		return nil, err
	}
	if err := os.Rename(temp, e.Path); err != nil {
		l.Close()
		return nil, err
	}
	l.path = e.Path
	return l, nil
}

// listenAt listens on a new unix socket at path with the endpoint's mode and
// owner.
func (e Endpoint) listenAt(path string) (*unixListener, error) {
	mode := e.Mode
	if mode == 0 {
		mode = 0o770
	}
	// The mode comes with the name: there is no moment at which others can
	// connect, and no later change by a path that may lead elsewhere. Nothing
	// else of this process makes files while it starts.
	old := unix.Umask(int(^mode & 0o777))
	inner, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	unix.Umask(old)
	if err != nil {
		return nil, err
	}
	inner.SetUnlinkOnClose(false)
	l := &unixListener{UnixListener: inner, path: path}
	if err := ownSocket(path, e.UID, e.GID); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// A unixListener removes the name of its socket when it is closed.
type unixListener struct {
	*net.UnixListener
	path   string
	unlink sync.Once // a later call could remove the name of a later socket
}

func (l *unixListener) Close() error {
	l.unlink.Do(func() { os.Remove(l.path) })
	return l.UnixListener.Close()
}

// Addr returns the address that clients connect to.
func (l *unixListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// removeStale removes a unix socket that no process listens on. It returns an
// error if path is anything else that exists.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return nil
	}
	if info.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("%s exists and is no socket", path)
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return fmt.Errorf("another process listens on %s", path)
	}
	return os.Remove(path)
}

// ownSocket sets the owner of a socket, and not of what a link leads to that
// took its place.
func ownSocket(path string, uid, gid int) error {
	if uid < 0 && gid < 0 {
		return nil
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return fmt.Errorf("%s is not the socket that was made there", path)
	}
	if err := unix.Fchownat(fd, "", uid, gid, unix.AT_EMPTY_PATH); err != nil {
		return fmt.Errorf("owner of %s: %w", path, err)
	}
	return nil
}
