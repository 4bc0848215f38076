package main

import (
	"io"
	"os"
	"path/filepath"
	"time"

	"stubtpm/tools/hosted/tpmproc"
)

// flushedCases are the commands that write state.
func flushedCases() []benchCase { return []benchCase{nvWrite(), nvIncrement()} }

// flushed compares commands that write state with the same durability on both sides:
// stubtpm flushes before it responds. The other side never flushes, so the client
// flushes its state files and their directory after the response, and the time
// includes that.
func flushed(w io.Writer, ours, other []string, tmp string, n, rounds int, rows *[]row) error {
	a, err := open("stubtpm", ours, tmp)
	if err != nil {
		return err
	}
	defer a.close()
	b, err := open("swtpm", other, tmp)
	if err != nil {
		return err
	}
	defer b.close()
	for _, c := range flushedCases() {
		setup := c.setup
		c.name += ", flushed to the disk"
		c.setup = func(conn *tpmproc.Conn) (op, func(), error) {
			run, clean, err := setup(conn)
			if err != nil || conn != b.conn {
				return run, clean, err
			}
			return func() (time.Duration, error) {
				d, err := run()
				if err != nil {
					return d, err
				}
				start := time.Now()
				err = flushDir(b.dir)
				return d + time.Since(start), err
			}, clean, nil
		}
		r := compare(c, []*side{a, b}, n, rounds)
		*rows = append(*rows, r)
		printRow(w, r)
	}
	return nil
}

// flushDir flushes the files of a directory, and then the directory.
func flushDir(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.permall"))
	if err != nil {
		return err
	}
	for _, name := range append(files, dir) {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		err = f.Sync()
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
