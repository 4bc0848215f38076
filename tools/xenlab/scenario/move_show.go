package scenario

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"stubtpm/tools/verify"
	"stubtpm/tools/xenlab/lab"
)

// loadIt has what is sealed loaded, and a session whose policy is satisfied. Both stay in the
// TPM: there is no resource manager. It prints the handle.
const loadIt = rawTPM + `tpm2_flushcontext -t
tpm2_policyrestart -Q -S session.ctx
tpm2_policypcr -Q -S session.ctx -l sha256:8
tpm2_load -Q -C primary.ctx -u sealed.pub -r sealed.priv -c sealed.ctx
tpm2_getcap handles-transient
tpm2_getcap handles-saved-session
`

// useLoaded opens it by its handle, not from a context, with the session as it was.
const useLoaded = rawTPM + `tpm2_getcap handles-transient
tpm2_getcap handles-saved-session
tpm2_unseal -c $(tpm2_getcap handles-transient | tail -n 1 | tr -d ' -') -p session:session.ctx
`

// A shown is evidence of the guest, at one of the hosts.
type shown struct {
	nonce   []byte
	file    string
	manager string // that the evidence names, in hexadecimal
}

// A movedTrust is a site whose verifier asks a guest where it is.
type movedTrust struct {
	*trust
	m *Move
}

// ask has the guest at a host answer a nonce.
func (t *movedTrust) ask(ctx context.Context, at *Doorbell, name string) (*shown, error) {
	g, err := at.connect(ctx)
	if err != nil {
		return nil, err
	}
	s := &shown{nonce: make([]byte, 32), file: name}
	rand.Read(s.nonce)
	out, err := g.run(ctx, "cd /tmp; "+evidenceCommand+" evidence --nonce "+hex.EncodeToString(s.nonce)+" -o e --tpm /dev/tpm0; base64 e; rm e")
	if err != nil {
		return nil, t.m.why(ctx, fmt.Errorf("evidence: %w\n%s", err, out))
	}
	return s, t.decode(name, out)
}

// appraise has the site's verifier judge evidence, with revocation lists of hosts. manager is the
// one whose evidence it takes, "" for any.
func (t *movedTrust) appraise(s *shown, manager string, lists ...string) (code int, text string, err error) {
	p := map[string]any{"roots": []string{"site.pem"}, "measuredBy": []string{"nobody"}, "maxAge": "1h", "crls": lists}
	if manager != "" {
		p["managers"] = []string{manager}
	}
	b, err := json.Marshal(p)
	if err == nil {
		err = os.WriteFile(t.file("policy.json"), b, 0o600)
	}
	if err != nil {
		return 0, "", err
	}
	var out strings.Builder
	code = verify.Command([]string{"--policy", t.file("policy.json"), "--nonce", hex.EncodeToString(s.nonce), "--json", t.file(s.file)}, nil, &out, &out)
	var answer struct {
		Result struct {
			Manager string `json:"manager"`
		} `json:"result"`
	}
	if json.Unmarshal([]byte(out.String()), &answer) == nil && answer.Result.Manager != "" {
		s.manager = answer.Result.Manager
	}
	return code, out.String(), nil
}

// list gets a host's revocation list.
func (t *movedTrust) list(ctx context.Context, of *Doorbell, name string) error {
	here := &trust{of.Stack, t.r, t.dir}
	if err := here.mgr(ctx, "crl -o /"+name); err != nil {
		return err
	}
	return here.get(ctx, name)
}

// claim checks how the verifier judges evidence.
func (t *movedTrust) claim(what string, want int, s *shown, manager string, lists ...string) error {
	code, text, err := t.appraise(s, manager, lists...)
	if err != nil {
		return err
	}
	check(t.r, what, code == want, "exit code %d, want %d\n%s", code, want, text)
	if code != want {
		return ErrClaims
	}
	return nil
}

// goes moves the guest, and claims that what it has loaded goes on, and that the verifier takes
// the new host's evidence only. It returns what the guest showed there.
func (t *movedTrust) goes(ctx context.Context, from, to *Doorbell, address, before string, old *shown, name string) (*shown, error) {
	m := t.m
	g, err := from.connect(ctx)
	if err != nil {
		return nil, err
	}
	loaded, err := g.run(ctx, loadIt)
	if err != nil {
		return nil, m.why(ctx, err)
	}
	s, err := m.still(ctx, from, g.Guest)
	if err != nil {
		return nil, err
	}
	m.r.Step("dom0: stubtpm-host migrate %s to %s", guestName, address)
	out, err := from.M.Dom0.Run(ctx, command(address, "", ""))
	if err != nil {
		return nil, m.why(ctx, fmt.Errorf("%w\n%s", err, out))
	}
	took := time.Since(s.begin)
	if g, err = to.connect(ctx); err != nil {
		return nil, m.why(ctx, err)
	}
	if err := s.end(ctx, g.Guest, "by stubtpm-host migrate, with its vTPM", took); err != nil {
		return nil, err
	}
	used, err := g.run(ctx, useLoaded)
	if err != nil {
		return nil, m.why(ctx, fmt.Errorf("%w\n%s", err, used))
	}
	m.r.Show(guestName, "loaded before the move; and used after it", loaded+used)
	check(m.r, "a loaded object and a session go on: the secret opens by its handle, with the session's policy of before",
		strings.TrimSpace(used) == strings.TrimSpace(loaded)+"\n"+sealed && strings.Count(loaded, "0x") == 3, "before:\n%s\nafter:\n%s", loaded, used)
	if err := m.moved(ctx, from, to, before); err != nil {
		return nil, err
	}
	now, err := t.ask(ctx, to, name)
	if err != nil {
		return nil, err
	}
	for n, d := range map[string]*Doorbell{"old.crl": from, "new.crl": to} {
		if err := t.list(ctx, d, n); err != nil {
			return nil, err
		}
	}
	for _, err := range []error{
		t.claim("the verifier takes the guest's evidence after the move", 0, now, "", "old.crl", "new.crl"),
		t.claim("as the new host's", 0, now, now.manager, "new.crl"),
		t.claim("not as the old host's", int(verify.Manager), now, old.manager, "new.crl"),
		t.claim("the old host's evidence is refused: what it certified is revoked", int(verify.Revoked), old, "", "old.crl", "new.crl"),
	} {
		if err != nil {
			return nil, err
		}
	}
	check(m.r, "the two are of different managers", now.manager != "" && now.manager != old.manager, "%q, %q", old.manager, now.manager)
	return now, nil
}

// Shown moves a guest with a sealed secret, a PCR extended, an open session and a loaded object to
// the second host and back, with the site's verifier asking it at each. dir is the site's.
func (m *Move) Shown(ctx context.Context, dir string) error {
	if err := m.Plain(ctx); err != nil {
		return err
	}
	if err := m.Listen(ctx, takeScript); err != nil {
		return err
	}
	g, err := m.start(ctx)
	if err != nil {
		return err
	}
	if _, err := g.run(ctx, sealIt); err != nil {
		return m.a.why(err)
	}
	before, err := g.run(ctx, showPCRs)
	if err != nil {
		return err
	}
	t := &movedTrust{&trust{m.A, m.r, dir}, m}
	first, err := t.ask(ctx, m.a, "first")
	if err != nil {
		return err
	}
	if err := t.claim("the verifier takes the guest's evidence before the move", 0, first, ""); err != nil {
		return err
	}
	second, err := t.goes(ctx, m.a, m.b, lab.AddressB, before, first, "second")
	if err != nil {
		return err
	}
	_, err = t.goes(ctx, m.b, m.a, lab.AddressA, before, second, "third")
	return err
}
