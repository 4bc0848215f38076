package scenario

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

// direct starts a Linux guest with the hardware TPM, in place of another system that
// is booted on the host. The manager must not run.
func (s *Stack) direct(ctx context.Context, r Report) (guest, error) {
	d := NewStack(s.M)
	d.Direct = true
	g, err := d.StartGuest(ctx, "other-system", "")
	return guest{g, r}, err
}

// moveWanted matches the values to sign in the manager's error.
var moveWanted = regexp.MustCompile(`manager ([0-9a-f]+), challenge ([0-9a-f]+)`)

// Index undefines the manager's NV indices in the hardware TPM while the manager is
// stopped. It claims that the manager then refuses to start, and that the administrator's
// signature makes it serve again with all its data.
func (s *Stack) Index(ctx context.Context, r Report, p *Pair) error {
	if err := s.Destroy(ctx, p.name, p.vtpm, managerName); err != nil {
		return err
	}
	r.Step("another system has the hardware TPM")
	g, err := s.direct(ctx, r)
	if err != nil {
		return err
	}
	const script = `tpm2_flushcontext -t; tpm2_flushcontext -l; tpm2_flushcontext -s # what the manager has left
for i in $(tpm2_getcap handles-nv-index | grep -i 0x1a57b | cut -d' ' -f2); do tpm2_nvundefine -C o $i && echo "undefined $i"; done
tpm2_getcap handles-nv-index`
	out, err := g.run(ctx, script)
	if err != nil {
		return err
	}
	r.Show("other-system", "tpm2_nvundefine -C o ...", out)
	check(r, "whoever has the empty authorization of the owner undefines the manager's two indices", strings.Count(out, "undefined ") == 2, "%s", out)
	if err := s.Destroy(ctx, "other-system"); err != nil {
		return err
	}
	serves, err := s.StartManagerWith(ctx, "")
	if err != nil {
		return err
	}
	said := s.Since(managerName)
	check(r, "without its indices the manager does not serve, and says what to do", !serves && moveWanted.MatchString(said), "%s", said)
	r.Show(managerName, "console", grep(said, 2, managerFailed))
	m := moveWanted.FindStringSubmatch(said)
	if m == nil {
		return ErrClaims
	}
	sign := func(key, challenge string) (string, error) {
		out, err := s.M.Dom0.Run(ctx, fmt.Sprintf("%s mgr -key %s move-indices --manager %s --challenge %s", adminCommand, key, m[1], challenge))
		return strings.Join(strings.Fields(out), " "), err
	}
	if _, err := s.M.Dom0.Run(ctx, adminCommand+" mgr keygen /tmp/stranger >/dev/null"); err != nil {
		return err
	}
	words, err := sign("/tmp/stranger", m[2])
	if err != nil {
		return err
	}
	serves, err = s.StartManagerWith(ctx, words)
	check(r, "a stranger's signature moves nothing", err == nil && !serves, "%v\n%s", err, s.Since(managerName))
	words, err = sign(adminKey, m[2])
	if err != nil {
		return err
	}
	r.Show("dom0", "stubtpm mgr move-indices", words)
	serves, err = s.StartManagerWith(ctx, words)
	check(r, "with the administrator's signature the manager serves, with new indices", err == nil && serves, "%v\n%s", err, s.Since(managerName))
	if err != nil || !serves {
		return ErrClaims
	}
	if err := p.start(ctx); err != nil {
		return err
	}
	if err := p.kept(ctx, "the guest has its NV counter, its data and its key", false); err != nil {
		return err
	}
	r.Step("and once more, with plain configurations")
	if err := s.Destroy(ctx, p.name, p.vtpm, managerName); err != nil {
		return err
	}
	serves, err = s.StartManagerWith(ctx, "")
	check(r, "the next start of the manager needs no word", err == nil && serves, "%v\n%s", err, s.Since(managerName))
	if err != nil || !serves {
		return ErrClaims
	}
	if err := p.start(ctx); err != nil {
		return err
	}
	out, err = s.M.Dom0.Run(ctx, adminCommand+" mgr status --check")
	check(r, "and all is well", err == nil, "%v\n%s", err, out)
	return p.kept(ctx, "the guest still has all", false)
}
