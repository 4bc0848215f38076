package scenario

import (
	"context"
	"fmt"
	"strings"
	"time"

	"stubtpm/image"
	"stubtpm/tools/xenlab/lab"
)

// Names and identities used in the lab.
const (
	managerName = "vtpmmgr"
	guestName   = "guest1"
	vtpmName    = "vtpm-guest1"
	vtpmUUID    = "5f1c0a52-6d0f-4c0e-9a1b-0d9b7a3c1e01"
)

// Paths in dom0 of the unikernels and the administrator's command.
const (
	managerImage = "/images/vtpmmgr.elf"
	vtpmImage    = "/images/vtpm.elf"
	adminCommand = "/usr/bin/stubtpm"
	adminKey     = "/admin.key"
	hostKey      = "/host.key" // signs reports to the manager of which image a domain runs
)

// Images are host files that a Stack needs in dom0.
type Images struct {
	Manager, VTPM string // unikernels
	Stubtpm       string // static build of tools/stubtpm
	Host          string // static build of tools/stubtpm-host, for Life
	// Extra are more host files by their path in dom0.
	Extra map[string]string
}

// Files returns the value for lab.Options.Files.
func (i Images) Files() map[string]string {
	f := map[string]string{}
	for name, src := range map[string]string{managerImage: i.Manager, vtpmImage: i.VTPM, adminCommand: i.Stubtpm, hostCommand: i.Host} {
		if src != "" {
			f[name] = src
		}
	}
	for name, src := range i.Extra {
		f[name] = src
	}
	return f
}

// A Stack is a manager with its vTPMs and guests on one machine.
type Stack struct {
	M *lab.Machine
	// Direct gives the hardware TPM to the guest, without manager and vTPM, to test
	// the lab and for comparison.
	Direct bool
	// Stallable creates new disks with a device-mapper device of the same name, for
	// lab.Machine.Stall.
	Stallable bool
	// Sources are files of dom0 with the initial contents of new disks, by the disk's
	// name.
	Sources map[string]string
	// InitWords are more parameters for the manager's first start.
	InitWords string
	// VTPMWords is the command line for later starts of vTPMs.
	VTPMWords string

	disks    map[string]string       // block device in dom0 by image name
	consoles map[string]*lab.Console // by domain name
	marks    map[string]int          // length of each console before the current run
}

// NewStack returns an empty stack on a machine.
func NewStack(m *lab.Machine) *Stack {
	return &Stack{M: m, disks: map[string]string{}, consoles: map[string]*lab.Console{}, marks: map[string]int{}}
}

// disk returns the block device of a disk, which it creates on first use.
func (s *Stack) disk(ctx context.Context, name string) (string, error) {
	if d := s.disks[name]; d != "" {
		return d, nil
	}
	d, err := s.M.Disk(ctx, name, diskMiB, s.Sources[name])
	if err == nil && s.Stallable {
		d, err = s.M.Mapped(ctx, name, d)
	}
	if err == nil {
		s.disks[name] = d
	}
	return d, err
}

// diskMiB is the size of each disk image in MiB.
const diskMiB = 4

// console returns the console of a domain, which continues over restarts.
func (s *Stack) console(name string) (*lab.Console, error) {
	if c := s.consoles[name]; c != nil {
		s.marks[name] = len(c.Text())
		return c, nil
	}
	c, err := s.M.Follow(name, nil)
	if err == nil {
		s.consoles[name] = c
	}
	return c, err
}

// start creates a unikernel's domain, waits for one of the marks on its console, and
// returns that.
func (s *Stack) start(ctx context.Context, d image.Domain, wait time.Duration, marks ...string) (string, error) {
	config, err := d.Config()
	if err != nil {
		return "", err
	}
	c, err := s.console(d.Name)
	if err != nil {
		return "", err
	}
	if err := s.M.Create(ctx, d.Name, config); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return c.AwaitAny(ctx, s.marks[d.Name], marks...)
}

// StartManager starts the manager's domain and waits until it serves. At the first start
// its disk is blank, and the manager is told to create a ledger.
func (s *Stack) StartManager(ctx context.Context) error {
	first := s.disks["vtpmmgr"] == ""
	disk, err := s.disk(ctx, "vtpmmgr")
	if err != nil {
		return err
	}
	d := s.managerDomain(disk)
	if first {
		words, err := s.M.Dom0.Run(ctx, adminCommand+" mgr keygen "+adminKey+"; "+adminCommand+" mgr keygen --for host "+hostKey)
		if err != nil {
			return err
		}
		d.Extra = "init " + strings.Join(strings.Fields(words+" "+s.InitWords), " ")
	}
	mark, err := s.start(ctx, d, 90*time.Second, managerReady, managerFailed)
	if err == nil && mark != managerReady {
		err = fmt.Errorf("the manager does not serve; its console says:\n%s", s.Since(managerName))
	}
	return err
}

