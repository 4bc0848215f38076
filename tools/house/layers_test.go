package house

import (
	"go/ast"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"stubtpm/tools/house/count"
)

// module is the path of this module.
const module = "stubtpm"

// root is the top of the repository.
const root = "../.."

// A layer says what the packages below a folder may import. Names end in "/..."
// for a whole tree. Packages of the standard library are allowed but for those
// in not. Tests are free.
type layer struct {
	folder string
	ours   []string // of this module, besides the folder itself
	others []string // of other modules
	not    []string // of the standard library
}

// effects are the packages by which a pure layer would reach the world.
var effects = []string{"unsafe", "os", "os/...", "net", "net/...", "syscall", "log", "log/...", "io/ioutil", "plugin", "C"}

// vtpmParts are the packages that own a part of a TPM's state (Part 1,
// "Architecture"). They do not know one another.
var vtpmParts = []string{"clock", "hierarchy", "lockout", "nv", "object", "pcr", "session", "timer"}

// part returns the layer of a package of vtpm/internal.
func part(name string, not ...string) layer {
	return layer{folder: rooms + name, ours: []string{"vtpm/tcg", "vtpm/tpmcrypto"}, not: append(slices.Clone(effects), not...)}
}

// rooms is where each package has a row of its own.
const rooms = "vtpm/internal/"

// chance are the packages by which a part would find its own random numbers: it is
// given them.
var chance = []string{"crypto/rand", "math/rand/...", "runtime/..."}

// timed returns the layer of one of vtpmParts that counts the time that it is given.
func timed(name string) layer { return part(name, chance...) }

// timeless returns the layer of one of vtpmParts that has nothing to do with time.
func timeless(name string) layer { return part(name, append(slices.Clone(chance), "time")...) }

// room returns the layer of a package that stands above the parts.
func room(name string, below ...string) layer {
	l := part(name)
	l.others = []string{"golang.org/x/crypto/cryptobyte/..."}
	for _, n := range append(below, vtpmParts...) {
		l.ours = append(l.ours, rooms+n)
	}
	return l
}

var layers = []layer{
	{folder: "vtpm/tpmtest", ours: []string{"vtpm/..."}, others: []string{"github.com/google/go-tpm/..."}, not: effects},
	{folder: "vtpm/tcg", not: effects},
	{folder: "vtpm/tpmcrypto", ours: []string{"vtpm/tcg"}, others: []string{"filippo.io/bigmod", "golang.org/x/crypto/..."}, not: effects},
	timed("clock"), timeless("hierarchy"), timed("lockout"), timeless("nv"), timeless("object"), timeless("pcr"), timeless("session"), timed("timer"),
	room("engine"), room("dispatch", "engine"), room("command", "engine", "dispatch"),
	{folder: "vtpm", others: []string{"filippo.io/bigmod", "golang.org/x/crypto/..."}, not: effects},
	{folder: "vtpmmgr/ledger", ours: []string{"drivers/block"}, others: []string{"golang.org/x/crypto/..."}, not: effects},
	{folder: "vtpmmgr", ours: []string{"drivers/block"},
		others: []string{"github.com/google/go-tpm/...", "golang.org/x/crypto/..."}, not: effects},
	{folder: "drivers/eventlog", ours: []string{"vtpm/tcg", "vtpm/tpmcrypto"}, not: effects},
	{folder: "drivers", others: []string{"golang.org/x/sys/...", "golang.org/x/crypto/...", "github.com/google/go-tpm/..."}},
	{folder: "board", ours: []string{"drivers/xen/..."}, others: []string{"github.com/usbarmory/tamago/..."}},
	{folder: "stubdom/statedisk", ours: []string{"drivers/block"}, others: []string{"golang.org/x/crypto/..."}, not: effects},
	{folder: "stubdom", ours: []string{"vtpm/...", "vtpmmgr/...", "drivers/...", "board/...", "image/uki"},
		others: []string{"github.com/usbarmory/tamago/...", "github.com/google/go-tpm/...", "golang.org/x/crypto/...", "golang.org/x/sys/cpu", "filippo.io/bigmod", "github.com/digitorus/pkcs7"}},
	{folder: "image/launch", ours: []string{"vtpm/tcg", "vtpm/tpmcrypto", "drivers/eventlog", "image/elfnote"},
		others: []string{"github.com/klauspost/compress/zstd", "github.com/mikelolasagasti/xz"}, not: effects},
	{folder: "image/uki", ours: []string{"vtpm/tcg", "vtpm/tpmcrypto", "drivers/eventlog"}, not: effects},
	{folder: "image"},
	{folder: "tools", ours: []string{"vtpm/...", "vtpmmgr/...", "drivers/...", "image/..."},
		others: []string{"golang.org/x/sys/...", "golang.org/x/crypto/...", "github.com/google/go-tpm/...",
			"github.com/mikelolasagasti/xz", "github.com/elastic/go-seccomp-bpf/...", "github.com/landlock-lsm/go-landlock/...", "github.com/google/go-eventlog/...", "github.com/youmark/pkcs8"}},
}

