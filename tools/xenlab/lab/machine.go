package lab

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"stubtpm/tools/initramfs"
)

// Options describe a machine.
type Options struct {
	// Dir is the directory for logs, sockets and images. Start creates it if it
	// does not exist. A relative path stays relative, because the path of a socket
	// is limited to 107 bytes.
	Dir string
	// Distribution is the release of Debian that dom0 and Linux guests run, Bookworm
	// by default.
	Distribution Distribution
	// TPM is QEMU's model of the hardware TPM: "tis" (the default), "crb" or
	// "none".
	TPM string
	// TPMState is the directory with the state of swtpm, "tpm" in Dir by default.
	// A later machine with the same directory has the same hardware TPM.
	TPMState string
	// Manufactured gives a new hardware TPM an EK certificate; see Machine.Vendor.
	Manufactured bool
	// Accel is QEMU's accelerator, "tcg" by default, or "kvm".
	Accel string
	// Memory in MiB of the whole machine, Dom0Memory of dom0.
	Memory, Dom0Memory int
	// CPUs of the machine; dom0 has one. With more than one, QEMU's emulation
	// (7.2) sometimes mixes up the states of guests, and they triple-fault, so
	// use more only with Accel "kvm".
	CPUs int
	// Files are host files to copy into dom0, by their path there.
	Files map[string]string
	// Xenstored are additional options of xenstored.
	Xenstored []string
	// LinuxGuest puts a kernel and an initramfs for Linux guests into dom0, at
	// GuestKernel and GuestInitrd.
	LinuxGuest bool
	// GuestFiles are host files to copy into Linux guests, by their path there.
	GuestFiles map[string]string
	// Encryption puts systemd's and cryptsetup's programs for an encrypted disk into
	// Linux guests.
	Encryption bool
	// Prepare, if set, is called with the host's files of the kernel and the initramfs
	// for Linux guests, and returns more host files to copy into dom0, by their path
	// there.
	Prepare func(kernel, initrd string) (map[string]string, error)
	// Modules are more kernel modules that dom0 loads, by their names.
	Modules []string
	// QEMU are more arguments for QEMU.
	QEMU []string
	// Log, if set, logs a line for each step.
	Log func(format string, args ...any)
}

// Paths in dom0 of the kernel and the initramfs for Linux guests.
const (
	GuestKernel = "/guest/vmlinuz"
	GuestInitrd = "/guest/initrd"
)

// A Machine is a running lab.
type Machine struct {
	// Dom0 runs commands in dom0.
	Dom0 *Client

	opt    Options
	cmds   []*exec.Cmd
	ended  chan struct{} // closed when QEMU has ended
	conn   net.Conn
	await  string // file that has to exist before QEMU starts, "" for none
	close  sync.Once
	loop   int // loop devices in use
	guests map[string]*Guest
	kernel initramfs.Kernel
	mu     sync.Mutex
}

func (o *Options) defaults() error {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	num := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	def(&o.Dir, "build/xenlab")
	def(&o.TPM, "tis")
	def(&o.Accel, "tcg")
	def(&o.TPMState, filepath.Join(o.Dir, "tpm"))
	num(&o.Memory, 2048)
	num(&o.Dom0Memory, 640)
	num(&o.CPUs, 1)
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	switch o.TPM {
	case "tis", "crb", "none":
		return nil
	}
	return fmt.Errorf("lab: TPM model %q: want tis, crb or none", o.TPM)
}

// IOMem returns the pages of the hardware TPM's registers in the form of xl's
// iomem option, or "" without one (TCG PC Client Platform TPM Profile, section
// 6: five localities from 0xFED40000).
func (m *Machine) IOMem() string {
	if m.opt.TPM == "none" {
		return ""
	}
	return "fed40,5"
}

// Start builds the initramfs files, starts swtpm and QEMU and waits until dom0
// responds. The context ends the machine, too.
func Start(ctx context.Context, opt Options) (*Machine, error) { return start(ctx, opt, "") }

