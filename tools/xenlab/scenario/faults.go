package scenario

import (
	"context"
	"fmt"
	"strings"
)

// A fault changes the state disk of a stopped vTPM. Its script runs in dom0 with the
// disk's device in $dev, a copy of the current state disk in $good, one of an earlier
// state in $old, and one of another vTPM's in $foreign.
type fault struct {
	name, script string
}

var faults = []fault{
	{"an image of random bytes", "dd if=/dev/urandom of=$dev bs=64k count=64 conv=notrunc 2>/dev/null"},
	{"an image of zeros", "dd if=/dev/zero of=$dev bs=64k count=64 conv=notrunc 2>/dev/null"},
	// Of each half of the disk only the first KiB was written: a slot's header and
	// the start of its state.
	{"a torn image", `for half in 0 2048; do
	dd if=/dev/zero of=$dev bs=1024 seek=$((half+1)) count=255 conv=notrunc 2>/dev/null; done`},
	{"an image with one bit turned", `for half in 0 2097152; do
	b=$(dd if=$dev bs=1 skip=$((half+700)) count=1 2>/dev/null | od -An -tu1)
	printf "\\$(printf %o $((b ^ 1)))" | dd of=$dev bs=1 seek=$((half+700)) conv=notrunc 2>/dev/null; done`},
	{"the image of another vTPM", "cat $foreign > $dev"},
	{"its own image of an earlier state", "cat $old > $dev"},
}

// Faults stops the vTPM and starts it with each kind of wrong disk in turn, and at last
// with its own again. It needs the stack as Story leaves it, and enrolls a second vTPM.
func (s *Stack) Faults(ctx context.Context, r Report) error {
	if err := s.notEnrolled(ctx, r); err != nil {
		return err
	}
	const other, otherUUID = "vtpm-guest2", "5f1c0a52-6d0f-4c0e-9a1b-0d9b7a3c1e02"
	if err := s.Enroll(ctx, otherUUID); err != nil {
		return err
	}
	if err := s.serves(ctx, r, "a second vTPM serves", other, otherUUID); err != nil {
		return err
	}
	if err := s.Destroy(ctx, other); err != nil {
		return err
	}
	// A copy of the first one's state, which a later write makes an earlier state.
	copyTo := func(disk, file string) error {
		_, err := s.M.Dom0.Run(ctx, "sync; cat "+s.disks[disk]+" > "+file)
		return err
	}
	if err := s.Destroy(ctx, guestName, vtpmName); err != nil {
		return err
	}
	if err := copyTo(other, "/images/foreign"); err != nil {
		return err
	}
	if err := copyTo(vtpmName, "/images/old"); err != nil {
		return err
	}
	g, err := s.startPair(ctx, r)
	if err != nil {
		return err
	}
	if _, err := (guest{g, r}).run(ctx, "tpm2_nvdefine -Q -C o -s 8 -a 'ownerread|ownerwrite' 0x1500002"); err != nil {
		return err
	}
	if err := s.Destroy(ctx, guestName, vtpmName); err != nil {
		return err
	}
	if err := copyTo(vtpmName, "/images/good"); err != nil {
		return err
	}
	for _, f := range faults {
		r.Step("vTPM with %s", f.name)
		script := "set -e; dev=" + s.disks[vtpmName] + " good=/images/good old=/images/old foreign=/images/foreign\ncat $good > $dev\n" + f.script + "\nsync"
		if _, err := s.M.Dom0.Run(ctx, script); err != nil {
			return err
		}
		if err := s.refuses(ctx, r, f.name, vtpmName, vtpmUUID); err != nil {
			return err
		}
	}
	r.Step("vTPM with its right image again")
	if _, err := s.M.Dom0.Run(ctx, "cat /images/good > "+s.disks[vtpmName]+"; sync"); err != nil {
		return err
	}
	if err := s.serves(ctx, r, "with its right image the vTPM serves again", vtpmName, vtpmUUID); err != nil {
		return err
	}
	r.Step("manager and vTPM destroyed and started again")
	if err := s.Destroy(ctx, vtpmName, managerName); err != nil {
		return err
	}
	if err := s.StartManager(ctx); err != nil {
		return err
	}
	return s.serves(ctx, r, "after a restart of the manager, too, the vTPM serves", vtpmName, vtpmUUID)
}

func (s *Stack) notEnrolled(ctx context.Context, r Report) error {
	r.Step("a vTPM that is not enrolled")
	const name, uuid = "vtpm-stranger", "5f1c0a52-6d0f-4c0e-9a1b-0d9b7a3c1eff"
	return s.refuses(ctx, r, "without being enrolled", name, uuid)
}

// serves starts a vTPM and claims that it serves.
func (s *Stack) serves(ctx context.Context, r Report, claim, name, uuid string) error {
	mark, err := s.StartVTPM(ctx, name, uuid)
	if err != nil {
		return err
	}
	check(r, claim, mark == vtpmReady, "%s says:\n%s", name, s.Since(name))
	return nil
}

// refuses starts a vTPM and claims that it reports why it does not serve, and that no
// guest gets a TPM from it.
func (s *Stack) refuses(ctx context.Context, r Report, claim, name, uuid string) error {
	mark, err := s.StartVTPM(ctx, name, uuid)
	if err != nil {
		return err
	}
	said := s.Since(name)
	check(r, claim+": the vTPM refuses", mark == vtpmRefused, "it says %q:\n%s", mark, said)
	r.Show(name, "console", grep(said, 2, vtpmRefused))
	// Give it time for what it must not do.
	out, err := s.M.Dom0.Run(ctx, fmt.Sprintf("sleep 1; xl domid %s 2>/dev/null || echo ended", name))
	if err != nil {
		return err
	}
	if strings.Contains(out, "ended") {
		return nil
	}
	check(r, claim+": nothing is served", !strings.Contains(s.Since(name), vtpmReady), "%s", s.Since(name))
	return s.Destroy(ctx, name)
}
