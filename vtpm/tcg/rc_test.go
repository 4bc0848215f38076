package tcg

import (
	"errors"
	"testing"
)

func TestResponseCodePositions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rc   TPMRC
		want uint32
		text string
	}{
		{TPMRCValue, 0x084, "TPM_RC_VALUE"},
		{TPMRCValue.P(1), 0x1C4, "TPM_RC_VALUE (parameter 1)"}, // Part 2, 6.6.2, its example
		{TPMRCValue.P(15), 0xFC4, "TPM_RC_VALUE (parameter 15)"},
		{TPMRCHandle.H(2), 0x28B, "TPM_RC_HANDLE (handle 2)"},
		{TPMRCAuthFail.S(1), 0x98E, "TPM_RC_AUTH_FAIL (session 1)"},
		{TPMRCBadAuth.S(7), 0xFA2, "TPM_RC_BAD_AUTH (session 7)"},
		{TPMRCFailure.P(3), 0x101, "TPM_RC_FAILURE"},
		{TPMRCRetry.H(1), 0x922, "TPM_RC_RETRY"},
		{TPMRCReferenceS0.S(1), 0x918, "TPM_RC_REFERENCE_S0"},
		{TPMRCBadTag.P(1), 0x01E, "TPM_RC_BAD_TAG"},
		{TPMRCSuccess.P(1), 0, "TPM_RC_SUCCESS"},
		{TPMRCValue.P(2).P(1), 0x2C4, "TPM_RC_VALUE (parameter 2)"},
		{TPMRC(0x1FF), 0x1FF, "TPM response code 0x1ff"},
	} {
		if uint32(c.rc) != c.want || c.rc.Error() != c.text {
			t.Errorf("%#x %q, want %#x %q", uint32(c.rc), c.rc.Error(), c.want, c.text)
		}
	}
	if !errors.Is(TPMRCValue.P(2), TPMRCValue) || errors.Is(TPMRCValue, TPMRCValue.P(2)) || errors.Is(TPMRCValue.P(1), TPMRCSize) {
		t.Error("errors.Is")
	}
	if !TPMRCRetry.IsWarning() || TPMRCFailure.IsWarning() || TPMRCAuthFail.S(1).IsWarning() {
		t.Error("IsWarning")
	}
}
