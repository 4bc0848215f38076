package scenario

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"stubtpm/drivers/eventlog"
	"stubtpm/image/launch"
	"stubtpm/tools/xenlab/lab"
	"stubtpm/vtpm/tcg"
)

// A Doorbell is a stack whose guest has a TPM 2.0 that its kernel finds by itself, and is
// measured before it runs: `stubtpm-host doorbell` runs in dom0.
type Doorbell struct {
	*Stack
	r    Report
	proc *lab.Proc
	log  *lineLog
	last time.Duration // of the last start of the guest until xl returned
}

// Sizes of the guest: its disk has a header of LUKS.
const (
	doorbellMiB  = 256
	encryptedMiB = 32
	encryptedImg = "luks"
)

// doorbellUUID is the guest's own UUID, which PCR 1 has.
const doorbellUUID = "9570ea0e-3519-470a-9de9-a9929645b030"

// NewDoorbell starts a manager, a vTPM and the doorbell. The vTPM is enrolled with more
// options, such as its profile.
func NewDoorbell(ctx context.Context, r Report, s *Stack, options ...string) (*Doorbell, error) {
	d := &Doorbell{Stack: s, r: r, log: &lineLog{}}
	r.Step("manager, vTPM, and stubtpm-host doorbell")
	if err := s.StartManager(ctx); err != nil {
		return nil, err
	}
	ectx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	if _, err := s.M.Dom0.Run(ectx, adminCommand+" mgr -key "+adminKey+" enroll "+strings.Join(append(options, vtpmUUID, "--starts measured"), " ")); err != nil {
		return nil, err
	}
	if err := d.startVTPM(ctx); err != nil {
		return nil, err
	}
	return d, d.startDaemon(ctx)
}

// MeasuredGuest starts the guest of Story once more, with a TPM that its kernel finds by
// itself, and measured before it runs; its encrypted disk opens after a reboot, and not with
// another command line. It returns the guest. The machine must have been started with
// Encryption.
func (s *Stack) MeasuredGuest(ctx context.Context, r Report) (*lab.Guest, error) {
	d := &Doorbell{Stack: s, r: r, log: &lineLog{}}
	if err := s.Destroy(ctx, guestName); err != nil {
		return nil, err
	}
	r.Step("dom0: stubtpm-host doorbell")
	if err := d.startDaemon(ctx); err != nil {
		return nil, err
	}
	g, err := d.start(ctx, "")
	steps := []func(context.Context, guest) error{d.Device, d.Measured, d.IMA}
	if s.M.Distribution() == lab.Trixie {
		steps = append(steps, func(ctx context.Context, g guest) error { return d.Pcrlock(ctx, g, "", changedWords) })
	}
	for _, step := range steps {
		if err == nil {
			err = step(ctx, g)
		}
	}
	if err == nil {
		g, err = d.Encrypted(ctx, g)
	}
	return g.Guest, err
}

func (d *Doorbell) startVTPM(ctx context.Context) error {
	mark, err := d.StartVTPM(ctx, vtpmName, vtpmUUID)
	if err == nil && mark != vtpmReady {
		err = fmt.Errorf("%s does not serve; its console says:\n%s", vtpmName, d.Since(vtpmName))
	}
	return err
}

// startDaemon starts the doorbell.
func (d *Doorbell) startDaemon(ctx context.Context) (err error) {
	d.proc, err = d.M.Dom0.Start(false, d.log.add, hostCommand, "doorbell", "-tell", hostKey)
	return err
}

// why adds what the doorbell and the vTPM have said to an error.
func (d *Doorbell) why(err error) error {
	return fmt.Errorf("%w\nstubtpm-host doorbell:\n%s\n%s:\n%s", err, d.log.tail(20), vtpmName, last(d.Since(vtpmName), 12))
}

// config returns the guest's configuration, with words of its command line.
func (d *Doorbell) config(ctx context.Context, words string) (string, error) {
	disk := d.disks[encryptedImg]
	if disk == "" {
		var err error
		if disk, err = d.M.Disk(ctx, encryptedImg, encryptedMiB, ""); err != nil {
			return "", err
		}
		d.disks[encryptedImg] = disk
	}
	c := lab.GuestConfigLine(guestName, doorbellMiB, words, fmt.Sprintf("disk = [\"%s,raw,xvda,rw\"]", disk), "uuid = \""+doorbellUUID+"\"",
		fmt.Sprintf("vtpm = [\"backend=Domain-0,uuid=%s\"]", vtpmUUID))
	return strings.Replace(c, `on_reboot = "destroy"`, `on_reboot = "restart"`, 1), nil
}

