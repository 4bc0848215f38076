package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// manifestFile lists the images in dom0.
const manifestFile = "/images/manifest.json"

// shownVTPM is the part of the output of `stubtpm mgr --json show` that is used.
type shownVTPM struct {
	UUID      string
	Connected bool
	State     bool `json:"manufactured"`
	Suspended bool
	Epoch     uint32
}

// Admin sends the manager the orders that docs/admin.md describes.
func (s *Stack) Admin(ctx context.Context, r Report) error {
	order := func(words string) (string, error) {
		return s.M.Dom0.Run(ctx, adminCommand+" mgr -key "+adminKey+" "+words)
	}
	must := func(claim, words string) string {
		out, err := order(words)
		check(r, claim, err == nil, "%v\n%s", err, out)
		return out
	}
	refused := func(claim, words, why string) {
		out, err := order(words)
		check(r, claim, err != nil && strings.Contains(err.Error()+out, why), "%v\n%s", err, out)
	}
	show := func() (l shownVTPM) {
		out, err := order("--json show " + vtpmUUID)
		if err == nil {
			err = json.Unmarshal([]byte(out), &l)
		}
		if err != nil {
			r.Step("show: %v", err)
		}
		return l
	}
	// A vTPM serves if it is connected and has a state.
	serves := func(claim string, wait time.Duration) error {
		deadline := time.Now().Add(wait)
		l := show()
		for ; !(l.Connected && l.State) && time.Now().Before(deadline); l = show() {
			time.Sleep(time.Second)
		}
		check(r, claim, l.Connected && l.State, "%+v", l)
		if !l.Connected {
			host, _ := s.M.Dom0.Run(ctx, "tail -20 /host.log; xl list")
			return fmt.Errorf("%s\nmanager:\n%s\nstubtpm-host:\n%s", s.Since(vtpmName), s.Since(managerName), host)
		}
		return nil
	}

	r.Show("dom0", "stubtpm mgr status", must("status says that all is well", "status --check"))
	must("a vTPM is enrolled with its image", "enroll "+vtpmUUID+" --starts plain --name mail --image "+manifestFile)
	if err := s.measuredStart(ctx, r, must); err != nil {
		return err
	}
	if err := serves("a vTPM whose image was measured connects", time.Minute); err != nil {
		return err
	}
	r.Show("dom0", "stubtpm mgr list", must("list shows it", "list"))
	refused("no backup is made while it runs", "backup "+vtpmUUID+" -o /b", "in use")
	must("it is suspended", "suspend "+vtpmUUID)
	check(r, "and show says so", show().Suspended, "not suspended")
	must("and resumed", "resume "+vtpmUUID)

	out, err := s.M.Dom0.Run(ctx, fmt.Sprintf("for i in 1 2 3 4; do %s mgr -key %s group list & done; wait", adminCommand, adminKey))
	check(r, "four orders at once are carried out", err == nil && strings.Count(out, "default") == 4, "%v\n%s", err, out)
	_, err = s.M.Dom0.Run(ctx, fmt.Sprintf("for t in 0.02 0.05 0.1 0.2; do %s mgr -key %s list & sleep $t; kill -9 $!; done; wait; true", adminCommand, adminKey))
	if err != nil {
		return err
	}
	must("after four that were killed, the next is carried out", "list")
	out, _ = s.M.Dom0.Run(ctx, "xenstore-ls /local/domain/0/device/vtpm")
	check(r, "and nothing of them is left", strings.TrimSpace(out) == "", "%s", out)

	disk, err := s.disk(ctx, vtpmName)
	if err != nil {
		return err
	}
	if err := s.Destroy(ctx, vtpmName); err != nil {
		return err
	}
	must("a backup is made", "backup "+vtpmUUID+" -o /b")
	if _, err := s.M.Dom0.Run(ctx, "dd if="+disk+" of=/b.disk bs=1M 2>/dev/null"); err != nil {
		return err
	}
	if err := s.measuredStart(ctx, r, must); err != nil {
		return err
	}
	if err := serves("it connects again", time.Minute); err != nil {
		return err
	}
	if err := s.Destroy(ctx, vtpmName); err != nil {
		return err
	}
	if _, err := s.M.Dom0.Run(ctx, "dd if=/b.disk of="+disk+" bs=1M 2>/dev/null"); err != nil {
		return err
	}
	must("the backup is restored", "restore /b")
	check(r, "in a new epoch", show().Epoch == 1, "%+v", show())
	if err := s.hosted(ctx); err != nil {
		return err
	}
	if err := serves("the restored vTPM serves, started and measured by stubtpm-host", 2*time.Minute); err != nil {
		return err
	}
	if _, err := s.M.Dom0.Run(ctx, "xl destroy "+managerName); err != nil {
		return err
	}
	if err := serves("and the next manager takes it, though it cannot be measured again", 2*time.Minute); err != nil {
		return err
	}
	out, _ = s.M.Dom0.Run(ctx, "tail -20 /host.log")
	r.Show("dom0", "stubtpm-host run -restart -measure -tell", out)

	// As in docs/admin.md, with a configuration that contains parameters too.
	out, err = s.M.Dom0.Run(ctx, "(cat "+managerConfig+"; echo 'extra = \"guard=5s\"') >/first.cfg; xl create -n -d /first.cfg \"extra='$("+adminCommand+" mgr --key "+adminKey+" init)'\" 2>&1")
	check(r, "the parameters of a first start replace those of the configuration", err == nil && strings.Contains(out, "init admin=") && !strings.Contains(out, "guard="), "%v\n%s", err, out)

	must("the audit log is exported", "audit-log export -o /log")
	key := must("status contains the log's key", "--json status")
	var status struct {
		Key string `json:"audit_key"`
	}
	if err := json.Unmarshal([]byte(key), &status); err != nil {
		return err
	}
	must("and the log is whole", "audit-log verify --audit-key "+status.Key+" /log")
	r.Show("dom0", "stubtpm mgr audit-log show", must("it is shown", "audit-log show"))
	refused("a stranger's key is refused", "keygen /stranger >/dev/null; "+adminCommand+" mgr --key /stranger list", "not signed by a key")
	must("the vTPM is destroyed", "destroy --yes "+vtpmUUID)
	refused("and is unknown then", "show "+vtpmUUID, "not enrolled")
	return nil
}

