package fat

import (
	"fmt"
	"io"
)

// maxRuns bounds how many pieces a file or directory may be in.
const maxRuns = 1 << 16

// A run is a part of a file that is in one piece on the disk, in bytes.
type run struct {
	file, disk, size int64
}

// A contents reads what a chain of clusters holds.
type contents struct {
	r    io.ReaderAt
	runs []run
	size int64
}

// chain returns what the chain from cluster first on holds: size bytes, or at most limit
// if size is negative, as for directories.
func (f *FS) chain(first uint32, size, limit int64) (*contents, error) {
	c := &contents{r: f.r}
	want := size
	if size < 0 {
		want = limit
	}
	for at, end := first, false; c.size < want && !end; {
		if at < 2 || at-2 >= f.clusters {
			return nil, fmt.Errorf("%w: cluster %d of %d", ErrFormat, at, f.clusters)
		}
		disk := f.data + int64(at-2)*f.clusterSize
		if n := len(c.runs); n > 0 && c.runs[n-1].disk+c.runs[n-1].size == disk {
			c.runs[n-1].size += f.clusterSize
		} else if n == maxRuns {
			return nil, fmt.Errorf("%w: a file in more than %d pieces", ErrUnsupported, maxRuns)
		} else {
			c.runs = append(c.runs, run{c.size, disk, f.clusterSize})
		}
		c.size += f.clusterSize
		var err error
		if at, end, err = f.next(at); err != nil {
			return nil, err
		}
	}
	if size >= 0 {
		if c.size < size {
			return nil, fmt.Errorf("%w: a file of %d bytes has clusters for %d", ErrFormat, size, c.size)
		}
		c.size = size
	}
	return c, nil
}

// ReadAt implements io.ReaderAt.
func (c *contents) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 || off >= c.size {
		return 0, io.EOF
	}
	var end error
	if rest := c.size - off; int64(len(b)) > rest {
		b, end = b[:rest], io.EOF
	}
	done := 0
	for _, r := range c.runs {
		in := off + int64(done) - r.file
		if done == len(b) || in < 0 || in >= r.size {
			continue
		}
		n := int(min(int64(len(b)-done), r.size-in))
		if err := readFull(c.r, b[done:done+n], r.disk+in); err != nil {
			return done, err
		}
		done += n
	}
	return done, end
}
