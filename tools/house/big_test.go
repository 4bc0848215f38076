package house

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBigListed: docs/constant-time.md says of each file of the device that uses
// math/big why that is safe, and of no other.
func TestBigListed(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile(filepath.Join(root, "docs/constant-time.md"))
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, line := range strings.Split(string(doc), "\n") {
		if name, _, ok := strings.Cut(strings.TrimPrefix(line, "| `"), "` |"); ok && strings.HasPrefix(line, "| `vtpm/") {
			listed[name] = true
		}
	}
	err = filepath.WalkDir(filepath.Join(root, "vtpm"), func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if uses := bytes.Contains(src, []byte(`"math/big"`)); uses != listed[name] {
			t.Errorf("%s: uses math/big: %v; docs/constant-time.md lists it: %v", name, uses, listed[name])
		}
		delete(listed, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range listed {
		t.Errorf("docs/constant-time.md lists %s, which is not there", name)
	}
}
