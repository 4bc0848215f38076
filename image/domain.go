package image

import "errors"

// A Domain is the xl configuration of a PVH domain.
type Domain struct {
	Name    string
	Kernel  string   // path in dom0
	Ramdisk string   // path in dom0, of a Linux guest
	Extra   string   // command line
	Memory  int      // MiB
	Disks   []string // block devices in dom0, in order xvda, xvdb, ...
	IOMem   string   // register ranges, separated by blanks: first page and number of pages in hexadecimal, such as "fed40,5"
	VTPM    *VTPMDevice
	// NativeTSC lets the domain read the processor's time stamp counter
	// directly. A unikernel reads the time often, and an emulated read costs as
	// much as a TPM command. Its clock uses the counter's parameters in the
	// shared information page, so it stays correct.
	NativeTSC bool
	// Comment is written at the top, each line as a comment.
	Comment string
}

// A VTPMDevice connects a guest to its vTPM, or a vTPM to the manager.
type VTPMDevice struct {
	Backend string // name of the backend's domain
	UUID    string // identity of the vTPM; the manager requires it
}

// ErrDomain is returned for a domain that cannot be written as a configuration.
var ErrDomain = errors.New("image: domain")

// Memory of the unikernels' domains in MiB.
const (
	ManagerMemory = 32
	VTPMMemory    = 24
)

// Manager returns the manager's domain, the only one with access to the registers
// of the hardware TPM: five localities of one page each, from 0xFED40000 on (TCG PC
// Client Platform TPM Profile 1.06, section 6). The caller must set its disk.
func Manager(kernel string) Domain {
	return Domain{
		Name: "vtpmmgr", Kernel: kernel, Memory: ManagerMemory, NativeTSC: true, IOMem: "fed40,5",
		Comment: "The vTPM manager. dom0 must not use the TPM itself: boot its kernel with\n" +
			"initcall_blacklist=init_tis,crb_acpi_driver_init",
	}
}

// VTPM returns the domain of one vTPM. The manager identifies the vTPM by its UUID,
// which must not change. The caller must set its disk.
func VTPM(kernel, uuid, manager string) Domain {
	return Domain{
		Name: "vtpm", Kernel: kernel, Memory: VTPMMemory, NativeTSC: true,
		VTPM:    &VTPMDevice{Backend: manager, UUID: uuid},
		Comment: "One virtual TPM. Its uuid must be enrolled with the manager.",
	}
}

// Guest returns the domain of a Linux guest whose vTPM is the domain vtpm. memory is
// in MiB.
func Guest(kernel, ramdisk, extra, vtpm string, memory int) Domain {
	return Domain{
		Name: "guest", Kernel: kernel, Ramdisk: ramdisk, Extra: extra, Memory: memory,
		VTPM:    &VTPMDevice{Backend: vtpm},
		Comment: "A Linux guest; its kernel needs the module xen-tpmfront.",
	}
}
