package scenario

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"stubtpm/tools/xenlab/lab"
)

// tools precedes each script. tpm2-tools use the raw device, because xen-tpmfront has
// no resource manager (/dev/tpmrm0), so scripts must flush the objects that the tools
// leave loaded.
//
// With the variables, a test can run the same scripts on a TPM of the host.
const tools = `export TPM2TOOLS_TCTI=${TPM2TOOLS_TCTI:-device:/dev/tpm0}
flush() { tpm2_flushcontext -t; }
store=${STORE:-/dev/xvda}
set -e
`

// driver prints which driver of the guest's kernel provides /dev/tpm0.
func (g guest) driver(ctx context.Context, m *lab.Machine) error {
	module, err := m.KernelModule("kernel/drivers/char/tpm/xen-tpmfront.ko")
	if err != nil {
		return err
	}
	out, err := g.run(ctx, "ls /dev/tpm0; readlink -f /sys/class/tpm/tpm0/device/driver; uname -r; sha256sum "+module.Path)
	if err != nil {
		return err
	}
	g.r.Show("guest1", "ls /dev/tpm0; readlink -f /sys/class/tpm/tpm0/device/driver; uname -r", head(out, 3))
	check(g.r, "guest: /dev/tpm0 is served by xen-tpmfront", strings.Contains(out, "/sys/bus/xen/drivers/vtpm\n"), "%s", out)
	check(g.r, "guest: the module xen-tpmfront is the file of Debian's package", module.Debian && strings.Contains(out, module.SHA256),
		"in Debian's list: %v, SHA-256 %s, in the guest:\n%s", module.Debian, module.SHA256, out)
	return nil
}

// limit is the time limit of one script in the guest, which may have tens of commands of
// up to a second each under emulation.
const limit = 120 * time.Second

// A guest runs scripts of tpm2-tools and keeps the last output.
type guest struct {
	*lab.Guest
	r Report
}

func (g guest) run(ctx context.Context, script string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return g.Run(ctx, tools+script)
}

// A guestStep is one step in the guest.
type guestStep struct {
	title  string
	shown  string // the command as a reader would type it
	script string
	// keep selects the lines of the output to show; if nil, none are.
	keep func(out string) string
	// want must be in the output.
	want string
}

func (g guest) steps(ctx context.Context, steps []guestStep) error {
	for _, s := range steps {
		g.r.Step("guest: %s", s.title)
		out, err := g.run(ctx, s.script)
		if err == nil && !strings.Contains(out, s.want) {
			err = fmt.Errorf("%q is not in the output:\n%s", s.want, out)
		}
		detail := ""
		if err != nil {
			detail = err.Error()
		}
		g.r.Check("guest: "+s.title, err == nil, detail)
		if err != nil {
			return fmt.Errorf("guest: %s: %w", s.title, err)
		}
		if s.keep != nil {
			g.r.Show("guest1", s.shown, s.keep(out))
		}
	}
	return nil
}

// all, lines and only are the usual choices for keep.
func all(out string) string { return strings.TrimRight(out, "\n") }

func lines(n int) func(string) string { return func(out string) string { return head(out, n) } }

func only(n int, words ...string) func(string) string {
	return func(out string) string { return grep(out, n, words...) }
}

const secret = "the launch code is 7-3-1-9"

