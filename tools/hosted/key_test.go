package hosted

import (
	"strings"
	"testing"
)

func TestParseKey(t *testing.T) {
	t.Parallel()
	for in, ok := range map[string]bool{
		strings.Repeat("ab", 32) + "\n": true, "0x" + strings.Repeat("ab", 16): true,
		strings.Repeat("ab", 31): false, "zz": false, "": false,
	} {
		if _, err := parseKey([]byte(in), "hex"); (err == nil) != ok {
			t.Errorf("%q: %v", in, err)
		}
	}
}
