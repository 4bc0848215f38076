package command

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

const dictionaryPage = "../../../docs/dictionary-attack.md"

// A victim is what a wrong guess is about.
type victim struct {
	name  string
	setUp func(g guess) tcg.TPMHandle
	use   tcg.TPMCC // with the victim as authHandle
	count func(d *engine.Device) uint32
	bound bool // TPM2_StartAuthSession takes it as bind
}

func failedTries(d *engine.Device) uint32 { return d.Perm.DA.FailedTries }

func pinCount(d *engine.Device) uint32 { n, _ := d.Perm.NV.Indices[victimPIN].PIN(); return n }

func lockoutLocked(d *engine.Device) uint32 {
	if d.Perm.DA.AuthEnabled {
		return 0
	}
	return 1
}

const byPolicyRead = tcg.TPMANVPolicyRead

func pinVictim(name string, nt tcg.TPMNT, count func(*engine.Device) uint32, attrs tcg.TPMANV) victim {
	return victim{name, func(g guess) tcg.TPMHandle {
		g.define(victimPIN, tcg.TPMANV(nt)<<4|tcg.TPMANVAuthRead|byPolicyRead|attrs, policyOf(tcg.TPMCCPolicyAuthValue), 9)
		return victimPIN
	}, tcg.TPMCCNVRead, count, false}
}

// hierarchyVictim has a value and a policy that asks for it.
func hierarchyVictim(g guess, h tcg.TPMHandle) tcg.TPMHandle {
	rawTPM(g).want(tcg.TPMRCSuccess, tcg.TPMCCSetPrimaryPolicy, handles(h), func(w *tcg.Writer) {
		w.Sized(policyOf(tcg.TPMCCPolicyAuthValue))
		w.Uint16(uint16(tcg.TPMAlgSHA256))
	})
	rawTPM(g).want(tcg.TPMRCSuccess, tcg.TPMCCHierarchyChangeAuth, handles(h), func(w *tcg.Writer) { w.Sized([]byte(lockSecret)) })
	return h
}

var victims = []victim{
	{"object", func(g guess) tcg.TPMHandle {
		rc, h, _ := rawTPM(g).send(tcg.TPMCCCreatePrimary, handles(tcg.TPMRHNull), func(w *tcg.Writer) {
			w.Nested(func(w *tcg.Writer) { w.Sized([]byte(lockSecret)); w.Sized([]byte("sealed")) })
			w.Nested(func(w *tcg.Writer) {
				w.Uint16(uint16(tcg.TPMAlgKeyedHash))
				w.Uint16(uint16(tcg.TPMAlgSHA256))
				w.Uint32(uint32(tcg.TPMAObjectFixedTPM | tcg.TPMAObjectFixedParent | tcg.TPMAObjectUserWithAuth))
				w.Sized(policyOf(tcg.TPMCCPolicyAuthValue))
				w.Uint16(uint16(tcg.TPMAlgNull))
				w.Sized(nil)
			})
			w.Sized(nil)
			w.Uint32(0)
		})
		if rc != tcg.TPMRCSuccess {
			g.t.Fatalf("CreatePrimary: %#x", uint32(rc))
		}
		return h
	}, tcg.TPMCCUnseal, failedTries, true},
	{"NV index", func(g guess) tcg.TPMHandle {
		g.define(victimNV, tcg.TPMANVAuthRead|byPolicyRead, policyOf(tcg.TPMCCPolicyAuthValue), 0)
		return victimNV
	}, tcg.TPMCCNVRead, failedTries, true},
	{"lockoutAuth", func(g guess) tcg.TPMHandle { return hierarchyVictim(g, tcg.TPMRHLockout) },
		tcg.TPMCCDictionaryAttackLockReset, lockoutLocked, true},
	pinVictim("PIN Fail", tcg.TPMNTPinFail, pinCount, tcg.TPMANVNoDA),
	pinVictim("PIN Fail, orderly", tcg.TPMNTPinFail, pinCount, tcg.TPMANVNoDA|tcg.TPMANVOrderly),
	pinVictim("PIN Pass", tcg.TPMNTPinPass, failedTries, 0),
	unprotected("ownerAuth", tcg.TPMRHOwner),
	unprotected("endorsementAuth", tcg.TPMRHEndorsement),
	unprotected("platformAuth", tcg.TPMRHPlatform),
}