// StartManagerWith starts the manager's domain with more parameters and reports whether
// it serves. Its ledger must exist.
func (s *Stack) StartManagerWith(ctx context.Context, words string) (serves bool, err error) {
	disk, err := s.disk(ctx, managerName)
	if err != nil {
		return false, err
	}
	d := s.managerDomain(disk)
	d.Extra = words
	mark, err := s.start(ctx, d, 90*time.Second, managerReady, managerFailed)
	return mark == managerReady, err
}

// managerDomain returns the manager's domain, with a disk that contains a ledger.
func (s *Stack) managerDomain(disk string) image.Domain {
	d := image.Manager(managerImage)
	d.Name = managerName
	d.Disks = []string{disk}
	d.IOMem = s.M.IOMem()
	return d
}

// vtpmDomain returns the domain of a vTPM.
func (s *Stack) vtpmDomain(name, uuid, disk string) image.Domain {
	d := image.VTPM(vtpmImage, uuid, managerName)
	d.Name = name
	d.Disks = []string{disk}
	d.Extra = s.VTPMWords
	return d
}

// Enroll enrolls a new vTPM, whose guests xl starts without a report to the manager.
// Options are those of stubtpm.
func (s *Stack) Enroll(ctx context.Context, uuid string, options ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	_, err := s.M.Dom0.Run(ctx, adminCommand+" mgr -key "+adminKey+" enroll "+strings.Join(append([]string{uuid, "--starts", "plain"}, options...), " "))
	return err
}

// StartVTPM starts a vTPM's domain, waits until it serves or refuses, and returns the
// mark on its console.
func (s *Stack) StartVTPM(ctx context.Context, name, uuid string) (string, error) {
	disk, err := s.disk(ctx, name)
	if err != nil {
		return "", err
	}
	d := s.vtpmDomain(name, uuid, disk)
	// The vTPM waits one minute for a manager that does not respond.
	return s.start(ctx, d, 100*time.Second, vtpmReady, vtpmRefused)
}

// Texts on the unikernels' consoles.
const (
	managerReady  = "vtpmmgr: ready"
	managerFailed = "vtpmmgr: FAILED:"
	vtpmReady     = "vtpm: ready"
	vtpmRefused   = "vtpm: FAILED:"
)

// StartGuest starts a Linux guest with a vTPM (or, in a direct stack, with the hardware
// TPM) and waits for its agent. Guests of the same name have the same disk.
func (s *Stack) StartGuest(ctx context.Context, name, vtpm string) (*lab.Guest, error) {
	disk, err := s.disk(ctx, name)
	if err != nil {
		return nil, err
	}
	lines := []string{fmt.Sprintf("disk = [\"%s,raw,xvda,rw\"]", disk)}
	words := ""
	if s.Direct {
		lines = append(lines, fmt.Sprintf("iomem = [%q]", s.M.IOMem()))
		words = "tpm_tis.force=1 tpm_tis.interrupts=0"
	} else {
		lines = append(lines, fmt.Sprintf("vtpm = [\"backend=%s\"]", vtpm))
	}
	if err := s.M.Create(ctx, name, lab.GuestConfigLine(name, s.guestMemory(), words, lines...)); err != nil {
		return nil, err
	}
	return s.M.ConnectGuest(ctx, name, 90*time.Second)
}

// guestMiB is the memory of a Linux guest. 64 MiB are not enough for Debian's kernel.
const guestMiB = 160

// guestMemory returns the memory in MiB of a Linux guest that runs tpm2-tools.
func (s *Stack) guestMemory() int {
	if s.M.Encryption() {
		return guestMiB + 48
	}
	return guestMiB
}

// Since returns what a domain has written to its console since its last start.
func (s *Stack) Since(name string) string {
	c := s.consoles[name]
	if c == nil {
		return ""
	}
	t := c.Text()
	return strings.TrimSpace(t[min(s.marks[name], len(t)):])
}

// Destroy ends domains at once, like a power cut.
func (s *Stack) Destroy(ctx context.Context, names ...string) error {
	for _, n := range names {
		if err := s.M.Destroy(ctx, n); err != nil {
			return err
		}
	}
	return nil
}
