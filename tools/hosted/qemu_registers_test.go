package hosted_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/tools/hosted/tpmproc"
)

// programs are what is tested, and beside it Debian's swtpm, which shows what
// is to be expected where it can do the same. HOSTED_QEMU_TPM names another
// program to test, an earlier stubtpm for example.
func programs(t *testing.T) map[string][]string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts QEMU many times: not with -short")
	}
	ours := strings.Fields(os.Getenv("HOSTED_QEMU_TPM"))
	if len(ours) == 0 {
		var err error
		if ours, err = tpmproc.Build(t.TempDir()); err != nil {
			t.Fatal(err)
		}
	}
	all := map[string][]string{"stubtpm": ours}
	if theirs, err := tpmproc.Swtpm(); err != nil {
		t.Logf("without a comparison: %v", err)
	} else {
		all["swtpm"] = theirs
	}
	return all
}

// forQEMU starts a TPM on a directory, with options of swtpm's.
func forQEMU(t *testing.T, program []string, dir string, extra ...string) *tpmproc.Process {
	t.Helper()
	p, err := tpmproc.StartForQEMU(program, dir, extra...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop() })
	return p
}

func startup(t *testing.T, tpm transport.TPM) {
	t.Helper()
	if _, err := (tpm2.Startup{StartupType: tpm2.TPMSUClear}).Execute(tpm); err != nil {
		t.Fatal(err)
	}
}

// pcrReset is TPM2_PCR_Reset by the empty authorization, and returns the
// response code.
func pcrReset(t *testing.T, tpm transport.TPM, pcr byte) uint32 {
	t.Helper()
	r, err := tpm.Send([]byte{0x80, 2, 0, 0, 0, 27, 0, 0, 1, 0x3D, 0, 0, 0, pcr, 0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0})
	if err != nil {
		t.Fatal(err)
	}
	return binary.BigEndian.Uint32(r[6:])
}

func pcrRead(t *testing.T, tpm transport.TPM, pcr uint) []byte {
	t.Helper()
	r, err := tpm2.PCRRead{PCRSelectionIn: tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{
		Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(pcr)}}}}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	return r.PCRValues.Digests[0].Buffer
}

// pcrExtend extends a PCR's SHA-256 bank by the empty authorization, and returns
// the response code.
func pcrExtend(t *testing.T, tpm transport.TPM, pcr byte) uint32 {
	t.Helper()
	command := append([]byte{0x80, 2, 0, 0, 0, 65, 0, 0, 1, 0x82, 0, 0, 0, pcr, 0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0,
		0, 0, 0, 1, 0, 0x0B}, bytes.Repeat([]byte{0x22}, 32)...)
	r, err := tpm.Send(command)
	if err != nil {
		t.Fatal(err)
	}
	return binary.BigEndian.Uint32(r[6:])
}

// TestQEMULocality: by the registers of a real QEMU each command runs at the
// locality at which it was sent (PC Client Platform TPM Profile, table "PCR
// Attributes"). QEMU's CRB has locality 0 alone.
func TestQEMULocality(t *testing.T) {
	t.Parallel()
	const rcLocality = 0x907
	may := func(localities []int, locality int) uint32 {
		if slices.Contains(localities, locality) {
			return 0
		}
		return rcLocality
	}
	for name, program := range programs(t) {
		for device, localities := range map[string][]int{"tpm-tis": {0, 2, 0, 0, 2, 2, 1, 3, 0, 2, 3, 1}, "tpm-crb": {0, 0}} {
			q := startQEMU(t, forQEMU(t, program, t.TempDir()), device)
			tpm := q.at(0)
			startup(t, tpm)
			tpm.Close()
			for i, at := range localities {
				tpm := q.at(at)
				for _, c := range []struct {
					pcr           byte
					reset, extend []int
				}{
					{0, nil, []int{0, 1, 2, 3}},
					{17, nil, []int{2, 3}},
					{18, nil, []int{2, 3}},
					{19, nil, []int{2, 3}},
					{20, []int{2}, []int{1, 2, 3}},
					{21, []int{2}, []int{2}},
					{22, []int{2}, []int{2}},
					{23, []int{0, 1, 2, 3}, []int{0, 1, 2, 3}},
				} {
					if rc, want := pcrReset(t, tpm, c.pcr), may(c.reset, at); rc != want {
						t.Errorf("%s, %s: turn %d, reset of PCR %d at locality %d: %#x, want %#x", name, device, i, c.pcr, at, rc, want)
					}
					if rc, want := pcrExtend(t, tpm, c.pcr), may(c.extend, at); rc != want {
						t.Errorf("%s, %s: turn %d, extend of PCR %d at locality %d: %#x, want %#x", name, device, i, c.pcr, at, rc, want)
					}
				}
				tpm.Close()
			}
		}
	}
}