const notProtected = " (not protected)"

func unprotected(name string, h tcg.TPMHandle) victim {
	return victim{name + notProtected, func(g guess) tcg.TPMHandle { return hierarchyVictim(g, h) },
		tcg.TPMCCSetPrimaryPolicy, failedTries, true}
}

// salted ends the name of a path whose session has a salt.
const salted = ", salted"

var guessPaths = []string{"password", "HMAC", "HMAC" + salted, "bound", "bound" + salted, "bound elsewhere", "bound elsewhere" + salted,
	"PolicyAuthValue", "PolicyAuthValue" + salted, "PolicyPassword", "PolicySecret", "PolicySigned"}

// wrong guesses the value of the victim h by a path.
func (g guess) wrong(v *victim, h tcg.TPMHandle, path string) tcg.TPMRC {
	g.t.Helper()
	hs, cc := handles(h), v.use
	var params func(w *tcg.Writer)
	switch cc {
	case tcg.TPMCCNVRead:
		hs, params = handles(h, h), readAll
	case tcg.TPMCCSetPrimaryPolicy:
		params = func(w *tcg.Writer) { w.Sized(nil); w.Uint16(uint16(tcg.TPMAlgNull)) }
	}
	s, key := tcg.TPMRSPW, tcg.TPMRHNull
	path, isSalted := strings.CutSuffix(path, salted)
	if isSalted || path == "PolicySigned" {
		key = g.key()
		defer g.flush(key)
	}
	switch path {
	case "HMAC":
		s = g.start(tcg.TPMSEHMAC, key, tcg.TPMRHNull)
	case "bound":
		s = g.start(tcg.TPMSEHMAC, key, h)
	case "bound elsewhere": // the session's key is the victim's, the entity is not
		s = g.start(tcg.TPMSEHMAC, key, h)
		cc, hs, params = tcg.TPMCCPCRReset, handles(16), nil
	case "PolicyAuthValue":
		s = g.start(tcg.TPMSEPolicy, key, tcg.TPMRHNull)
		rawTPM(g).want(tcg.TPMRCSuccess, tcg.TPMCCPolicyAuthValue, handles(s), nil)
	case "PolicyPassword":
		s = g.policy(tcg.TPMRHNull, tcg.TPMCCPolicyPassword)
	case "PolicySecret":
		with := g.policy(tcg.TPMRHNull)
		defer g.flush(with)
		cc, hs = tcg.TPMCCPolicySecret, handles(h, with)
		params = func(w *tcg.Writer) { w.Sized(nil); w.Sized(nil); w.Sized(nil); w.Uint32(0) }
	}
	if s != tcg.TPMRSPW {
		defer g.flush(s)
	}
	if path == "PolicySigned" {
		return g.wrongSignature(key)
	}
	return g.session(cc, hs, s, 0, "wrong", params)
}

func (g guess) flush(h tcg.TPMHandle) {
	rawTPM(g).want(tcg.TPMRCSuccess, tcg.TPMCCFlushContext, nil, func(w *tcg.Writer) { w.Uint32(uint32(h)) })
}

// key loads a key for the salt of a session.
func (g guess) key() tcg.TPMHandle {
	g.t.Helper()
	r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHNull, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(client{g.d})
	if err != nil {
		g.t.Fatal(err)
	}
	return tcg.TPMHandle(r.ObjectHandle)
}

