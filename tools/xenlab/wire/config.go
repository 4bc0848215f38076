package wire

// ConfigFile is where the agent finds its Config in the initramfs.
const ConfigFile = "/etc/xenlab.json"

// A Config tells the agent, as first process of an initramfs, what to be.
type Config struct {
	Dom0     bool     `json:"dom0"`     // start the Xen services
	XenDir   string   `json:"xen_dir"`  // directory of Xen's programs
	Modules  []string `json:"modules"`  // kernel modules, in order
	Console  string   `json:"console"`  // terminal that carries the protocol
	Hostname string   `json:"hostname"` // shown by the shell's prompt

	Xenstored []string `json:"xenstored,omitempty"` // further options of xenstored
}
