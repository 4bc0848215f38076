package house

import (
	"strings"
	"testing"

	"stubtpm/tools/house/count"
)

// maxCircle is how many files of a package may depend on each other in a circle:
// more cannot be read one at a time.
const maxCircle = 10

// TestCircles fails on a package of which too many files depend on each other.
func TestCircles(t *testing.T) {
	t.Parallel()
	goFiles(t) // the cache of tests does not see what the go command reads
	tagged := []string{"", "tamago"}
	if testing.Short() {
		tagged = tagged[:1]
	}
	for _, tags := range tagged {
		circles, err := count.Circles(root, tags)
		if err != nil {
			t.Fatal(err)
		}
		if len(circles) < 30 {
			t.Fatalf("found %d packages with tags %q", len(circles), tags)
		}
		for _, c := range circles {
			if n := len(c.Circle); n > maxCircle {
				t.Errorf("%s: %d of %d files depend on each other in a circle, more than %d: %s", c.Package, n, c.Files, maxCircle, strings.Join(c.Circle, " "))
			}
		}
	}
}
