package strictjson

import (
	"encoding/json"
	"testing"
)

type policy struct {
	Names []string            `json:"names"`
	PCRs  map[string][]string `json:"pcrs"`
	All   bool                `json:"all"`
}

func TestDecode(t *testing.T) {
	t.Parallel()
	var p policy
	if err := Decode([]byte(` {"names": ["a", "a"], "pcrs": {"7": ["x"], "8": []}, "all": true} `), &p); err != nil || len(p.Names) != 2 || len(p.PCRs) != 2 || !p.All {
		t.Errorf("%+v, %v", p, err)
	}
	for _, bad := range []string{
		``, `{`, `{"names": []} x`, `{} {}`, `{"name": []}`,
		`{"names": ["a"], "names": []}`, `{"all": true, "ALL": false}`, `{"pcrs": {"7": ["x"], "7": []}}`,
		`{"pcrs": {"a": [], "A": []}}`, `{"names": ["a"], "NAME\u0053": []}`, `{"names": ["a"], "name\u017f": []}`,
	} {
		if err := Decode([]byte(bad), &p); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

// FuzzDecode: what is taken means the same to a decoder that compares names exactly.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"names": ["a"], "pcrs": {"7": []}}`))
	f.Add([]byte(`{"all": true, "all": false}`))
	f.Add([]byte(`[{"x": {"y": 1, "y": 2}}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var v any
		if Decode(b, &v) != nil {
			return
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := Decode(again, &v); err != nil {
			t.Errorf("%s is taken, and not as it is written: %v", b, err)
		}
	})
}
