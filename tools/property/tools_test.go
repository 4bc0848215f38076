package property

import (
	"context"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stubtpm/tools/hosted/tpmproc"
)

// A guest is a hosted TPM, to which Debian's tpm2-tools speak.
type guest struct {
	t    *testing.T
	tpm  *tpmproc.Process
	work string
	env  []string
}

// prelude loads the key of an approval, opens the secret with it, and seals.
const prelude = `
set -eu -o pipefail
flush() { tpm2_flushcontext -t; tpm2_flushcontext -l; }
primary() { tpm2_createprimary -Q -C o -G ecc -c p.ctx; flush; }
seal() { primary; echo -n secret > s; tpm2_create -Q -C p.ctx -L "$1" -i s -u s.pub -r s.priv; flush; }
approval() { # opens with the approval in folder $1, whose policy goes by $2
	tpm2_loadexternal -Q -C o -u "$1/key.pub" -c k.ctx
	tpm2_verifysignature -Q -c k.ctx -g sha256 -m "$1/message" -s "$1/signature" -t ticket; flush
	primary; tpm2_load -Q -C p.ctx -u s.pub -r s.priv -c s.ctx; flush
	tpm2_startauthsession --policy-session -S se.ctx
	tpm2_policypcr -Q -S se.ctx -l "$(cat "${2:-$1}/pcrs")"
	tpm2_policyauthorize -Q -S se.ctx -i "$1/approved" -q "$1/ref" -n "$1/key.name" -t ticket
	tpm2_unseal -c s.ctx -p session:se.ctx
}
flip() {
	local b; b=$(od -An -tu1 -j "$2" -N 1 "$1")
	printf "\\$(printf %03o $((b ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
`

func newGuest(t *testing.T) *guest {
	t.Helper()
	for _, name := range []string{"tpm2_unseal", "openssl", "bash"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip(name + " is not installed (packages tpm2-tools, openssl, bash)")
		}
	}
	program, err := tpmproc.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	// A path of a socket is short.
	dir, err := os.MkdirTemp("", "property")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	g := &guest{t: t, work: t.TempDir()}
	if g.tpm, err = tpmproc.Start(append(program, "--no-sync"), dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.tpm.Stop() })
	g.env = append(os.Environ(), "TPM2TOOLS_TCTI=swtpm:path="+g.tpm.Data, "TSS2_LOG=all+none", "PATH="+filepath.Dir(program[0])+":"+os.Getenv("PATH"))
	return g
}

// try runs a script.
func (g *guest) try(script string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "bash", "-c", prelude+script)
	c.Dir, c.Env, c.WaitDelay = g.work, g.env, time.Second
	out, err := c.CombinedOutput()
	return string(out), err
}

