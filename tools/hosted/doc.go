// Package hosted serves a TPM device to Linux programs: by swtpm's data and
// control channels (swtpm(8), swtpm_ioctls(3)) and by the TCP protocol of the
// Microsoft TPM 2.0 simulator. It keeps the state in a directory of files.
//
// It runs in an ordinary Linux process and knows nothing of Xen.
package hosted
