// Package image turns built unikernels into what people boot on Xen: xl
// configurations (xl.cfg(5), Xen 4.17), a manifest of the images' hashes, and
// measurements taken from an image file alone.
//
// It runs on the host, anywhere.
package image

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// A Domain is a PVH domain as an xl configuration describes it.
type Domain struct {
	Name    string
	Kernel  string   // path in dom0
	Ramdisk string   // path in dom0, of a Linux guest
	Extra   string   // command line
	Memory  int      // MiB
	Disks   []string // block devices in dom0, in order xvda, xvdb, ...
	IOMem   string   // ranges of registers: first page and number of pages, hexadecimal, as in "fed40,5", blanks between
	VTPM    *VTPMDevice
	// NativeTSC lets the domain read the processor's time stamp counter
	// itself. A unikernel asks for the time often, and each question that
	// Xen answers costs as much as a TPM command; its clock follows Xen's own
	// description of the counter, so that nothing is lost by it.
	NativeTSC bool
	// Comment is put on top, a line each.
	Comment string
}

// A VTPMDevice connects a domain to the domain that serves it a TPM, or a vTPM
// to its manager.
type VTPMDevice struct {
	Backend string // name of the serving domain
	UUID    string // identity of the vTPM; needed towards the manager
}

// ErrDomain is returned for a domain that cannot be written as configuration.
var ErrDomain = errors.New("image: domain")

// The forms that are accepted; quotes and backslashes would end xl's strings.
var (
	nameForm  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)
	pathForm  = regexp.MustCompile(`^/[A-Za-z0-9_./+:@-]+$`)
	extraForm = regexp.MustCompile(`^[ !#-&(-\[\]-~]*$`)
	iomemForm = regexp.MustCompile(`^[0-9a-f]{1,13},[0-9a-f]{1,8}$`)
	uuidForm  = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
)

// Config returns the text of the xl configuration. It refuses what xl would
// read differently than meant.
func (d Domain) Config() (string, error) {
	var b strings.Builder
	bad := func(what, value string) (string, error) {
		return "", fmt.Errorf("%w %q: %s %q", ErrDomain, d.Name, what, value)
	}
	for _, l := range strings.Split(strings.TrimSpace(d.Comment), "\n") {
		if l != "" {
			fmt.Fprintf(&b, "# %s\n", l)
		}
	}
	if !nameForm.MatchString(d.Name) {
		return bad("name", d.Name)
	}
	if !pathForm.MatchString(d.Kernel) {
		return bad("kernel", d.Kernel)
	}
	if !extraForm.MatchString(d.Extra) {
		return bad("command line", d.Extra)
	}
	if d.Memory < 1 {
		return bad("memory", fmt.Sprint(d.Memory))
	}
	fmt.Fprintf(&b, "name = \"%s\"\ntype = \"pvh\"\nkernel = \"%s\"\n", d.Name, d.Kernel)
	if d.Ramdisk != "" {
		if !pathForm.MatchString(d.Ramdisk) {
			return bad("ramdisk", d.Ramdisk)
		}
		fmt.Fprintf(&b, "ramdisk = \"%s\"\n", d.Ramdisk)
	}
	if d.Extra != "" {
		fmt.Fprintf(&b, "extra = \"%s\"\n", d.Extra)
	}
	fmt.Fprintf(&b, "memory = %d\nvcpus = 1\n", d.Memory)
	if d.NativeTSC {
		b.WriteString("tsc_mode = \"native\"\n")
	}
	if len(d.Disks) > 0 {
		if len(d.Disks) > 26 {
			return bad("disks", fmt.Sprint(len(d.Disks)))
		}
		var list []string
		for i, disk := range d.Disks {
			if !pathForm.MatchString(disk) {
				return bad("disk", disk)
			}
			list = append(list, fmt.Sprintf("\"%s,raw,xvd%c,rw\"", disk, 'a'+i))
		}
		fmt.Fprintf(&b, "disk = [%s]\n", strings.Join(list, ", "))
	}
	if d.IOMem != "" {
		ranges := strings.Fields(d.IOMem)
		for _, r := range ranges {
			if !iomemForm.MatchString(r) {
				return bad("iomem", d.IOMem)
			}
		}
		fmt.Fprintf(&b, "iomem = [\"%s\"]\n", strings.Join(ranges, "\", \""))
	}
	if v := d.VTPM; v != nil {
		if !nameForm.MatchString(v.Backend) {
			return bad("vtpm backend", v.Backend)
		}
		uuid := ""
		if v.UUID != "" {
			if !uuidForm.MatchString(v.UUID) {
				return bad("vtpm uuid", v.UUID)
			}
			uuid = ",uuid=" + v.UUID
		}
		fmt.Fprintf(&b, "vtpm = [\"backend=%s%s\"]\n", v.Backend, uuid)
	}
	// A unikernel that stops has said why on its console: it is not started
	// again behind the administrator's back.
	b.WriteString("on_poweroff = \"destroy\"\non_reboot = \"destroy\"\non_crash = \"destroy\"\n")
	return b.String(), nil
}

// Memory of the unikernels' domains in MiB.
const (
	ManagerMemory = 32
	VTPMMemory    = 24
)

// Manager is the manager's domain: the only one with the registers of the
// hardware TPM, five localities of one page from 0xFED40000 (TCG PC Client
// Platform TPM Profile 1.06, section 6). Its disk must be set.
func Manager(kernel string) Domain {
	return Domain{
		Name: "vtpmmgr", Kernel: kernel, Memory: ManagerMemory, NativeTSC: true, IOMem: "fed40,5",
		Comment: "The vTPM manager. dom0 must not use the TPM itself: boot its kernel with\n" +
			"initcall_blacklist=init_tis,crb_acpi_driver_init",
	}
}

// VTPM is the domain of one vTPM. The uuid is its identity towards the manager
// and must not change. Its disk must be set.
func VTPM(kernel, uuid, manager string) Domain {
	return Domain{
		Name: "vtpm", Kernel: kernel, Memory: VTPMMemory, NativeTSC: true,
		VTPM:    &VTPMDevice{Backend: manager, UUID: uuid},
		Comment: "One virtual TPM. Its uuid must be enrolled with the manager.",
	}
}

// Guest is a Linux guest served by a vTPM's domain.
func Guest(kernel, ramdisk, extra, vtpm string, memory int) Domain {
	return Domain{
		Name: "guest", Kernel: kernel, Ramdisk: ramdisk, Extra: extra, Memory: memory,
		VTPM:    &VTPMDevice{Backend: vtpm},
		Comment: "A Linux guest; its kernel needs the module xen-tpmfront.",
	}
}
