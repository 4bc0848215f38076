// Stubtpm is the command line of this project: it runs the TPM 2.0 device as
// a Linux process, and gives orders to the manager of vTPMs in Xen domains.
//
// Synopsis:
//
//	stubtpm serve --state DIR [options]
//	stubtpm socket [swtpm's options]
//	stubtpm chardev [swtpm's options]
//	stubtpm mgr ORDER [options]
//	stubtpm help [command]
//
// Serve keeps a TPM in a directory, manufactures it at first use, and says how
// to connect:
//
//	$ stubtpm serve --state ~/tpm &
//	stubtpm: manufactured a new TPM in /home/me/tpm
//	TPM2TOOLS_TCTI=swtpm:path=/home/me/tpm/swtpm.sock
//	$ export TPM2TOOLS_TCTI=swtpm:path=$HOME/tpm/swtpm.sock
//	$ tpm2_getrandom --hex 8
//
// It listens on unix sockets in that directory, with -tcp also on the loopback
// ports of the Microsoft simulator. Neither protocol knows who asks: addresses
// that other machines reach need -allow-remote.
//
// Socket takes the options of swtpm(8), so that QEMU's "-tpmdev emulator",
// libvirt and swtpm_setup start it as they start swtpm.
//
// Mgr is for domain 0 of a Xen host; its word may be left out. `stubtpm mgr
// help` tells the orders, docs/admin.md how they are used.
//
// Exit codes: 0 done, 1 failed, 2 wrong use; of mgr also 3 refused by the
// manager, 4 no manager, 5 not what was signed, 6 degraded.
package main

import "os"

func main() { os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr)) }