// start starts a session, with a salt if key is not TPM_RH_NULL, and with h as
// bind.
func (g guess) start(kind tcg.TPMSE, key, h tcg.TPMHandle) tcg.TPMHandle {
	g.t.Helper()
	var salt []byte
	if key != tcg.TPMRHNull {
		k, err := tpmcrypto.NewECCKey(g.d.Cfg.Rand, tcg.TPMECCNistP256)
		if err != nil {
			g.t.Fatal(err)
		}
		point := object.ECCPoint(k.Q)
		salt = tcg.Marshal(&point)
	}
	rc, s, _ := rawTPM(g).send(tcg.TPMCCStartAuthSession, handles(key, h), func(w *tcg.Writer) {
		w.Sized(make([]byte, 16))
		w.Sized(salt)
		w.Uint8(uint8(kind))
		w.Uint16(uint16(tcg.TPMAlgNull))
		w.Uint16(uint16(tcg.TPMAlgSHA256))
	})
	if rc != tcg.TPMRCSuccess {
		g.t.Fatalf("StartAuthSession: %#x", uint32(rc))
	}
	return s
}

// wrongSignature runs TPM2_PolicySigned with a signature that key did not make.
func (g guess) wrongSignature(key tcg.TPMHandle) tcg.TPMRC {
	g.t.Helper()
	s := g.policy(tcg.TPMRHNull)
	defer g.flush(s)
	rc, _, _ := rawTPM(g).send(tcg.TPMCCPolicySigned, handles(key, s), func(w *tcg.Writer) {
		w.Sized(nil)
		w.Sized(nil)
		w.Sized(nil)
		w.Uint32(0)
		w.Uint16(uint16(tcg.TPMAlgECDSA))
		w.Uint16(uint16(tcg.TPMAlgSHA256))
		w.Sized(bytes.Repeat([]byte{1}, 32))
		w.Sized(bytes.Repeat([]byte{2}, 32))
	})
	return rc
}

// cell makes three wrong guesses and looks at the count after each, after a
// resume, both kinds of restart, and with a store that fails.
func cell(t *testing.T, v *victim, path string) []string {
	t.Helper()
	d, s, _ := newTestDevice(t)
	g := guess{t, d}
	h := v.setUp(g)
	first := g.wrong(v, h, path)
	counts := []string{fmt.Sprint(v.count(d))}
	for range 2 {
		g.wrong(v, h, path)
		counts = append(counts, fmt.Sprint(v.count(d)))
	}
	b, err := d.Volatile()
	if err != nil {
		t.Fatal(err)
	}
	r, err := Resume(engine.Config{Store: new(memStore)}, s.state, b)
	if err != nil {
		t.Fatal(err)
	}
	row := []string{codeName(first), strings.Join(counts, " "), fmt.Sprint(v.count(r))}

	l, err := Load(engine.Config{Store: new(memStore)}, s.state)
	if err != nil {
		t.Fatal(err)
	}
	row = append(row, v.after(guess{t, l}, false))
	d.Execute(0, shutdownState)
	row = append(row, v.after(g, true))

	d, s, _ = newTestDevice(t)
	g = guess{t, d}
	h = v.setUp(g)
	s.fail = errors.New("no space")
	one, two := g.wrong(v, h, path), g.wrong(v, h, path)
	return append(row, fmt.Sprintf("%s, %s, %d", codeName(one), codeName(two), v.count(d)))
}

// after is the count after a restart; an index that lost it cannot be used.
func (v *victim) after(g guess, state bool) string {
	g.t.Helper()
	if rc := g.restart(state); rc != tcg.TPMRCSuccess {
		g.t.Fatalf("restart: %#x", uint32(rc))
	}
	if x := g.d.Perm.NV.Indices[victimPIN]; x != nil && !x.Written() {
		return "unusable"
	}
	return fmt.Sprint(v.count(g.d))
}

func codeName(rc tcg.TPMRC) string {
	for _, k := range []struct {
		rc   tcg.TPMRC
		name string
	}{
		{tcg.TPMRCAuthFail.S(1), "AUTH_FAIL"}, {tcg.TPMRCBadAuth.S(1), "BAD_AUTH"},
		{tcg.TPMRCLockout, "LOCKOUT"}, {tcg.TPMRCPolicyFail, "POLICY_FAIL"}, {tcg.TPMRCNVUnavailable, "NV_UNAVAILABLE"},
	} {
		if rc == k.rc {
			return k.name
		}
	}
	return fmt.Sprintf("0x%03X", uint32(rc))
}

