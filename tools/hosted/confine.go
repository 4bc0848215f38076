package hosted

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"github.com/landlock-lsm/go-landlock/landlock"
	llsyscall "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// A process that serves needs little of the system: what a client could make of
// a fault in it is bounded by that. Once all is open, the process gives up the
// file system but for its state (Landlock), new TCP connections and listeners,
// and most system calls (seccomp).

// Actions of --seccomp (swtpm(8)).
const (
	seccompKill = "kill" // a forbidden system call ends the process; the default
	seccompLog  = "log"  // system calls are logged by the kernel, and nothing is confined
	seccompNone = "none" // nothing is confined
)

// A confinement is what a process still needs.
type confinement struct {
	action  string
	state   *StateDir
	sockets []string // whose names are removed at the end
	strict  bool     // what the kernel lacks is an error
}

// apply confines all threads of the process. What the kernel lacks is logged.
func (c confinement) apply(log Logger) error {
	if c.action == seccompNone {
		return nil
	}
	var failed error
	if c.action != seccompLog {
		failed = errors.Join(failed, c.restrictFiles())
		// No core dumps, and no other process of the user may look into the memory.
		failed = errors.Join(failed, unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
	}
	failed = errors.Join(failed, filterCalls(c.action))
	if failed != nil && c.strict {
		return fmt.Errorf("confinement: %w (refused by --strict)", failed)
	}
	if failed != nil {
		log("warning: the process is not confined as it should be: %v", failed)
	}
	return nil
}

// restrictFiles is Landlock: the state, and the removal of the sockets.
func (c confinement) restrictFiles() error {
	if v, err := llsyscall.LandlockGetABIVersion(); err != nil || v < 1 {
		return errors.New("this kernel has no Landlock, or does not use it")
	}
	const (
		read   = llsyscall.AccessFSReadFile
		write  = llsyscall.AccessFSWriteFile | llsyscall.AccessFSTruncate
		remove = llsyscall.AccessFSRemoveFile
		make   = llsyscall.AccessFSMakeReg
	)
	rules := []landlock.Rule{landlock.PathAccess(read|llsyscall.AccessFSWriteFile, "/dev/null").IgnoreIfMissing()}
	if c.state.onBlockDevice() {
		rules = append(rules, landlock.PathAccess(read|llsyscall.AccessFSWriteFile, c.state.file()))
	} else {
		rules = append(rules, landlock.PathAccess(read|write|remove|make|llsyscall.AccessFSReadDir, c.state.dir.Name()))
	}
	for _, s := range c.sockets {
		rules = append(rules, landlock.PathAccess(remove, filepath.Dir(s)))
	}
	// Version 5 has all rights of files. Scopes of signals are left out: the Go
	// runtime signals its own threads, which kernels before 6.15 count as others.
	config := landlock.V5.BestEffort()
	if err := config.RestrictPaths(rules...); err != nil {
		return fmt.Errorf("landlock: %w", err)
	}
	if err := config.RestrictNet(); err != nil {
		return fmt.Errorf("landlock: %w", err)
	}
	return nil
}

// filterCalls is seccomp: what is allowed is allowed, what no TPM needs and an
// intruder does ends the process, and the rest fails with EPERM, so that a later
// version of the Go runtime that tries a new system call falls back.
func filterCalls(action string) error {
	if !seccomp.Supported() {
		return errors.New("this kernel has no seccomp")
	}
	info, err := arch.GetInfo("")
	if err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	known := func(names []string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(n string) bool { _, ok := info.SyscallNames[n]; return !ok })
	}
	policy := seccomp.Policy{DefaultAction: seccomp.ActionErrno, Syscalls: []seccomp.SyscallGroup{
		{Action: seccomp.ActionAllow, Names: known(allowedCalls)},
		{Action: seccomp.ActionKillProcess, Names: known(deadlyCalls)},
	}}
	if action == seccompLog {
		policy.DefaultAction = seccomp.ActionLog
		policy.Syscalls = policy.Syscalls[:1]
	}
	filter := seccomp.Filter{NoNewPrivs: true, Flag: seccomp.FilterFlagTSync, Policy: policy}
	if err := seccomp.LoadFilter(filter); err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	return nil
}

// allowedCalls are those of the Go runtime and of this package once it serves.
var allowedCalls = []string{
	// The runtime: memory, threads, signals, time.
	"brk", "clock_getres", "clock_gettime", "clock_nanosleep", "clone", "clone3", "exit", "exit_group", "futex",
	"getcpu", "getegid", "geteuid", "getgid", "getpid", "getppid", "getrandom", "getrlimit", "gettid", "gettimeofday",
	"getuid", "madvise", "membarrier", "mincore", "mlock", "mmap", "mprotect", "mremap", "munlock", "munmap", "nanosleep",
	"prlimit64", "restart_syscall", "rseq", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigreturn", "rt_sigsuspend",
	"rt_sigtimedwait", "sched_getaffinity", "sched_yield", "set_robust_list", "set_tid_address", "setitimer", "sigaltstack",
	"sysinfo", "tgkill", "timer_create", "timer_delete", "timer_settime", "uname", "arch_prctl",
	// Connections.
	"accept", "accept4", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd2",
	"getpeername", "getsockname", "getsockopt", "listen", "pipe2", "poll", "ppoll", "recvfrom", "recvmsg",
	"sendmsg", "sendto", "setsockopt", "shutdown",
	// Files.
	"close", "dup", "dup3", "fallocate", "fchmod", "fcntl", "fdatasync", "flock", "fstat", "fsync", "ftruncate", "ioctl", "lseek",
	"newfstatat", "fstatat64", "openat", "pread64", "preadv", "pwrite64", "pwritev", "read", "readv", "renameat", "renameat2",
	"statx", "stat", "lstat", "unlink", "unlinkat", "write", "writev",
}

// deadlyCalls are those that start programs, look into other processes, or
// change the system.
var deadlyCalls = []string{
	"acct", "add_key", "adjtimex", "bpf", "chroot", "clock_adjtime", "clock_settime", "delete_module", "execve", "execveat",
	"finit_module", "fsconfig", "fsmount", "fsopen", "fspick", "init_module", "io_uring_enter", "io_uring_register",
	"io_uring_setup", "ioperm", "iopl", "kcmp", "kexec_file_load", "kexec_load", "keyctl", "mount", "mount_setattr",
	"move_mount", "name_to_handle_at", "open_by_handle_at", "open_tree", "perf_event_open", "personality", "pidfd_getfd",
	"pivot_root", "process_vm_readv", "process_vm_writev", "ptrace", "quotactl", "reboot", "request_key", "setdomainname",
	"setfsgid", "setfsuid", "setgid", "setgroups", "sethostname", "setns", "setregid", "setresgid", "setresuid", "setreuid",
	"settimeofday", "setuid", "swapoff", "swapon", "umount2", "unshare", "userfaultfd", "vhangup",
}
