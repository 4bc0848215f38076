package command

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// streamCommands is how many commands of a stream are carried out.
const streamCommands = 150

// nextOf takes the next command off a stream by the size in its header. What
// is no header, or longer than the stream, is a command too.
func nextOf(stream []byte) (cmd, rest []byte) {
	n := len(stream)
	if n >= 6 {
		if size := int(binary.BigEndian.Uint32(stream[2:])); size >= 6 && size < n {
			n = size
		}
	}
	return stream[:n], stream[n:]
}

// FuzzStream: commands one after the other, such as other projects' clients
// sent them, so that later ones find objects, sessions and indices. Each answer
// is well-formed, none ends in failure mode, a refused one changes nothing. What
// was recorded does not succeed throughout: authorizations by HMAC and wrapped
// keys were made for another TPM.
func FuzzStream(f *testing.F) {
	files, err := filepath.Glob("testdata/streams/*.bin")
	if err != nil || len(files) < 10 {
		f.Fatalf("%d streams, %v", len(files), err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(bytes.Join(corpus185(f), nil))
	f.Fuzz(func(t *testing.T, stream []byte) {
		d := newDevice185(t, new(memStore))
		for range streamCommands {
			if len(stream) == 0 {
				break
			}
			var cmd []byte
			cmd, stream = nextOf(stream)
			checkCommand(t, d, 0, cmd)
		}
	})
}

// TestStreams: of each recorded stream a good part succeeds, or it is no use as
// a seed.
func TestStreams(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/streams/*.bin")
	if err != nil {
		t.Fatal(err)
	}
	all, good := 0, 0
	for _, file := range files {
		stream, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d := testDevice(t, new(memStore))
		d.Execute(0, startupClear)
		n := 0
		for len(stream) > 0 {
			var cmd []byte
			cmd, stream = nextOf(stream)
			all++
			if ok(d.Execute(0, cmd)) {
				n++
			}
		}
		if n == 0 {
			t.Errorf("%s: nothing succeeds", file)
		}
		good += n
	}
	t.Logf("%d of %d commands succeed", good, all)
	if good*3 < all {
		t.Errorf("%d of %d commands succeed", good, all)
	}
}