func (g *guest) run(script string) string {
	g.t.Helper()
	out, err := g.try(script)
	if err != nil {
		g.t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

// opens fails the test unless the secret opens, or the TPM refuses it.
func (g *guest) opens(want bool, what, script string) {
	g.t.Helper()
	out, err := g.try(script)
	if want && (err != nil || out != "secret") || !want && (err == nil || !strings.Contains(out, "ERROR: Esys_")) {
		g.t.Errorf("%s: %v\n%s", what, err, out)
	}
	g.try("tpm2_flushcontext -s; tpm2_flushcontext -t; tpm2_flushcontext -l")
}

// boot starts the guest again, and measures a kernel.
func (g *guest) boot(kernel string) {
	g.t.Helper()
	if err := g.tpm.PowerCycle(); err != nil {
		g.t.Fatal(err)
	}
	g.run("tpm2_startup -c; for m in loader " + kernel + "; do tpm2_pcrextend 4:sha256=$(echo -n $m | openssl dgst -sha256 -binary | od -An -v -tx1 | tr -d ' \\n'); done")
}

// log writes the event log of a start with a kernel.
func (g *guest) log(kernel string) string {
	g.t.Helper()
	b := newLog().add(4, ipl, "loader").add(4, ipl, kernel).add(9, ipl, "initrd").b
	if err := os.WriteFile(filepath.Join(g.work, kernel+".log"), b, 0o600); err != nil {
		g.t.Fatal(err)
	}
	return kernel + ".log"
}

// TestUpdate: a secret that is sealed to what a key approves opens after an update
// of the kernel that the key approves, and for nothing else. All TPM commands are
// those of Debian's tpm2-tools.
func TestUpdate(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("runs a hundred programs: not with -short")
	}
	g := newGuest(t)
	g.run("stubtpm property key --out K.pem > K.pub; stubtpm property policy --key K.pub --ref kernel --out K.policy")
	g.run("stubtpm property policy --key K.pem --ref kernel | cmp - K.policy")
	g.run("stubtpm property approve --key K.pem --ref kernel --log " + g.log("A") + " --pcr sha256:4 --out A")

	g.boot("A")
	g.run("seal K.policy")
	g.opens(true, "kernel A", "approval A")
	g.opens(false, "no policy", "primary; tpm2_load -Q -C p.ctx -u s.pub -r s.priv -c s.ctx; flush; tpm2_unseal -c s.ctx")

	g.boot("B")
	g.opens(false, "kernel B, before it is approved", "approval A")
	g.run("stubtpm property approve --key K.pem --ref kernel --pcr sha256:4=" + hex.EncodeToString(extended(0, "loader", "B")) + " --out B")
	g.run("stubtpm property show --key K.pub --ref kernel B")
	g.opens(true, "kernel B", "approval B")
	g.opens(false, "kernel B with the approval of A", "approval A")

	// What K did not approve for this.
	g.run("stubtpm property approve --key K.pem --ref other --log " + g.log("B") + " --pcr 4 --out ref")
	g.opens(false, "another reference", "approval ref")
	g.opens(false, "another reference, renamed", "cp B/ref ref/ref; approval ref")
	g.run("stubtpm property key --out L.pem > L.pub; stubtpm property approve --key L.pem --ref kernel --log B.log --pcr 4 --out key")
	g.opens(false, "another key", "approval key")
	g.opens(false, "another key under the name of K", "cp B/key.name key/key.name; approval key")
	for _, file := range []string{"key.pub 40", "key.name 20", "ref 0", "approved 0", "approved 31", "message 0", "message 35", "signature 10", "signature 70"} {
		g.run("rm -rf bit; cp -r B bit; flip bit/" + file + "; if stubtpm property show bit; then exit 1; fi")
		g.opens(false, "bit of "+file, "approval bit B")
	}
	g.opens(true, "kernel B, again", "approval B")

	g.boot("C")
	g.opens(false, "kernel C with the approval of A", "approval A")
	g.opens(false, "kernel C with the approval of B", "approval B")
	g.opens(false, "kernel C, approved by itself", "stubtpm property approve --key L.pem --ref kernel --log "+g.log("C")+" --pcr 4 --out C; approval C")
	g.boot("A")
	g.opens(true, "kernel A, again", "approval A")
}

// TestStrangers: policies are those that tpm2-tools compute with keys of OpenSSL,
// which they load from PEM.
func TestStrangers(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("runs a hundred programs: not with -short")
	}
	g := newGuest(t)
	g.boot("A")
	g.log("A")
	for kind, generate := range map[string]string{"ecc": "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256", "rsa": "openssl genpkey -quiet -algorithm RSA",
		"P-384": "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384"} {
		algorithm := strings.Replace(kind, "P-384", "ecc", 1)
		g.run("rm -rf *.pub *.pem a; " + generate + " -out k.pem 2>/dev/null; openssl pkey -in k.pem -pubout -out k.pub" + `
			stubtpm property approve --key k.pem --ref kernel --log A.log --pcr 4 --out a
			stubtpm property policy --key k.pub --ref kernel --out ours
			tpm2_loadexternal -Q -C o -G ` + algorithm + ` -u k.pub -c k.ctx -n k.name
			cmp k.name a/key.name; tpm2_readpublic -Q -c k.ctx -o k.tss; cmp k.tss a/key.pub; flush
			tpm2_startauthsession -S tr.ctx; tpm2_policypcr -Q -S tr.ctx -l sha256:4 -L theirs; tpm2_flushcontext tr.ctx; cmp theirs a/approved
			tpm2_startauthsession -S tr.ctx; tpm2_policypcr -Q -S tr.ctx -l sha256:4 -f a/values -L theirs; tpm2_flushcontext tr.ctx; cmp theirs a/approved
			tpm2_startauthsession -S tr.ctx; tpm2_policyauthorize -Q -S tr.ctx -i a/approved -q a/ref -n k.name -L theirs; tpm2_flushcontext tr.ctx; cmp theirs ours
			seal ours`)
		g.opens(true, kind, "approval a")
		// The signature is one that OpenSSL makes, too.
		g.opens(true, kind+" signed by OpenSSL", "openssl dgst -sha256 -sign k.pem -out raw a/message; tpm2_verifysignature -Q -c k.ctx -g sha256 -m a/message -s raw -f "+
			map[string]string{"ecc": "ecdsa", "rsa": "rsassa"}[algorithm]+" -t ticket; flush; approval a")
	}
}
