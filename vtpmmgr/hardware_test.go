package vtpmmgr

import (
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/vtpm"
)

// hardware stands for the hardware TPM: this project's own device, in
// process. The same logic runs against another maker's TPM in the Xen lab.
type hardware struct{ d *vtpm.Device }

func (h hardware) Send(b []byte) ([]byte, error) { return h.d.Execute(0, b), nil }

type noStore struct{}

func (noStore) Save([]byte) error { return nil }

func hardwareTPM(t testing.TB) transport.TPM {
	t.Helper()
	d, err := vtpm.Manufacture(vtpm.Config{Store: noStore{}})
	if err != nil {
		t.Fatal(err)
	}
	h := hardware{d}
	if _, err := (tpm2.Startup{StartupType: tpm2.TPMSUClear}).Execute(h); err != nil {
		t.Fatal(err)
	}
	return h
}