// TestQEMUFrame: a guest writes a message of the simulator's protocol, which
// names a locality, into the CRB's buffer. QEMU hands it on as it is; it must not
// be obeyed.
func TestQEMUFrame(t *testing.T) {
	t.Parallel()
	program := programs(t)["stubtpm"]
	q := startQEMU(t, forQEMU(t, program, t.TempDir()), "tpm-crb")
	tpm := q.at(0)
	startup(t, tpm)
	reset := []byte{0x80, 2, 0, 0, 0, 27, 0, 0, 1, 0x3D, 0, 0, 0, 17, 0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0}
	for _, locality := range []byte{4, 2, 0} {
		frame := append([]byte{0, 0, 0, 8, locality, 0, 0, 0, byte(len(reset))}, reset...)
		// Not by Send, which would not take it for a command: the registers.
		q.Write32(0x08, 1)
		q.Write32(0x40, 1)
		for i, b := range frame {
			q.Write8(0x80+i, b)
		}
		q.Write32(0x4C, 1)
		for n := 0; q.Read32(0x4C) != 0; n++ {
			if n == 10_000 {
				t.Fatalf("a message that names locality %d is never answered; TPM: %s", locality, q.tpm.Output())
			}
		}
		q.Write32(0x40, 2)
	}
	if v := pcrRead(t, tpm, 17); !bytes.Equal(v, bytes.Repeat([]byte{0xFF}, 32)) {
		t.Errorf("PCR 17 is %x: a guest chose its locality", v)
	}
}

// A life is what a TPM has in its volatile state, as its user knows it.
type life struct {
	pcr      []byte
	object   tpm2.TPMHandle
	name     []byte
	sequence tpm2.TPMHandle
	session  tpm2.TPMHandle
}

const hashed = "what was hashed before, and after"

// live makes volatile state: a PCR, an object, a hash sequence half way, a
// session.
func live(t *testing.T, tpm transport.TPM) (l life) {
	t.Helper()
	startup(t, tpm)
	fail := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := tpm2.PCRExtend{PCRHandle: tpm2.AuthHandle{Handle: 5, Auth: tpm2.PasswordAuth(nil)}, Digests: tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{
		HashAlg: tpm2.TPMAlgSHA256, Digest: bytes.Repeat([]byte{0x11}, 32)}}}}.Execute(tpm)
	fail(err)
	l.pcr = pcrRead(t, tpm, 5)
	o, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(tpm)
	fail(err)
	l.object, l.name = o.ObjectHandle, o.Name.Buffer
	s, err := tpm2.HashSequenceStart{HashAlg: tpm2.TPMAlgSHA256}.Execute(tpm)
	fail(err)
	l.sequence = s.SequenceHandle
	_, err = tpm2.SequenceUpdate{SequenceHandle: tpm2.AuthHandle{Handle: l.sequence, Auth: tpm2.PasswordAuth(nil)},
		Buffer: tpm2.TPM2BMaxBuffer{Buffer: []byte(hashed[:10])}}.Execute(tpm)
	fail(err)
	a, err := tpm2.StartAuthSession{TPMKey: tpm2.TPMRHNull, Bind: tpm2.TPMRHNull, NonceCaller: tpm2.TPM2BNonce{Buffer: make([]byte, 16)},
		SessionType: tpm2.TPMSEPolicy, Symmetric: tpm2.TPMTSymDef{Algorithm: tpm2.TPMAlgNull}, AuthHash: tpm2.TPMAlgSHA256}.Execute(tpm)
	fail(err)
	l.session = tpm2.TPMHandle(a.SessionHandle)
	_, err = tpm2.PolicyCommandCode{PolicySession: l.session, Code: tpm2.TPMCCUnseal}.Execute(tpm)
	fail(err)
	return l
}

