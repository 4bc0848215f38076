//go:build nosm

package command

import (
	"strings"
	"testing"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// A build without SM2, SM3 and SM4 makes no TPM that has them.
func TestNoSM(t *testing.T) {
	t.Parallel()
	if tpmcrypto.HasSM {
		t.Fatal("this build has them")
	}
	if _, err := Manufacture(engine.Config{Store: new(memStore), Profile: tcg.NamedProfile("sm")}); err == nil || !strings.Contains(err.Error(), "not in this build") {
		t.Errorf("error %v", err)
	}
}