const dictionaryHead = `# Dictionary attack protection

No answer depends on the value of a protected authorization except by a try
that was counted.

Protected are, by failedTries, objects without noDA and NV indices without
TPMA_NV_NO_DA; lockoutAuth, by one try; PIN Fail indices, by pinCount. PIN Pass
indices count uses; wrong values count in failedTries unless they have
TPMA_NV_NO_DA. ownerAuth, endorsementAuth and platformAuth are not protected
(Part 1, 16.8): choose them long, or by random.

- A count is saved before the failure is answered. Where it cannot be saved it
  stays in memory, and TPM_RC_NV_UNAVAILABLE answers every further use of what is
  counted, before a comparison, until a save succeeds. It goes along in Volatile
  and Resume, and is lost only with the process.
- A session that is bound to a protected entity counts a wrong HMAC as a try of
  that entity, whatever it is used for, and is refused in lockout; used for a PIN
  index, it counts there too.
- A policy session that is bound does not en- or decrypt where TPM2_PolicyPassword
  is in force, since nothing proves its key; nor does one whose policy does not
  ask for the value of an entity that is counted, unless that value is empty. The
  answer is TPM_RC_ATTRIBUTES. A salt makes no difference: the caller chose it.
- pinLimit and TPMA_NV_WRITTEN hold on every path that uses the value of a PIN
  index, and such an index cannot be a bind entity.
- A try with an orderly index makes a TPM2_Shutdown stale. After a disorderly
  restart the index is not written, and its value unusable.
- TPM2_PolicySigned and the other policy commands use no authorization value; a
  policy session without TPM2_PolicyAuthValue or TPM2_PolicyPassword works in
  lockout.

The table is what a device does: three wrong guesses; the code of the first; the
count after each; the count after Volatile and Resume, after a disorderly
restart, after TPM2_Shutdown(STATE) and a restart; and, in another device, the
codes of two guesses and the count while no save succeeds. "bound" is an HMAC session
bound to the entity, used for it; "bound elsewhere" one used for a PCR.
"PolicySigned" is a wrong signature, which guesses no value: nothing is counted.
lockoutAuth counts 1 when it is locked.

| entity | path | code | counts | resumed | disorderly | orderly | store fails |
|---|---|---|---|---|---|---|---|
`

// TestDictionaryAttackPage walks the table of entities and paths. Run it with
// -update to write the page.
func TestDictionaryAttackPage(t *testing.T) {
	t.Parallel()
	page := bytes.NewBufferString(dictionaryHead)
	for i := range victims {
		v := &victims[i]
		for _, path := range guessPaths {
			if strings.HasPrefix(path, "bound") && !v.bound {
				continue
			}
			row := cell(t, v, path)
			counted := !strings.HasSuffix(v.name, notProtected) && path != "PolicySigned"
			if counted && strings.HasPrefix(row[1], "0") {
				t.Errorf("%s by %s: a guess was not counted: %v", v.name, path, row)
			}
			want := "NV_UNAVAILABLE, NV_UNAVAILABLE, 1"
			if v.name == "PIN Fail, orderly" {
				want = "BAD_AUTH, BAD_AUTH, 2" // counted in RAM, as it always is
			}
			if counted && row[5] != want {
				t.Errorf("%s by %s, without a store: %s", v.name, path, row[5])
			}
			fmt.Fprintf(page, "| %s | %s | %s |\n", v.name, path, strings.Join(row, " | "))
		}
	}
	if *update {
		if err := os.WriteFile(dictionaryPage, page.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(dictionaryPage)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, page.Bytes()) {
		t.Error("docs/dictionary-attack.md is stale: go test -run TestDictionaryAttackPage ./vtpm -update")
	}
}
