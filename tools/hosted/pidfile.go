package hosted

import (
	"errors"
	"fmt"
	"os"
	"strconv"
)

// writePID writes the number of this process.
func (o *options) writePID() error {
	pid := []byte(strconv.Itoa(os.Getpid()) + "\n")
	if o.PIDFile != "" {
		f, err := openOutput(o.PIDFile, os.O_TRUNC, 0o644)
		if err != nil {
			return fmt.Errorf("--pid: %w", err)
		}
		_, err = f.Write(pid)
		return errors.Join(err, f.Close())
	}
	if o.PIDFD >= 0 {
		f := os.NewFile(uintptr(o.PIDFD), "pid")
		if f == nil {
			return errors.New("--pid: file descriptor is not open")
		}
		_, err := f.Write(pid)
		return errors.Join(err, f.Close())
	}
	return nil
}
