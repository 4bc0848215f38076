package scenario

import (
	"context"
	"fmt"
	"strings"

	"stubtpm/tools/xenlab/lab"
)

// Story starts the stack, uses the guest's TPM, restarts vTPM and guest, and shows that
// the TPM's state was kept. It returns the guest that runs at the end.
func (s *Stack) Story(ctx context.Context, r Report) (*lab.Guest, error) {
	if err := s.platform(ctx, r); err != nil {
		return nil, err
	}
	if !s.Direct {
		r.Step("manager: xl create %s", managerName)
		if err := s.StartManager(ctx); err != nil {
			return nil, err
		}
		r.Step("dom0: stubtpm mgr enroll --starts plain %s", vtpmUUID)
		if err := s.Enroll(ctx, vtpmUUID); err != nil {
			return nil, err
		}
	}
	g, err := s.startPair(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := s.domains(ctx, r); err != nil {
		return nil, err
	}
	if !s.Direct {
		if err := (guest{g, r}).driver(ctx, s.M); err != nil {
			return nil, err
		}
	}
	if err := (guest{g, r}).steps(ctx, firstBoot); err != nil {
		return nil, err
	}
	if s.Direct {
		// The hardware TPM cannot be restarted here.
		return g, nil
	}
	r.Step("restart: xl destroy %s %s", guestName, vtpmName)
	if err := s.Destroy(ctx, guestName, vtpmName); err != nil {
		return nil, err
	}
	r.Show("dom0", fmt.Sprintf("xl destroy %s; xl destroy %s; xl create ...", guestName, vtpmName), "")
	if g, err = s.startPair(ctx, r); err != nil {
		return nil, err
	}
	return g, (guest{g, r}).steps(ctx, secondBoot)
}

// startPair starts the vTPM and its guest.
func (s *Stack) startPair(ctx context.Context, r Report) (*lab.Guest, error) {
	if !s.Direct {
		r.Step("vTPM: xl create %s", vtpmName)
		mark, err := s.StartVTPM(ctx, vtpmName, vtpmUUID)
		if err != nil {
			return nil, err
		}
		if mark != vtpmReady {
			return nil, fmt.Errorf("%s does not serve; its console says:\n%s", vtpmName, s.Since(vtpmName))
		}
	}
	r.Step("guest: xl create %s (Debian's kernel, about 10 s)", guestName)
	return s.StartGuest(ctx, guestName, vtpmName)
}

// platform shows the platform, and that dom0 does not use the TPM.
func (s *Stack) platform(ctx context.Context, r Report) error {
	out, err := s.M.Dom0.Run(ctx, "xl info | grep -E 'xen_version|virt_caps|release|xen_caps'")
	if err != nil {
		return err
	}
	r.Show("dom0", "xl info", strings.TrimSpace(out))
	out, err = s.M.Dom0.Run(ctx, "ls /dev | grep tpm || echo no TPM device in dom0")
	if err != nil {
		return err
	}
	r.Show("dom0", "ls /dev | grep tpm", strings.TrimSpace(out))
	check(r, "dom0 has no TPM device", strings.Contains(out, "no TPM device"), "dom0 has %s", out)
	return nil
}

// domains shows xl list and checks the types and registers of the domains.
func (s *Stack) domains(ctx context.Context, r Report) error {
	out, err := s.M.Dom0.Run(ctx, "xl list")
	if err != nil {
		return err
	}
	r.Show("dom0", "xl list", strings.TrimSpace(out))
	list, err := s.M.Domains(ctx)
	if err != nil {
		return err
	}
	want := []string{managerName, vtpmName, guestName}
	holder := managerName
	if s.Direct {
		want, holder = []string{guestName}, guestName
	}
	for _, name := range want {
		var d *lab.Domain
		for i := range list {
			if list[i].Name == name {
				d = &list[i]
			}
		}
		if d == nil {
			check(r, name+" is a domain", false, "xl list -l has no such domain")
			continue
		}
		check(r, name+" is a PVH domain", d.Type == "pvh", "its type is %q", d.Type)
	}
	for _, d := range list {
		if d.Name == holder {
			check(r, d.Name+" has the hardware TPM's registers", strings.Contains(d.IOMem, "fed40"), "its iomem is %q", d.IOMem)
		} else {
			check(r, d.Name+" has no memory-mapped registers", d.IOMem == "", "its iomem is %q", d.IOMem)
		}
	}
	return nil
}
