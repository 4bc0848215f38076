package tpmif

import (
	"fmt"
	"testing"
)

// TestRecreated repeatedly creates a device as soon as the one before it is removed:
// each must be served, with its own UUID.
func TestRecreated(t *testing.T) {
	t.Parallel()
	s := start(t, &device{})
	for i := range 40 {
		d := Device{Front: 5, Back: backDomain, UUID: fmt.Sprintf("00000000-0000-0000-0000-%012d", i)}
		path, err := Attach(s.ctx, s.dom0, d)
		if err != nil {
			t.Fatal(err)
		}
		domain := s.client(5)
		f, err := ConnectAt(s.ctx, domain, path)
		if err != nil {
			t.Fatalf("device %d: %v", i, err)
		}
		s.echo(f, 0, 10)
		if i%2 == 0 { // or it is killed
			f.Close(s.ctx)
		}
		if err := Detach(s.ctx, s.dom0, d); err != nil {
			t.Fatal(err)
		}
	}
}
