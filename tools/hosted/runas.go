package hosted

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// become changes to the root of --chroot and to the user of --runas. The user
// is looked up in the old root.
func (o *options) become() error {
	if o.RunAs == "" {
		return o.changeRoot()
	}
	u, err := user.Lookup(o.RunAs)
	if err != nil {
		if u, err = user.LookupId(o.RunAs); err != nil {
			return fmt.Errorf("--runas: %w", err)
		}
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if err := o.changeRoot(); err != nil {
		return err
	}
	if err := errors.Join(syscall.Setgroups([]int{gid}), syscall.Setgid(gid), syscall.Setuid(uid)); err != nil {
		return fmt.Errorf("--runas %s: %w", o.RunAs, err)
	}
	return nil
}

func (o *options) changeRoot() error {
	if o.Chroot == "" {
		return nil
	}
	if err := errors.Join(syscall.Chroot(o.Chroot), os.Chdir("/")); err != nil {
		return fmt.Errorf("--chroot %s: %w", o.Chroot, err)
	}
	return nil
}