// goesOn checks that a TPM is where the other one was.
func (l life) goesOn(tpm transport.TPM) error {
	r, err := tpm2.PCRRead{PCRSelectionIn: tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{
		Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(5)}}}}.Execute(tpm)
	if err != nil {
		return err
	}
	if !bytes.Equal(r.PCRValues.Digests[0].Buffer, l.pcr) {
		return fmt.Errorf("PCR 5 is %x", r.PCRValues.Digests[0].Buffer)
	}
	p, err := tpm2.ReadPublic{ObjectHandle: l.object}.Execute(tpm)
	if err != nil {
		return fmt.Errorf("the object: %w", err)
	}
	if !bytes.Equal(p.Name.Buffer, l.name) {
		return fmt.Errorf("the object has another Name")
	}
	s, err := tpm2.SequenceComplete{SequenceHandle: tpm2.AuthHandle{Handle: l.sequence, Auth: tpm2.PasswordAuth(nil)},
		Buffer: tpm2.TPM2BMaxBuffer{Buffer: []byte(hashed[10:])}, Hierarchy: tpm2.TPMRHNull}.Execute(tpm)
	if err != nil {
		return fmt.Errorf("the sequence: %w", err)
	}
	if want := sha256.Sum256([]byte(hashed)); !bytes.Equal(s.Result.Buffer, want[:]) {
		return fmt.Errorf("the sequence's digest is %x", s.Result.Buffer)
	}
	d, err := tpm2.PolicyGetDigest{PolicySession: l.session}.Execute(tpm)
	if err != nil {
		return fmt.Errorf("the session: %w", err)
	}
	if len(d.PolicyDigest.Buffer) != 32 || bytes.Equal(d.PolicyDigest.Buffer, make([]byte, 32)) {
		return fmt.Errorf("the session's policy is %x", d.PolicyDigest.Buffer)
	}
	return nil
}

// protections are the options by which states are protected, by name: at rest and
// on their way to another host.
func protections(t *testing.T) map[string][]string {
	t.Helper()
	files := t.TempDir()
	option := func(name, hex string) string {
		file := filepath.Join(files, name)
		if err := os.WriteFile(file, []byte(hex), 0o600); err != nil {
			t.Fatal(err)
		}
		return "mode=aes-cbc,format=hex,file=" + file
	}
	key := []string{"--key", option("key", "00112233445566778899aabbccddeeff")}
	migration := []string{"--migration-key", option("migration", "0102030405060708090a0b0c0d0e0f10")}
	return map[string][]string{"plain": nil, "state key": key, "migration key": migration, "both keys": slices.Concat(key, migration)}
}

// TestQEMUMigration saves a machine with a TPM in use to a file and restores it,
// and migrates it to another QEMU: what the guest had in its TPM is all there
// afterwards, whatever keys protect the state.
func TestQEMUMigration(t *testing.T) {
	t.Parallel()
	all := protections(t)
	for name, program := range programs(t) {
		for protection, options := range all {
			for _, device := range []string{"tpm-tis", "tpm-crb"} {
				t.Run(strings.Join([]string{name, protection, device}, " "), func(t *testing.T) {
					t.Parallel()
					toFile(t, program, device, options)
					toAnother(t, program, device, options)
				})
			}
		}
	}
}

// toFile saves a machine to a file, ends it, and restores it.
func toFile(t *testing.T, program []string, device string, extra []string) {
	t.Helper()
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "saved")
	process := forQEMU(t, program, dir, extra...)
	q := startQEMU(t, process, device)
	l := live(t, q.at(0))
	q.order("migrate", map[string]any{"uri": "exec:cat > " + file})
	if err := q.migrated(); err != nil {
		t.Fatal("save: ", err)
	}
	q.kill()
	process.Stop()
	q = startQEMU(t, forQEMU(t, program, dir, extra...), device, "-incoming", "exec:cat "+file)
	if err := q.migrated(); err != nil {
		t.Fatal("restore: ", err)
	}
	if err := l.goesOn(q.at(0)); err != nil {
		t.Errorf("after a restore: %v; TPM: %s", err, q.tpm.Output())
	}
}