// firstBoot lists the steps of a guest with its new TPM.
var firstBoot = []guestStep{
	{
		title:  "fixed properties",
		shown:  "tpm2_getcap properties-fixed",
		script: "tpm2_getcap properties-fixed",
		keep:   properties,
		want:   "TPM2_PT_FAMILY_INDICATOR",
	},
	{
		title:  "random bytes",
		shown:  "tpm2_getrandom --hex 16",
		script: "tpm2_getrandom --hex 16",
		keep:   all,
	},
	{
		title: "PCR 8 starts at zero and is extended",
		shown: "tpm2_pcrextend 8:sha256=$(sha256sum kernel); tpm2_pcrread sha256:8",
		script: `tpm2_pcrread sha256:8 | grep -q "8 : 0x0000000000000000000000000000000000000000000000000000000000000000"
tpm2_pcrextend 8:sha256=$(printf 'the kernel' | sha256sum | cut -c1-64)
tpm2_pcrread sha256:8 > pcr.txt
want=$( (dd if=/dev/zero bs=32 count=1 2>/dev/null; printf 'the kernel' | sha256sum | cut -c1-64 | xxd -r -p) | sha256sum | cut -c1-64 | tr a-f A-F)
grep -q "8 : 0x$want" pcr.txt
cat pcr.txt`,
		keep: all,
		want: "8 :",
	},
	{
		title: "a key is created, loaded, and signs",
		shown: "tpm2_createprimary; tpm2_create -G ecc; tpm2_load; tpm2_sign; tpm2_verifysignature",
		script: `tpm2_createprimary -Q -C o -G ecc -c prim.ctx; flush
tpm2_create -Q -C prim.ctx -G ecc:ecdsa-sha256 -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign' -u key.pub -r key.priv; flush
tpm2_load -C prim.ctx -u key.pub -r key.priv -c key.ctx; flush
echo 'a message' > msg
tpm2_sign -c key.ctx -g sha256 -o msg.sig msg; flush
tpm2_verifysignature -c key.ctx -g sha256 -m msg -s msg.sig; flush
echo other >> msg
if tpm2_verifysignature -Q -c key.ctx -g sha256 -m msg -s msg.sig 2>/dev/null; then echo a wrong signature was accepted; exit 1; fi; flush
echo signature: good; echo signature of another message: refused`,
		keep: only(3, "name:", "signature"),
		want: "signature: good",
	},
	{
		title: "a quote is made and checked",
		shown: "tpm2_quote -l sha256:0,8 -q NONCE ...; tpm2_checkquote ...",
		script: `tpm2_createprimary -Q -C e -G ecc:ecdsa-sha256:null -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign' -c ak.ctx; flush
tpm2_readpublic -Q -c ak.ctx -f pem -o ak.pem; flush
tpm2_quote -Q -c ak.ctx -l sha256:0,8 -q 0102030405060708 -m q.msg -s q.sig -o q.pcrs -g sha256; flush
tpm2_checkquote -u ak.pem -m q.msg -s q.sig -f q.pcrs -g sha256 -q 0102030405060708 > q.txt
if tpm2_checkquote -Q -u ak.pem -m q.msg -s q.sig -f q.pcrs -g sha256 -q 0102030405060709 2>/dev/null; then echo a wrong nonce was accepted; exit 1; fi
cat q.txt; echo quote: good; echo quote with another nonce: refused`,
		keep: only(4, "  8", "quote"),
		want: "quote: good",
	},
	{
		title: "a secret is sealed to PCR 8 and unsealed",
		shown: "tpm2_create -L policy-of-PCR-8 -i -; tpm2_unseal -p pcr:sha256:8",
		script: `tpm2_createpolicy -Q --policy-pcr -l sha256:8 -L pcr.policy
printf '` + secret + `' | tpm2_create -Q -C prim.ctx -L pcr.policy -a 'fixedtpm|fixedparent' -i - -u seal.pub -r seal.priv; flush
tpm2_load -Q -C prim.ctx -u seal.pub -r seal.priv -c seal.ctx; flush
tpm2_unseal -c seal.ctx -p pcr:sha256:8; echo; flush`,
		keep: all,
		want: secret,
	},
	{
		title: "the sealed object, a persistent key and an NV index are kept",
		shown: "tpm2_evictcontrol ... 0x81000010; tpm2_nvdefine; tpm2_nvwrite; tar c ... > /dev/xvda",
		script: `tpm2_load -Q -C prim.ctx -u key.pub -r key.priv -c key.ctx; flush
tpm2_evictcontrol -Q -C o -c key.ctx 0x81000010; flush
tpm2_nvdefine -Q -C o -s 32 -a 'ownerread|ownerwrite' 0x1500001
printf 'kept in NV over the restart !!!!' | tpm2_nvwrite -C o -i - 0x1500001
tpm2_readpublic -c 0x81000010 -n key.name -Q
tar c seal.pub seal.priv key.name > $store; sync
echo kept`,
		want: "kept",
	},
}

