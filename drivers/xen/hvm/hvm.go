package hvm

import "strconv"

// An Errno is the error of a hypercall (public/errno.h), as a positive number.
type Errno int

var errnoNames = map[Errno]string{
	1: "EPERM", 2: "ENOENT", 3: "ESRCH", 7: "E2BIG", 11: "EAGAIN", 12: "ENOMEM", 14: "EFAULT", 16: "EBUSY",
	17: "EEXIST", 22: "EINVAL", 28: "ENOSPC", 38: "ENOSYS", 95: "EOPNOTSUPP",
}

func (e Errno) Error() string {
	if s := errnoNames[e]; s != "" {
		return "xen: " + s
	}
	return "xen: error " + strconv.Itoa(int(e))
}
