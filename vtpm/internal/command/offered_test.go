package command

import (
	"testing"

	"stubtpm/vtpm/tcg"
)

// TestDefaultProfileOffersEveryHandler: a command that has a handler is one that
// a TPM of the default profile offers, and the other way round. So neither can be
// forgotten when a command is added. The default profile is from before version
// 1.85, and stays as it is; default-v2 has all.
func TestDefaultProfileOffersEveryHandler(t *testing.T) {
	t.Parallel()
	table, profile, all := NewTable(), tcg.DefaultProfile(), tcg.NamedProfile("default-v2")
	for code := tcg.TPMCCFirst; code <= tcg.TPMCCLast; code++ {
		spec := tcg.CommandByCode(code)
		if spec == nil {
			continue
		}
		if has, offered := table.Implements(code), all.HasCommand(code); has != offered {
			t.Errorf("%s: a handler: %v, in default-v2: %v", spec.Name, has, offered)
		}
		if spec.Since == "1.85" {
			if profile.HasCommand(code) {
				t.Errorf("%s is in the default profile", spec.Name)
			}
			continue
		}
		if has, offered := table.Implements(code), profile.HasCommand(code); has != offered {
			t.Errorf("%s: a handler: %v, in the default profile: %v", spec.Name, has, offered)
		}
	}
}
