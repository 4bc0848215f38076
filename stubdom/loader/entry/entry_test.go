package entry

import (
	"slices"
	"testing"
)

// TestCompareVersions has the examples of UAPI.10.
func TestCompareVersions(t *testing.T) {
	t.Parallel()
	for _, order := range [][]string{
		{"122.1", "123~rc1-1", "123", "123-a", "123-a.1", "123-1", "123-1.1", "123^post1", "123.a-1", "123.1-1", "123a-1", "124-1"},
		{"abc-5", "abc-6", "abc-10"},
		{"6.1.0-9-amd64", "6.1.0-56-amd64", "6.12.0-1-amd64", "10.0"},
		{"", "0", "1"}, {"a~", "a"}, {"B", "a"},
	} {
		for i, a := range order {
			for j, b := range order {
				want := 0
				if i < j {
					want = -1
				} else if i > j {
					want = 1
				}
				if got := CompareVersions(a, b); got != want {
					t.Errorf("%q and %q: %d, want %d", a, b, got, want)
				}
			}
		}
	}
	for _, same := range [][2]string{{"1", "01"}, {"1_", "1"}} {
		if c := CompareVersions(same[0], same[1]); c != 0 {
			t.Errorf("%q: %d", same, c)
		}
	}
}

func FuzzCompareVersions(f *testing.F) {
	f.Add("1.2~rc1", "1.2^3-4", "a-1")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		if CompareVersions(a, b) != -CompareVersions(b, a) || CompareVersions(a, a) != 0 {
			t.Errorf("%q and %q: no order", a, b)
		}
		if CompareVersions(a, b) < 0 && CompareVersions(b, c) < 0 && CompareVersions(a, c) >= 0 {
			t.Errorf("%q, %q, %q: no order", a, b, c)
		}
	})
}

func TestSort(t *testing.T) {
	t.Parallel()
	all := []Entry{
		{ID: "plain-1", TriesLeft: -1},
		{ID: "bad", SortKey: "a", TriesLeft: 0},
		{ID: "plain-10", TriesLeft: -1},
		{ID: "z", SortKey: "debian", MachineID: "1", Version: "6.1", TriesLeft: -1},
		{ID: "y", SortKey: "debian", MachineID: "1", Version: "6.12", TriesLeft: 3},
		{ID: "x", SortKey: "arch", Version: "1", TriesLeft: -1},
		{ID: "w", SortKey: "debian", MachineID: "2", Version: "9", TriesLeft: -1},
	}
	Sort(all)
	var got []string
	for _, e := range all {
		got = append(got, e.ID)
	}
	if want := []string{"x", "y", "z", "w", "plain-10", "plain-1", "bad"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for pattern, want := range map[string]int{"z": 2, "plain-*": 4, "none": -1, "": -1, "[": -1, "[a-z]": 0} {
		if got := Find(all, pattern); got != want {
			t.Errorf("%q: %d, want %d", pattern, got, want)
		}
	}
}