// start creates the guest and waits for its agent.
func (d *Doorbell) start(ctx context.Context, words string) (guest, error) {
	config, err := d.config(ctx, words)
	if err != nil {
		return guest{}, err
	}
	begin := time.Now()
	if err := d.M.Create(ctx, guestName, config); err != nil {
		return guest{}, d.why(err)
	}
	d.last = time.Since(begin)
	d.r.Step("guest: xl create %s took %v", guestName, d.last.Round(time.Millisecond))
	return d.connect(ctx)
}

// connect waits for the agent of the guest's current domain.
func (d *Doorbell) connect(ctx context.Context) (guest, error) {
	g, err := d.M.ConnectGuest(ctx, guestName, 120*time.Second)
	if err != nil {
		return guest{}, d.why(err)
	}
	return guest{g, d.r}, nil
}

// again ends the guest and starts it with other words of the command line.
func (d *Doorbell) again(ctx context.Context, words string) (guest, error) {
	if err := d.Destroy(ctx, guestName); err != nil {
		return guest{}, err
	}
	return d.start(ctx, words)
}

// run runs a script of the guest, with tpm2-tools on /dev/tpmrm0: or, after the driver was
// taken off its device, on /dev/tpmrm1, since IMA still holds the first one.
func (d *Doorbell) run(ctx context.Context, g guest, script string) (string, error) {
	out, err := g.run(ctx, "export TPM2TOOLS_TCTI=device:$(ls -d /dev/tpmrm[0-9]* | tail -n 1) PATH=$PATH:/usr/sbin:/lib/systemd DM_DISABLE_UDEV=1\n"+script)
	if err != nil {
		err = d.why(err)
	}
	return out, err
}

// Device shows that a stock kernel finds a TPM 2.0.
func (d *Doorbell) Device(ctx context.Context, g guest) error {
	const script = `ls /dev/tpm0 /dev/tpmrm0
readlink -f /sys/class/tpm/tpm0/device/driver; cat /sys/class/tpm/tpm0/tpm_version_major
ls /dev/tpm1 2>/dev/null || echo 'no second TPM'
tpm2_getrandom --hex 16; echo
dmesg | grep -i -e tpm -e vtpm | grep -v ACPI:`
	out, err := d.run(ctx, g, script)
	if err != nil {
		return err
	}
	d.r.Show(guestName, "ls /dev/tpm*; tpm2_getrandom; dmesg", out)
	check(d.r, "the guest's stock kernel finds a TPM 2.0 by tpm_crb, with a resource manager", strings.Contains(out, "/bus/acpi/drivers/tpm_crb\n2\n") && strings.Contains(out, "/dev/tpmrm0"), "%s", out)
	check(d.r, "and no second one by xen-tpmfront, nor an error", strings.Contains(out, "no second TPM") && !strings.Contains(out, "error") && !strings.Contains(out, "xen"), "%s", out)
	return nil
}

// measurements are the names of files that Linux keeps.
const (
	firmwareLog = "/sys/kernel/security/tpm0/binary_bios_measurements"
	imaLog      = "/sys/kernel/security/ima/binary_runtime_measurements"
	securityFS  = "[ -e /sys/kernel/security/tpm0 ] || mount -t securityfs s /sys/kernel/security\n"
)

// pcrs returns the guest's PCRs of all banks, by name such as "sha256:4", from the output
// of tpm2_pcrread or tpm2_eventlog.
func parsePCRs(out string) map[string]string {
	found, bank := map[string]string{}, ""
	for l := range strings.Lines(out) {
		name, value, ok := strings.Cut(strings.TrimSpace(l), ":")
		value = strings.TrimSpace(value)
		switch name = strings.TrimSpace(name); {
		case ok && strings.HasPrefix(name, "sha") && value == "":
			bank = name
		case ok && bank != "" && strings.HasPrefix(value, "0x"):
			found[bank+":"+name] = strings.ToLower(value)
		}
	}
	return found
}

