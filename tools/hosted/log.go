package hosted

import (
	"fmt"
	"io"
	"os"
	"sync"
)

// elsewhere reports whether the log is not standard error.
func (l logOption) elsewhere() bool { return l.File != "" || l.FD >= 0 }

// open returns the logger of the option.
func (l logOption) open(stderr io.Writer) (Logger, error) {
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