// secondBoot lists the steps of a new guest after the vTPM's domain was restarted with
// the same state.
var secondBoot = []guestStep{
	{
		title: "PCR 8 is at zero again",
		script: `tar x < $store
tpm2_pcrread sha256:8`,
		want: "8 : 0x0000000000000000000000000000000000000000000000000000000000000000",
	},
	{
		title: "before PCR 8 is extended the secret does not open",
		script: `tpm2_createprimary -Q -C o -G ecc -c prim.ctx; flush
tpm2_load -Q -C prim.ctx -u seal.pub -r seal.priv -c seal.ctx; flush
if tpm2_unseal -c seal.ctx -p pcr:sha256:8 2>/dev/null; then exit 1; fi; flush
echo refused`,
		want: "refused",
	},
	{
		title: "with the same PCR 8 the secret opens",
		shown: "tpm2_pcrextend 8:sha256=...; tpm2_createprimary; tpm2_load; tpm2_unseal -p pcr:sha256:8",
		script: `tpm2_pcrextend 8:sha256=$(printf 'the kernel' | sha256sum | cut -c1-64)
tpm2_unseal -c seal.ctx -p pcr:sha256:8; echo; flush`,
		keep: all,
		want: secret,
	},
	{
		title: "the persistent key and the NV index are there",
		shown: "tpm2_readpublic -c 0x81000010; tpm2_nvread 0x1500001",
		script: `tpm2_readpublic -Q -c 0x81000010 -n now.name; cmp key.name now.name
echo "name: $(od -An -tx1 now.name | tr -d ' \n')"; tpm2_nvread -C o -s 32 0x1500001; echo`,
		keep: all,
		want: "kept in NV over the restart",
	},
	{
		title: "with another PCR 8 the secret does not open",
		shown: "tpm2_pcrextend 8:sha256=...; tpm2_unseal -p pcr:sha256:8",
		script: `tpm2_pcrextend 8:sha256=$(printf 'another kernel' | sha256sum | cut -c1-64)
if tpm2_unseal -c seal.ctx -p pcr:sha256:8 > out.txt 2>&1; then cat out.txt; exit 1; fi; flush
if grep -q launch out.txt; then exit 1; fi
grep 'ERROR.*tpm:' out.txt || cat out.txt; echo refused`,
		keep: lines(1),
		want: "refused",
	},
}

// properties selects from the output of tpm2_getcap properties-fixed the properties that
// identify the TPM, one on each line.
func properties(out string) string {
	var keep []string
	name, raw := "", ""
	for _, l := range strings.Split(out, "\n") {
		switch f := strings.TrimSpace(l); {
		case strings.HasPrefix(f, "TPM2_PT_"):
			name, raw = strings.TrimSuffix(f, ":"), ""
		case strings.HasPrefix(f, "raw:"):
			raw = strings.TrimSpace(strings.TrimPrefix(f, "raw:"))
			if strings.Contains(name, "FIRMWARE_VERSION_1") {
				keep = append(keep, name+" "+raw)
			}
		case strings.HasPrefix(f, "value:"):
			for _, w := range []string{"FAMILY", "REVISION", "MANUFACTURER", "VENDOR_STRING_1", "VENDOR_STRING_2"} {
				if strings.Contains(name, w) {
					keep = append(keep, name+" "+strings.TrimSpace(strings.TrimPrefix(f, "value:")))
				}
			}
		}
	}
	return strings.Join(keep, "\n")
}

// ErrClaims is returned by a scenario that ended because a claim did not hold.
var ErrClaims = errors.New("a claim does not hold")