// bankNames are those of tpm2-tools.
var bankNames = map[tcg.TPMAlgID]string{tcg.TPMAlgSHA1: "sha1", tcg.TPMAlgSHA256: "sha256", tcg.TPMAlgSHA384: "sha384", tcg.TPMAlgSHA512: "sha512"}

// Measured compares the event log of a guest that was started without more words with its
// PCRs, and with what the files predict.
func (d *Doorbell) Measured(ctx context.Context, g guest) error {
	out, err := d.run(ctx, g, "tpm2_pcrread")
	if err != nil {
		return err
	}
	pcrs := parsePCRs(out)
	out, err = d.run(ctx, g, securityFS+"cp "+firmwareLog+" log; tpm2_eventlog log")
	if err != nil {
		return err
	}
	_, computed, _ := strings.Cut(out, "\npcrs:")
	d.r.Show(guestName, "tpm2_eventlog", grep(out, 6, "kernel as loaded"))
	var wrong []string
	claim, old := "tpm2_eventlog computes the guest's PCRs, PCR 0 among them, in each bank", d.M.Distribution() == lab.Bookworm
	if old {
		claim = "tpm2_eventlog computes the guest's PCRs 1 to 12, in each bank"
	}
	for name, value := range parsePCRs(computed) {
		// tpm2-tools 5.4 does not know the event StartupLocality, so that it computes
		// another PCR 0.
		if pcrs[name] != value && !(old && strings.HasSuffix(name, ":0")) {
			wrong = append(wrong, fmt.Sprintf("%s is %s, tpm2_eventlog computes %s", name, pcrs[name], value))
		}
	}
	check(d.r, claim, len(parsePCRs(computed)) >= 40 && len(wrong) == 0, "%q", wrong)
	raw, err := g.read(ctx, firmwareLog)
	if err != nil {
		return err
	}
	log, _, err := eventlog.Parse(raw)
	if err != nil {
		return err
	}
	if err := d.replayed(log, pcrs, "the event log replays to the PCRs, H-CRTM in PCR 0 among them"); err != nil {
		return err
	}
	predicted, err := d.predict("")
	if err != nil {
		return err
	}
	out, err = d.M.Dom0.Run(ctx, fmt.Sprintf("sha256sum %s | cut -c1-64", lab.GuestInitrd))
	if err != nil {
		return err
	}
	check(d.r, "the log has the initrd's SHA-256", strings.Contains(fmt.Sprintf("%x", raw), strings.TrimSpace(out)), "%s", out)
	return d.replayed(predicted.Log, pcrs, "the files predict the PCRs")
}

// replayed compares what a log replays to with the guest's PCRs.
func (d *Doorbell) replayed(log *eventlog.Log, pcrs map[string]string, claim string) error {
	var wrong []string
	for _, bank := range log.Algs() {
		values, err := log.Replay(bank)
		if err != nil {
			return err
		}
		for pcr, value := range values {
			if got := pcrs[fmt.Sprintf("%s:%d", bankNames[bank], pcr)]; got != fmt.Sprintf("0x%x", value) {
				wrong = append(wrong, fmt.Sprintf("%s:%d is %s, want %x", bankNames[bank], pcr, got, value))
			}
		}
	}
	check(d.r, claim, len(log.Algs()) >= 3 && len(wrong) == 0, "%s", strings.Join(wrong, "\n"))
	return nil
}

// predict predicts the measurement of the guest from its files.
func (d *Doorbell) predict(words string) (*launch.Launch, error) {
	kernel, initrd := d.M.GuestFiles()
	var f launch.Files
	var err error
	if f.Kernel, err = os.ReadFile(kernel); err != nil {
		return nil, err
	}
	if f.Initrd, err = os.ReadFile(initrd); err != nil {
		return nil, err
	}
	f.CommandLine = strings.TrimSpace(lab.GuestWords + " " + words)
	return launch.Predict(f, launch.Options{Memory: doorbellMiB, VCPUs: 1, UUID: doorbellUUID},
		[]tcg.TPMAlgID{tcg.TPMAlgSHA1, tcg.TPMAlgSHA256, tcg.TPMAlgSHA384, tcg.TPMAlgSHA512})
}
