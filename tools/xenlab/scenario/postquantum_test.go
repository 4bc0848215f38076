package scenario

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/mldsa"

	"stubtpm/tools/xenlab/lab"
)

// TestXenPostQuantum has a stock guest with a control area use a vTPM of profile default-v2,
// by a client that shares no code with it.
func TestXenPostQuantum(t *testing.T) {
	images := needXen(t)
	if !long() {
		t.Skip("boots another machine for one guest, for minutes on a busy host: set STUBTPM_LONG=1, as make soak does")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	images.Host = filepath.Join(repository, "build/stubtpm-host")
	m := machine(t, "postquantum", lab.Options{Files: images.Files(),
		GuestFiles: map[string]string{pqclientCommand: filepath.Join(repository, "build/pqclient")}})
	d, err := NewDoorbell(ctx, &testReport{t}, NewStack(m), "--profile", "default-v2")
	if err != nil {
		t.Fatal(err)
	}
	g, err := d.start(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	verify := func(publicKey, message, signature []byte) error {
		k, err := mldsa.NewPublicKey(mldsa.MLDSA65(), publicKey)
		if err != nil {
			return err
		}
		return mldsa.Verify(k, message, signature, nil)
	}
	d.steps(ctx, t, 5*time.Minute, []func(context.Context) error{
		func(ctx context.Context) error { return d.Device(ctx, g) },
		func(ctx context.Context) error { return d.PostQuantum(ctx, g, verify) },
	})
}
