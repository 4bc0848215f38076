// Stubtpm runs the TPM 2.0 device as a Linux process, and sends orders to the manager of
// vTPMs in Xen domains.
//
// Synopsis:
//
//	stubtpm serve --state DIR [options]
//	stubtpm socket [swtpm's options]
//	stubtpm chardev [swtpm's options]
//	stubtpm mgr ORDER [options]
//	stubtpm verify --policy FILE --nonce HEX EVIDENCE
//	stubtpm verify-ek --policy FILE CERTIFICATE
//	stubtpm site init|certify-host|crl|show [options]
//	stubtpm property key|policy|approve|show [options]
//	stubtpm help [command]
//
// Serve keeps a TPM in a directory, manufactures it at first use, and prints how to
// connect:
//
//	$ stubtpm serve --state ~/tpm &
//	stubtpm: manufactured a new TPM in /home/me/tpm
//	TPM2TOOLS_TCTI=swtpm:path=/home/me/tpm/swtpm.sock
//	$ export TPM2TOOLS_TCTI=swtpm:path=$HOME/tpm/swtpm.sock
//	$ tpm2_getrandom --hex 8
//
// It listens on Unix sockets in that directory, and with -tcp also on the loopback ports
// of the Microsoft simulator. Neither protocol authenticates its clients: addresses that
// other machines can reach need -allow-remote.
//
// Socket takes the options of swtpm(8), so that QEMU's "-tpmdev emulator", libvirt and
// swtpm_setup start it as they start swtpm.
//
// Mgr runs in dom0 of a Xen host; the word mgr may be omitted. `stubtpm mgr help` lists
// the orders, docs/admin.md describes their use.
//
// Verify appraises evidence of a vTPM, without a TPM; docs/verifier.md has the
// policy, and the exit code of each reason. Verify-ek appraises no more than the
// certificate of an endorsement key, for Keylime and others that do not know evidence.
//
// Site is the certification authority of a site's hosts; docs/site.md describes
// its use.
//
// Property makes policies by which a TPM gives out a secret to whatever a key
// has approved; docs/property.md describes its use.
//
// Exit codes: 0 success, 1 failure, 2 wrong usage; of mgr also 3 refused by the manager, 4
// manager not reachable, 5 forged audit log, 6 degraded.
package main

import "os"

func main() { os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr)) }