// start is like Start, and waits for a file before it starts QEMU.
func start(ctx context.Context, opt Options, await string) (*Machine, error) {
	if err := opt.defaults(); err != nil {
		return nil, err
	}
	if missing := Missing(opt.Distribution); len(missing) > 0 {
		return nil, fmt.Errorf("lab: not on this host:\n  %s", strings.Join(missing, "\n  "))
	}
	if err := os.MkdirAll(opt.Dir, 0o755); err != nil {
		return nil, err
	}
	m := &Machine{opt: opt, await: await, ended: make(chan struct{}), guests: make(map[string]*Guest)}
	opt.Log("building dom0's root file system")
	if err := m.build(ctx); err != nil {
		return nil, err
	}
	if err := m.boot(ctx); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

func (m *Machine) path(name string) string { return filepath.Join(m.opt.Dir, name) }

// build creates the files that QEMU loads.
func (m *Machine) build(ctx context.Context) error {
	agent := m.path("agent")
	c := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", agent, "stubtpm/tools/xenlab/agent")
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("lab: building the agent: %w\n%s", err, out)
	}
	k, err := m.opt.Distribution.kernel()
	if err != nil {
		return err
	}
	m.kernel = k
	files := map[string]string{}
	for n, s := range m.opt.Files {
		files[n] = s
	}
	if m.opt.LinuxGuest {
		g, err := guestArchive(m.opt, k, agent)
		if err != nil {
			return err
		}
		if err := g.WriteFile(m.path("guest.cpio")); err != nil {
			return err
		}
		files[GuestKernel], files[GuestInitrd] = m.GuestFiles()
	}
	if m.opt.Prepare != nil {
		more, err := m.opt.Prepare(m.GuestFiles())
		if err != nil {
			return err
		}
		maps.Copy(files, more)
	}
	a, err := dom0Archive(m.opt, k, agent, files)
	if err != nil {
		return err
	}
	if err := a.WriteFile(m.path("dom0.cpio")); err != nil {
		return err
	}
	xen, err := m.opt.Distribution.hypervisor()
	if err != nil {
		return err
	}
	if err := gunzip(m.path("xen.elf"), xen); err != nil {
		return err
	}
	// QEMU's -initrd splits its list at commas: give it a short plain name.
	image, err := filepath.Abs(k.Image)
	if err != nil {
		return err
	}
	os.Remove(m.path("vmlinuz"))
	return os.Symlink(image, m.path("vmlinuz"))
}

// GuestFiles returns the host's paths of the kernel and the initramfs of Linux guests.
func (m *Machine) GuestFiles() (kernel, initrd string) { return m.kernel.Image, m.path("guest.cpio") }

// Encryption reports whether Linux guests have programs for an encrypted disk, which need
// memory.
func (m *Machine) Encryption() bool { return m.opt.Encryption }

// Distribution returns the release of Debian that the machine runs.
func (m *Machine) Distribution() Distribution { return m.opt.Distribution }

func gunzip(dst, src string) error {
	f, err := os.Open(src)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("%s: %w", src, err)
	}
	o, err := os.Create(dst)
	if err != nil {
		return err
	}
	if _, err := io.Copy(o, z); err != nil {
		o.Close()
		return fmt.Errorf("%s: %w", src, err)
	}
	return o.Close()
}