// measuredStart creates the vTPM's domain, lets it be measured, and unpauses it.
func (s *Stack) measuredStart(ctx context.Context, r Report, must func(claim, words string) string) error {
	if err := s.writeConfig(ctx); err != nil {
		return err
	}
	if _, err := s.console(vtpmName); err != nil {
		return err
	}
	if _, err := s.M.Dom0.Run(ctx, "xl create -q -p "+vtpmConfig); err != nil {
		return err
	}
	r.Show("dom0", "stubtpm mgr measured", must("its paused domain is measured", "measured "+vtpmName+" "+vtpmImage))
	_, err := s.M.Dom0.Run(ctx, "xl unpause "+vtpmName)
	return err
}

// Files in dom0 that Admin uses.
const (
	vtpmConfig    = "/etc/xen/admin-vtpm.cfg"
	managerConfig = "/etc/xen/admin-mgr.cfg"
)

func (s *Stack) writeConfig(ctx context.Context) error {
	disk, err := s.disk(ctx, vtpmName)
	if err != nil {
		return err
	}
	managerDisk, err := s.disk(ctx, "vtpmmgr")
	if err != nil {
		return err
	}
	vtpm, err := s.vtpmDomain(vtpmName, vtpmUUID, disk).Config()
	if err != nil {
		return err
	}
	manager, err := s.managerDomain(managerDisk).Config()
	if err != nil {
		return err
	}
	if _, err := s.M.Dom0.RunInput(ctx, "cat > "+vtpmConfig, []byte(vtpm)); err != nil {
		return err
	}
	_, err = s.M.Dom0.RunInput(ctx, "cat > "+managerConfig, []byte(manager))
	return err
}

// hosted starts both domains with stubtpm-host.
func (s *Stack) hosted(ctx context.Context) error {
	_, err := s.M.Dom0.Run(ctx, hostCommand+" run -restart -measure "+manifestFile+" -tell "+adminKey+" "+managerConfig+" "+vtpmConfig+
		" </dev/null >/host.log 2>&1 & echo $! >/host.pid")
	return err
}
