package house

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// module is the path of this module.
const module = "stubtpm"

// root is the top of the repository, where go list runs.
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

// part returns the layer of one of vtpmParts.
func part(name string) layer {
	return layer{folder: "vtpm/internal/" + name, ours: []string{"vtpm/tcg", "vtpm/tpmcrypto"}, not: effects}
}

// room returns the layer of a package that stands above the parts.
func room(name string, below ...string) layer {
	l := part(name)
	l.others = []string{"golang.org/x/crypto/cryptobyte/..."}
	for _, n := range append(below, vtpmParts...) {
		l.ours = append(l.ours, "vtpm/internal/"+n)
	}
	return l
}

var layers = []layer{
	{folder: "vtpm/tpmtest", ours: []string{"vtpm/..."}, others: []string{"github.com/google/go-tpm/..."}, not: effects},
	{folder: "vtpm/tcg", not: effects},
	{folder: "vtpm/tpmcrypto", ours: []string{"vtpm/tcg"}, others: []string{"filippo.io/bigmod", "golang.org/x/crypto/..."}, not: effects},
	part("clock"), part("hierarchy"), part("lockout"), part("nv"), part("object"), part("pcr"), part("session"), part("timer"),
	room("engine"), room("dispatch", "engine"), room("command", "engine", "dispatch"),
	{folder: "vtpm", others: []string{"filippo.io/bigmod", "golang.org/x/crypto/..."}, not: effects},
	{folder: "vtpmmgr/ledger", ours: []string{"drivers/block"}, others: []string{"golang.org/x/crypto/..."}, not: effects},
	{folder: "vtpmmgr", ours: []string{"drivers/block"},
		others: []string{"github.com/google/go-tpm/...", "golang.org/x/crypto/..."}, not: effects},
	{folder: "drivers", others: []string{"golang.org/x/sys/...", "golang.org/x/crypto/...", "github.com/google/go-tpm/..."}},
	{folder: "board", ours: []string{"drivers/xen/..."}, others: []string{"github.com/usbarmory/tamago/..."}},
	{folder: "stubdom/statedisk", ours: []string{"drivers/block"}, others: []string{"golang.org/x/crypto/..."}, not: effects},
	{folder: "stubdom", ours: []string{"vtpm/...", "vtpmmgr/...", "drivers/...", "board/..."},
		others: []string{"github.com/usbarmory/tamago/...", "github.com/google/go-tpm/...", "golang.org/x/crypto/...", "golang.org/x/sys/cpu", "filippo.io/bigmod"}},
	{folder: "image"},
	{folder: "tools", ours: []string{"vtpm/...", "vtpmmgr/...", "drivers/...", "image/..."},
		others: []string{"golang.org/x/sys/...", "golang.org/x/crypto/...", "github.com/google/go-tpm/...",
			"github.com/elastic/go-seccomp-bpf/...", "github.com/landlock-lsm/go-landlock/...", "github.com/google/go-eventlog/...", "github.com/youmark/pkcs8"}},
}

// A pkg is what go list says of one package.
type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string
}

// list returns the packages of this module as they are with some build tags.
func list(t *testing.T, tags string) []pkg {
	t.Helper()
	c := exec.Command("go", "list", "-e", "-tags", tags, "-json=ImportPath,Imports", "./...")
	c.Dir = root
	c.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	out, err := c.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var pkgs []pkg
	d := json.NewDecoder(bytes.NewReader(out))
	for {
		var p pkg
		if err := d.Decode(&p); err == io.EOF {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// TestLayers fails on an import that the table does not allow, and on a package
// outside every layer.
func TestLayers(t *testing.T) {
	t.Parallel()
	for _, tags := range []string{"", "tamago"} {
		pkgs := list(t, tags)
		if len(pkgs) < 5 {
			t.Fatalf("go list -tags %q found %d packages", tags, len(pkgs))
		}
		for _, p := range pkgs {
			name := strings.TrimPrefix(p.ImportPath, module+"/")
			l := layerOf(name)
			if l == nil {
				t.Errorf("%s is in no layer", p.ImportPath)
				continue
			}
			for _, i := range p.Imports {
				if why := l.refuses(i); why != "" {
					t.Errorf("tags %q: %s imports %s: %s", tags, p.ImportPath, i, why)
				}
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
		{"vtpm/internal/pcr", "os"}, {"vtpm/tcg", "unsafe"}, {"vtpm", "net/http"}, {"vtpm", module + "/drivers/xen"},
		{"vtpm", "golang.org/x/sys/unix"}, {"drivers/tpmif", module + "/vtpm"}, {"drivers/xen", module + "/tools/deps"},
		{"board/xen", module + "/drivers/tpmif"}, {"vtpmmgr", module + "/board/xen"}, {"vtpmmgr", module + "/vtpm"},
		{"vtpmmgr/ledger", "github.com/google/go-tpm/tpm2"}, {"vtpmmgr/ledger", module + "/vtpmmgr/proto"},
		{"tools/xenlab", module + "/board/xen"}, {"stubdom/vtpm", module + "/tools/deps"},
		{"stubdom/statedisk", "os"}, {"stubdom/statedisk", module + "/vtpm"}, {"image", module + "/tools/deps"},
	} {
		if layerOf(c.from).refuses(c.imports) == "" {
			t.Errorf("%s may import %s", c.from, c.imports)
		}
	}
	if why := layerOf("vtpm").refuses("crypto/sha256"); why != "" {
		t.Errorf("vtpm may not import crypto/sha256: %s", why)
	}
}

func layerOf(name string) *layer {
	for i, l := range layers {
		if name == l.folder || strings.HasPrefix(name, l.folder+"/") {
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
