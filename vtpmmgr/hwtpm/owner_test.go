package hwtpm

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-tpm/tpm2"
)

// TestOwnerPasswords: a password that can be used is taken, and one that cannot, is wrong, or
// is none is an error that says so.
func TestOwnerPasswords(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set, given []byte
		want       error
	}{
		"plain":             {[]byte("correct"), []byte("correct"), nil},
		"longest":           {bytes.Repeat([]byte{7}, 32), bytes.Repeat([]byte{7}, 32), nil},
		"zeros at its end":  {[]byte{1, 2, 0, 0}, []byte{1, 2, 0, 0}, nil},
		"without its zeros": {[]byte{1, 2, 0, 0}, []byte{1, 2}, nil},
		"zero within":       {[]byte{0x70, 0, 0x71}, []byte{0x70, 0, 0x71}, ErrOwnerZero},
		"zero first":        {[]byte{0, 0x70}, []byte{0, 0x70}, ErrOwnerZero},
		"wrong":             {[]byte("correct"), []byte("horse"), ErrOwner},
		"not given":         {[]byte("correct"), nil, ErrOwner},
		"given, none set":   {nil, []byte("left over"), ErrOwnerNone},
		"none":              {nil, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c1 := newChip(t)
			if _, err := (tpm2.Startup{StartupType: tpm2.TPMSUClear}).Execute(c1); err != nil {
				t.Fatal(err)
			}
			if _, err := (tpm2.HierarchyChangeAuth{
				AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)},
				NewAuth:    tpm2.TPM2BAuth{Buffer: c.set},
			}).Execute(c1); err != nil {
				t.Fatal(err)
			}
			tpm, err := Open(c1, Options{OwnerAuth: c.given, Log: t.Logf})
			if err == nil {
				_, err = tpm.Create(testID, newKey(), Policy{}, nil)
			}
			if !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}