// toAnother migrates a machine to another QEMU with a TPM process of its own, on
// a copy of the permanent state.
func toAnother(t *testing.T, program []string, device string, extra []string) {
	t.Helper()
	from, to := t.TempDir(), t.TempDir()
	q := startQEMU(t, forQEMU(t, program, from, extra...), device)
	l := live(t, q.at(0))
	socket := filepath.Join(t.TempDir(), "migration")
	other := startQEMU(t, forQEMU(t, program, to, extra...), device, "-incoming", "unix:"+socket)
	q.order("migrate", map[string]any{"uri": "unix:" + socket})
	if err := q.migrated(); err != nil {
		t.Fatal("source: ", err)
	}
	if err := other.migrated(); err != nil {
		t.Fatal("destination: ", err)
	}
	if err := l.goesOn(other.at(0)); err != nil {
		t.Errorf("after a migration: %v; TPM: %s", err, other.tpm.Output())
	}
}

// TestQEMUSharedState migrates a machine to another QEMU whose TPM process is on
// the same state directory, as on shared storage, and back: the lock goes along.
func TestQEMUSharedState(t *testing.T) {
	t.Parallel()
	program, all := programs(t)["stubtpm"], protections(t)
	for protection, options := range all {
		for _, device := range []string{"tpm-tis", "tpm-crb"} {
			t.Run(protection+" "+device, func(t *testing.T) {
				t.Parallel()
				shareState(t, program, device, append(options[:len(options):len(options)], "--tpmstate", "dir="+t.TempDir()))
			})
		}
	}
}

func shareState(t *testing.T, program []string, device string, options []string) {
	t.Helper()
	start := func(migration string, extra ...string) *qemu {
		return startQEMU(t, forQEMU(t, program, t.TempDir(), append(options[:len(options):len(options)], "--migration", migration)...), device, extra...)
	}
	q := start("release-lock-outgoing")
	l := live(t, q.at(0))
	for _, way := range []string{"there", "back"} {
		socket := filepath.Join(t.TempDir(), "migration")
		other := start("incoming,release-lock-outgoing", "-incoming", "unix:"+socket)
		q.order("migrate", map[string]any{"uri": "unix:" + socket})
		if err := q.migrated(); err != nil {
			t.Fatalf("%s, source: %v", way, err)
		}
		if err := other.migrated(); err != nil {
			t.Fatalf("%s, destination: %v", way, err)
		}
		// A third process finds the directory in use.
		if p, err := tpmproc.StartForQEMU(program, t.TempDir(), options...); err == nil {
			p.Stop()
			t.Errorf("%s: two processes have the same state", way)
		}
		if way == "back" {
			if err := l.goesOn(other.at(0)); err != nil {
				t.Errorf("after two migrations: %v; TPM: %s", err, other.tpm.Output())
			}
		}
		q.kill()
		q.tpm.Stop()
		q = other
	}
}

// TestQEMUReset: a reset of the machine is one of its TPM, and a TPM whose QEMU
// was killed is as after a loss of power.
func TestQEMUReset(t *testing.T) {
	t.Parallel()
	for name, program := range programs(t) {
		dir := t.TempDir()
		process := forQEMU(t, program, dir)
		q := startQEMU(t, process, "tpm-tis")
		live(t, q.at(0))
		q.order("system_reset", nil)
		tpm := q.at(0)
		startup(t, tpm)
		if v := pcrRead(t, tpm, 5); !bytes.Equal(v, make([]byte, 32)) {
			t.Errorf("%s: after a reset PCR 5 is %x", name, v)
		}
		q.kill()
		process.Stop()
		q = startQEMU(t, forQEMU(t, program, dir), "tpm-tis")
		tpm = q.at(0)
		startup(t, tpm)
		if v := pcrRead(t, tpm, 5); !bytes.Equal(v, make([]byte, 32)) {
			t.Errorf("%s: after a kill PCR 5 is %x", name, v)
		}
	}
}
