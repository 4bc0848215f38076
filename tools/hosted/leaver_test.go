package hosted

import (
	"net"
	"os"
	"syscall"
	"testing"
)

// TestControlClientLeaves has a client close its end with an answer unread:
// the next read is an error then, ECONNRESET, not the end of the stream.
func TestControlClientLeaves(t *testing.T) {
	t.Parallel()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fds[0]), "control")
	conn, err := net.FileConn(f)
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	ctrl := &Control{Machine: machine(t)}
	done := make(chan struct{})
	go func() {
		ctrl.Serve(conn)
		close(done)
	}()
	if _, err := syscall.Write(fds[1], words(1)); err != nil {
		t.Fatal(err)
	}
	var one [1]byte
	if _, _, err := syscall.Recvfrom(fds[1], one[:], syscall.MSG_PEEK); err != nil {
		t.Fatal(err)
	}
	syscall.Close(fds[1])
	<-done
}
