package hosted

import (
	"strings"
	"testing"
)

// Command lines as QEMU's documentation, libvirt 9 and test scripts have them.
func TestParseOptions(t *testing.T) {
	for _, line := range []string{
		"--tpm2 --tpmstate dir=/x --ctrl type=unixio,path=/x/s --log level=20",
		"--ctrl type=unixio,path=/run/s,mode=0600 --tpmstate dir=/x,mode=0600 --log file=/x/log --terminate --tpm2 --pid file=/x/pid --key pwdfd=5,mode=aes-256-cbc --migration-key pwdfd=6,mode=aes-256-cbc",
		"--tpm2 --server type=tcp,port=2321 --ctrl type=tcp,port=2322 --flags not-need-init,startup-clear --tpmstate dir=/x --seccomp action=none",
		"--tpm2 -p 2321 --tpmstate=dir=/x -d -t",
		"--tpm2 --tpmstate backend-uri=dir:///x --server type=unixio,path=/x/s,mode=0700 --locality reject-locality-4,allow-set-locality",
		"--tpm2 --tpmstate dir=/x --server port=1 --profile full",
		"--tpm2 -td -p2321 --tpmstate backend-uri=file:///dev/vm/tpm,lock",
		"--tpm2 --tpmstate dir=/x,fsync,lock --ctrl type=unixio,path=/x/s,terminate --flags disable-auto-shutdown -R /jail -r nobody",
		"--tpm2 --tpmstate dir=/x --server port=1 --profile profile={\"Name\":\"custom:a\",\"Description\":\"a,b\"}",
		"--tpm2 --tpmstate dir=/x --server port=1 --profile fd=7",
	} {
		o, err := parseOptions(strings.Fields(line))
		if err == nil {
			err = o.check()
		}
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	for line, want := range map[string]string{
		"--tpmstate dir=/x --server port=1":                 "--tpm2 is missing",
		"--tpm2 --server port=1":                            "--tpmstate",
		"--tpm2 --tpmstate dir=/x":                          "neither --server",
		"--tpm2 --tpmstate dir=/x,mode=640 --server port=1": "starts with 0",
		"--server port=70000":                               "above 65535",
		"--server type=carrier":                             "unknown type",
		"--server port=1,colour=red":                        `unknown word "colour"`,
		"--server":                                          "needs a value",
		"--tpm2=yes":                                        "takes no value",
		"--flags startup-clear,startup-state":               "one startup",
		"--flags startup-deactivated":                       "TPM 1.2",
		"--ctrl type=unixio,fd=3,clientfd=4":                "exclude",
		"--tpmstate backend-uri=nbd:///x":                   "dir://DIRECTORY or file://FILE",
		"--tpmstate dir=/x,backend-uri=file:///y":           "exclude each other",
		"--key format=hex":                                  "exactly one",
		"--tpmstate dir=/x,backup":                          "backup is not supported",
		"--profile name=null,remove-disabled=check":         "not supported",
		"--profile profile={":                               "--profile",
		"--print-info x":                                    "no number",
		"--profile name=":                                   "a name or a file",
		"--frobnicate":                                      "unknown option",
	} {
		o, err := parseOptions(strings.Fields(line))
		if err == nil {
			err = o.check()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", line, err, want)
		}
	}
}

func TestProfileOption(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"--profile full", "--profile=full", "--profile name=full", "--profile file=full"} {
		if o, err := parseOptions(strings.Fields(line)); err != nil || o.Profile != "full" {
			t.Errorf("%s: %+v, %v", line, o, err)
		}
	}
}

func FuzzParseOptions(f *testing.F) {
	f.Add("--tpm2 --server type=tcp,port=1 --key file=x")
	f.Fuzz(func(t *testing.T, line string) {
		o, err := parseOptions(strings.Fields(line))
		if (o == nil) == (err == nil) {
			t.Error("neither options nor error, or both")
		}
	})
}

func TestLoopback(t *testing.T) {
	for addr, want := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "localhost:1": true,
		"0.0.0.0:1": false, "[::]:1": false, "192.0.2.1:1": false, ":1": false} {
		if got := (Endpoint{Addr: addr}).Loopback(); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
}