// TestLayers fails on an import that the table does not allow, and on a package
// outside every layer. It reads the files of every system and of all build tags.
func TestLayers(t *testing.T) {
	t.Parallel()
	other := map[string]bool{} // folders of other modules, whose imports go into no program of this one
	if err := count.Walk(root, "/go.mod", func(name string, _ []byte) error {
		other[path.Dir(name)] = name != "go.mod"
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	inOther := func(folder string) bool {
		for ; folder != "."; folder = path.Dir(folder) {
			if other[folder] {
				return true
			}
		}
		return false
	}
	for _, f := range goFiles(t) {
		if f.Test() || strings.HasPrefix(f.Name, runtimePort) || inOther(f.Folder()) {
			continue
		}
		l := layerOf(f.Folder())
		if l == nil {
			t.Errorf("%s is in no layer", f.Name)
			continue
		}
		for _, i := range f.AST.Imports {
			imported, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if why := l.refuses(imported); why != "" {
				t.Errorf("%s imports %s: %s", f.Name, imported, why)
			}
		}
	}
}

// TestLayersRefuse makes sure that the table refuses at all.
func TestLayersRefuse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ from, imports string }{
		{"vtpm", "os"}, {"vtpm/internal/nv", module + "/vtpm/internal/object"}, {"vtpm/tcg", module + "/vtpm/tpmcrypto"},
		{"vtpm/internal/engine", module + "/vtpm/internal/dispatch"}, {"vtpm/internal/dispatch", module + "/vtpm/internal/command"},
		{"vtpm/internal/pcr", "os"}, {"vtpm/internal/nv", "time"}, {"vtpm/internal/clock", "crypto/rand"}, {"vtpm/internal/object", "math/rand/v2"}, {"vtpm/tcg", "unsafe"}, {"vtpm", "net/http"}, {"vtpm", module + "/drivers/xen"},
		{"vtpm", "golang.org/x/sys/unix"}, {"drivers/tpmif", module + "/vtpm"}, {"drivers/xen", module + "/tools/deps"},
		{"drivers/eventlog", "os"}, {"drivers/tpmif", module + "/vtpm/tcg"}, {"board/xen", module + "/drivers/tpmif"}, {"vtpmmgr", module + "/board/xen"}, {"vtpmmgr", module + "/vtpm"},
		{"vtpmmgr/ledger", "github.com/google/go-tpm/tpm2"}, {"vtpmmgr/ledger", module + "/vtpmmgr/proto"},
		{"tools/xenlab", module + "/board/xen"}, {"stubdom/vtpm", module + "/tools/deps"},
		{"stubdom/statedisk", "os"}, {"stubdom/statedisk", module + "/vtpm"}, {"image", module + "/tools/deps"}, {"image", module + "/vtpm/tcg"}, {"image/launch", "os"}, {"image/uki", "os"}, {"stubdom/loader", module + "/image/launch"},
	} {
		if layerOf(c.from).refuses(c.imports) == "" {
			t.Errorf("%s may import %s", c.from, c.imports)
		}
	}
	if l := layerOf(rooms + "another"); l != nil {
		t.Errorf("a new package of %s is in the layer %s", rooms, l.folder)
	}
	if why := layerOf("vtpm").refuses("crypto/sha256"); why != "" {
		t.Errorf("vtpm may not import crypto/sha256: %s", why)
	}
}

// TestTimeIsGiven fails on a clock that a part of a TPM reads by itself.
func TestTimeIsGiven(t *testing.T) {
	t.Parallel()
	for _, f := range goFiles(t) {
		if f.Test() || !strings.HasPrefix(f.Name, rooms) || f.Name == rooms+"engine/load.go" { // where Config.Now has its default
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				x, _ := s.X.(*ast.Ident)
				if x != nil && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer"}, s.Sel.Name) {
					t.Errorf("%s: time.%s: a part is given the time", f.Fset.Position(s.Pos()), s.Sel.Name)
				}
			}
			return true
		})
	}
}

func layerOf(name string) *layer {
	for i, l := range layers {
		if name == l.folder || strings.HasPrefix(name, l.folder+"/") {
			if strings.HasPrefix(name, rooms) && l.folder == "vtpm" {
				return nil // it must have a row
			}
			return &layers[i]
		}
	}
	return nil
}

// refuses returns why an import is not allowed, or "".
func (l *layer) refuses(path string) string {
	if ours, ok := strings.CutPrefix(path, module+"/"); ok {
		if matches(ours, append(l.ours, l.folder+"/...")) {
			return ""
		}
		return l.folder + " does not stand above it"
	}
	first, _, _ := strings.Cut(path, "/")
	if strings.Contains(first, ".") {
		if matches(path, l.others) {
			return ""
		}
		return "not among the modules allowed for " + l.folder
	}
	if matches(path, l.not) {
		return "not among the standard packages allowed for " + l.folder
	}
	return ""
}

func matches(path string, patterns []string) bool {
	for _, p := range patterns {
		tree, ok := strings.CutSuffix(p, "/...")
		if path == p || ok && (path == tree || strings.HasPrefix(path, tree+"/")) {
			return true
		}
	}
	return false
}
