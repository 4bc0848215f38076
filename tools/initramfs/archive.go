package initramfs

// Archives are written uncompressed: under software emulation, decompression in the
// guest takes seconds, which is longer than to load some tens of megabytes more.

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
)

// File type bits of a mode field (POSIX st_mode).
const (
	modeDir  = 0o040000
	modeFile = 0o100000
	modeLink = 0o120000
	modeChar = 0o020000
)

// A node is one entry of the archive.
type node struct {
	mode         uint32 // type and permission bits
	data         []byte // contents, or the target of a link
	source       string // host file that holds the contents, if data is nil
	size         int64
	major, minor uint32 // of a device node
}

// An Archive collects entries by their path. A later one replaces an earlier one.
type Archive struct {
	root  string // of the system that programs and libraries are taken from
	nodes map[string]node
}

// New returns an archive of the host's programs and libraries. It has the directories
// every Linux userland expects, with /bin, /sbin, /lib and /lib64 merged into /usr as
// Debian has them.
func New() *Archive { return newArchive("/") }

// From is like New with the programs and libraries of the system whose root is a
// directory of the host.
func From(root string) (*Archive, error) {
	root, err := filepath.Abs(root)
	if err == nil {
		root, err = filepath.EvalSymlinks(root)
	}
	if err != nil {
		return nil, fmt.Errorf("initramfs: %w", err)
	}
	return newArchive(root), nil
}

func newArchive(root string) *Archive {
	a := &Archive{root: root, nodes: make(map[string]node)}
	for _, d := range []string{"/dev", "/proc", "/sys", "/run", "/tmp", "/root", "/etc",
		"/var/lib", "/var/log", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib64"} {
		a.Dir(d)
	}
	for _, l := range []string{"bin", "sbin", "lib", "lib64"} {
		a.Link("/"+l, "usr/"+l)
	}
	a.Link("/var/run", "../run")
	// The kernel opens /dev/console before anything is mounted.
	a.nodes["/dev/console"] = node{mode: modeChar | 0o600, major: 5, minor: 1}
	return a
}

// Dir adds a directory and its parents.
func (a *Archive) Dir(name string) {
	name = a.clean(name)
	for name != "/" {
		if _, ok := a.nodes[name]; !ok {
			a.nodes[name] = node{mode: modeDir | 0o755}
		}
		name = path.Dir(name)
	}
}

// File adds a file with the given permission bits and contents.
func (a *Archive) File(name string, perm os.FileMode, data []byte) {
	name = a.clean(name)
	a.Dir(path.Dir(name))
	a.nodes[name] = node{mode: modeFile | uint32(perm.Perm()), data: data, size: int64(len(data))}
}

// Link adds a symbolic link.
func (a *Archive) Link(name, target string) {
	name = a.clean(name)
	a.Dir(path.Dir(name))
	a.nodes[name] = node{mode: modeLink | 0o777, data: []byte(target), size: int64(len(target))}
}

// Copy adds the host's regular file source, following links, under name. The
// contents are read when the archive is written.
func (a *Archive) Copy(name, source string) error {
	info, err := os.Stat(source)
	if err != nil {
		return fmt.Errorf("initramfs: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("initramfs: %s is no regular file", source)
	}
	name = a.clean(name)
	a.Dir(path.Dir(name))
	a.nodes[name] = node{mode: modeFile | uint32(info.Mode().Perm()), source: source, size: info.Size()}
	return nil
}

// Has reports whether the archive holds an entry of that name.
func (a *Archive) Has(name string) bool {
	_, ok := a.nodes[a.clean(name)]
	return ok
}

// clean makes a name absolute and moves it below /usr as in Debian's merged layout,
// because an archive cannot contain a file below a link.
func (a *Archive) clean(name string) string {
	name = path.Clean("/" + name)
	for _, l := range []string{"/bin/", "/sbin/", "/lib/", "/lib64/"} {
		if strings.HasPrefix(name, l) {
			return "/usr" + name
		}
	}
	return name
}

// WriteTo writes the archive. Entries are sorted and carry neither time nor
// owner, so the same contents give the same bytes.
func (a *Archive) WriteTo(w io.Writer) (int64, error) {
	c := &counter{w: bufio.NewWriterSize(w, 1<<20)}
	names := make([]string, 0, len(a.nodes))
	for n := range a.nodes {
		names = append(names, n)
	}
	sort.Strings(names)
	for i, name := range names {
		if err := a.write(c, uint32(i+1), name, a.nodes[name]); err != nil {
			return c.n, err
		}
	}
	if err := a.write(c, 0, "/TRAILER!!!", node{}); err != nil {
		return c.n, err
	}
	return c.n, c.w.Flush()
}

// WriteFile writes the archive to a file of the host.
func (a *Archive) WriteFile(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if _, err := a.WriteTo(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// write writes one entry: a header of 110 bytes in hexadecimal, the name with
// its NUL, padding to four bytes, the contents, padding to four bytes.
func (a *Archive) write(c *counter, ino uint32, name string, n node) error {
	name = strings.TrimPrefix(name, "/")
	if n.size > 0xFFFFFFFF {
		return fmt.Errorf("initramfs: %s: %d bytes do not fit in a cpio entry", name, n.size)
	}
	fmt.Fprintf(c, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		ino, n.mode, 0, 0, 1, 0, n.size, 0, 0, n.major, n.minor, len(name)+1, 0)
	fmt.Fprintf(c, "%s\x00", name)
	c.pad()
	if n.source != "" {
		if err := c.copyFile(n.source, n.size); err != nil {
			return err
		}
	} else {
		c.Write(n.data)
	}
	c.pad()
	return c.err
}

// A counter counts bytes and keeps the first error.
type counter struct {
	w   *bufio.Writer
	n   int64
	err error
}

func (c *counter) Write(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.w.Write(p)
	c.n, c.err = c.n+int64(n), err
	return n, err
}

func (c *counter) pad() {
	if r := c.n % 4; r != 0 {
		c.Write(make([]byte, 4-r))
	}
}

// copyFile copies a host file that must still have the size its header says.
func (c *counter) copyFile(name string, size int64) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("initramfs: %w", err)
	}
	defer f.Close()
	n, err := io.Copy(c, f)
	if err != nil {
		return fmt.Errorf("initramfs: %s: %w", name, err)
	}
	if n != size {
		return fmt.Errorf("initramfs: %s changed its size while it was read", name)
	}
	return nil
}
