package property

import (
	"encoding/hex"
	"testing"

	"github.com/google/go-eventlog/testdata"
)

// TestRealLogs: event logs of two guests of Google's cloud lead to the PCRs that
// their TPMs had. Logs and values are those of go-eventlog's own tests.
func TestRealLogs(t *testing.T) {
	t.Parallel()
	snp, tdx := testdata.Ubuntu2404AmdSevSnpEventLog, testdata.Ubuntu2404IntelTdxA4HighGpu8GEventLog
	for _, c := range []struct {
		log       []byte
		pcr, want string
	}{
		{snp, "sha256:0", "50597a27846e91d025eef597abbc89f72bff9af849094db97b0684d8bc4c515e"},
		{snp, "sha256:4", "abe8b3fa6aecb36c2fd93c6f6edde661c21b353d007410a2739d69bfa7e1b9be"},
		{snp, "sha256:7", "33ad69850fb2c7f30b4f8b4bc10ed93fc954dc07fa726e84f50f3d192dc1c140"},
		{snp, "sha256:8", "6932a3f71dc55ad3c1a6ac2196eeac26a1b7164b6bbfa106625d94088ec3ecc3"},
		{snp, "sha256:9", "ce08798b283c7a0ddc5e9ad1d602304b945b741fc60c20e254eafa0f4782512b"},
		{snp, "sha1:0", "8124f09f069c7d2d9acf5ce4eab928a7103a0bb2"},
		{tdx, "sha384:4", "1213ef15e54d13181724275c16f22f89f866ba2c5b3d24a99a79e4962af4126a8b220c22429fde6e747a4bc4378b556d"},
		{tdx, "sha384:9", "8d799e8eb5bdf56009f435adb4238158951e9cf95fd05a9c1bfd3c60eecab5ea0c9d63a2c90ec20b30435f894e8d33db"},
	} {
		got, err := parsePCRs(c.pcr, c.log)
		if err != nil || hex.EncodeToString(values(got)) != c.want {
			t.Errorf("%s: %v, %x, want %s", c.pcr, err, values(got), c.want)
		}
	}
}