// boot starts swtpm and QEMU.
func (m *Machine) boot(ctx context.Context) error {
	var tpmArgs []string
	if m.opt.TPM != "none" {
		if err := os.MkdirAll(m.opt.TPMState, 0o700); err != nil {
			return err
		}
		if left, err := os.ReadDir(m.opt.TPMState); err == nil && len(left) == 0 && m.opt.Manufactured {
			if err := m.manufacture(ctx); err != nil {
				return err
			}
		}
		sock := m.path("swtpm.sock")
		os.Remove(sock)
		// No --flags startup-clear: QEMU itself sends CMD_INIT.
		err := m.spawn("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+m.opt.TPMState,
			"--ctrl", "type=unixio,path="+sock, "--log", "file="+m.path("swtpm.log"), "--terminate")
		if err != nil {
			return err
		}
		if err := waitForFile(ctx, sock, 10*time.Second); err != nil {
			return fmt.Errorf("lab: swtpm: %w", err)
		}
		tpmArgs = []string{"-chardev", "socket,id=chrtpm,path=" + sock, "-tpmdev", "emulator,id=tpm0,chardev=chrtpm",
			"-device", "tpm-" + m.opt.TPM + ",tpmdev=tpm0"}
	}

	ctl := m.path("dom0.sock")
	os.Remove(ctl)
	l, err := net.Listen("unix", ctl)
	if err != nil {
		return err
	}
	defer l.Close()

	accel, cpu := "tcg,thread=multi,tb-size=256", tcgCPU
	if m.opt.Accel != "tcg" {
		accel, cpu = m.opt.Accel, "host"
	}
	args := append([]string{
		"-accel", accel, "-cpu", cpu, "-M", "q35",
		"-smp", fmt.Sprint(m.opt.CPUs), "-m", fmt.Sprint(m.opt.Memory),
		"-nodefaults", "-display", "none", "-no-reboot",
		"-serial", "file:" + m.path("xen.log"),
		"-chardev", "socket,id=ctl,path=" + ctl, "-serial", "chardev:ctl",
		"-kernel", m.path("xen.elf"),
		"-append", fmt.Sprintf("console=com1 com1=115200,8n1 dom0_mem=%dM,max:%dM dom0_max_vcpus=1 loglvl=all guest_loglvl=all", m.opt.Dom0Memory, m.opt.Dom0Memory),
		"-initrd", modules(m.path("vmlinuz")+" "+dom0CommandLine, m.path("dom0.cpio")),
	}, append(tpmArgs, m.opt.QEMU...)...)
	if m.await != "" {
		if err := waitForFile(ctx, m.await, time.Minute); err != nil {
			return fmt.Errorf("lab: the other machine: %w", err)
		}
	}
	m.opt.Log("starting QEMU (%s), Xen and dom0", m.opt.Accel)
	if err := m.spawn("qemu-system-x86_64", args...); err != nil {
		return err
	}
	qemu := m.cmds[len(m.cmds)-1]
	go func() {
		qemu.Wait()
		close(m.ended)
	}()
	l.(*net.UnixListener).SetDeadline(time.Now().Add(20 * time.Second))
	m.conn, err = l.Accept()
	if err != nil {
		return fmt.Errorf("lab: QEMU did not start: %w\n%s", err, m.Tail("qemu-system-x86_64.log", 10))
	}
	m.Dom0 = NewClient("dom0", m.conn, nil)
	bootCtx, cancel := context.WithTimeout(ctx, 120*time.Second)
	defer cancel()
	if err := m.Dom0.Ready(bootCtx); err != nil {
		return fmt.Errorf("%w\nlast lines of Xen's console (%s):\n%s", err, m.path("xen.log"), m.Tail("xen.log", 25))
	}
	m.opt.Log("dom0 is up")
	return nil
}

// tcgCPU is the processor that QEMU emulates: the features that it can and that Go's and
// OpenSSL's cryptography uses, without SMAP (with it, the emulated IRET of a PV dom0 faults)
// and RDTSCP (Xen cannot emulate the intercepted instruction).
const tcgCPU = "qemu64,+svm,+npt,+rdrand,+popcnt,+ssse3,+sse4.1,+sse4.2,+aes,+pclmulqdq"

// dom0CommandLine keeps dom0's kernel from using the hardware TPM: its drivers for TIS
// and CRB are built in, so it must skip their initialization.
const dom0CommandLine = "console=hvc0 earlyprintk=xen panic=5 quiet loglevel=4 random.trust_cpu=on " +
	"initcall_blacklist=init_tis,crb_acpi_driver_init"

// modules returns the value of QEMU's -initrd option for several multiboot modules. A
// comma separates modules; within one it is doubled.
func modules(list ...string) string {
	for i, l := range list {
		list[i] = strings.ReplaceAll(l, ",", ",,")
	}
	return strings.Join(list, ",")
}

// spawn starts a program that is killed when this one ends. Its output goes to a log.
func (m *Machine) spawn(name string, args ...string) error {
	f, err := os.Create(m.path(name + ".log"))
	if err != nil {
		return err
	}
	defer f.Close()
	c := exec.Command(name, args...)
	c.Stdout, c.Stderr = f, f
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	m.cmds = append(m.cmds, c)
	return nil
}

func waitForFile(ctx context.Context, name string, limit time.Duration) error {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(name); err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return fmt.Errorf("%s did not appear within %v", name, limit)
}

// Tail returns the last lines of one of the machine's log files.
func (m *Machine) Tail(name string, lines int) string {
	b, err := os.ReadFile(m.path(name))
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Close stops QEMU and swtpm. The state of the hardware TPM stays in TPMState.
func (m *Machine) Close() {
	m.close.Do(func() {
		if m.conn != nil {
			m.conn.Close()
		}
		// In reverse order: QEMU tells swtpm to end.
		for i := len(m.cmds) - 1; i >= 0; i-- {
			c := m.cmds[i]
			c.Process.Signal(syscall.SIGTERM)
			t := time.AfterFunc(3*time.Second, func() { c.Process.Kill() })
			if i == len(m.cmds)-1 && strings.HasPrefix(filepath.Base(c.Path), "qemu") {
				<-m.ended
			} else {
				c.Wait()
			}
			t.Stop()
		}
	})
}
