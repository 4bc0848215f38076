package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"stubtpm/vtpmmgr/transfer"
)

// TestMessageWithoutEnd reads a message from what has no size, such as a device: no more of it
// than a message can have.
func TestMessageWithoutEnd(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "endless")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	const most = 4 << 20 // of what would go on
	wrote := make(chan int)
	go func() {
		n := 0
		if f, err := os.OpenFile(name, os.O_WRONLY, 0); err == nil {
			for b := make([]byte, 4096); n < most && err == nil; n += len(b) {
				_, err = f.Write(b)
			}
			f.Close()
		}
		wrote <- n
	}()
	if _, _, err := readMessage(name, transfer.KindOffer); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("taken: %v", err)
	}
	if n := <-wrote; n >= most {
		t.Errorf("%d bytes were read", n)
	}
}
