package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"stubtpm/tools/xenlab/lab"
	"stubtpm/vtpm/tcg"
)

// pcrFiles is the PCR of command line and initrd.
const pcrFiles = 9

// pcrlock is how systemd-pcrlock is run for output in JSON; its messages go to a file.
const pcrlock = "systemd-pcrlock --json=short 2>pcrlock.log "

// Pcrlock has systemd-pcrlock, of systemd 255 or later, describe the guest's measured boot
// and predict PCR 9 from components for the initrd and two command lines: the guest's own
// and other. The prediction from the files must have the same values.
func (d *Doorbell) Pcrlock(ctx context.Context, g guest, words, other string) error {
	d.r.Step("guest: systemd-pcrlock lock-kernel-cmdline, lock-kernel-initrd, log, predict")
	if err := d.components(ctx, g, other); err != nil {
		return err
	}
	if err := d.pcrlockLog(ctx, g); err != nil {
		return err
	}
	out, err := d.run(ctx, g, pcrlock+fmt.Sprintf("--pcr=%d predict || cat pcrlock.log", pcrFiles))
	if err != nil {
		return err
	}
	got, err := parsePredicted(out)
	if err != nil {
		return err
	}
	want := map[string][]string{}
	for _, w := range []string{words, other} {
		predicted, err := d.predict(w)
		if err != nil {
			return err
		}
		for _, bank := range predicted.Log.Algs() {
			values, err := predicted.Log.Replay(bank)
			if err != nil {
				return err
			}
			name := fmt.Sprintf("%s:%d", bankNames[bank], pcrFiles)
			want[name] = append(want[name], fmt.Sprintf("%x", values[pcrFiles]))
		}
	}
	var wrong []string
	for name, values := range want {
		slices.Sort(values)
		if !slices.Equal(got[name], values) {
			wrong = append(wrong, fmt.Sprintf("%s: systemd-pcrlock predicts %s, the files %s", name, got[name], values))
		}
	}
	check(d.r, "systemd-pcrlock predicts PCR 9 of both command lines as the files do, in each bank", len(want) == 4 && len(wrong) == 0, "%s", strings.Join(wrong, "\n"))
	return d.firmware(ctx, g)
}

// components has systemd-pcrlock write components for the guest's command line, as the
// kernel has it, another one, and the initrd, which the guest reads from a disk.
func (d *Doorbell) components(ctx context.Context, g guest, other string) error {
	out, err := d.M.Dom0.Run(ctx, "stat -c %s "+lab.GuestInitrd)
	if err != nil {
		return err
	}
	var size int
	if _, err := fmt.Sscan(out, &size); err != nil {
		return fmt.Errorf("size of %s: %w", lab.GuestInitrd, err)
	}
	disk, err := d.M.Disk(ctx, "initrd", size>>20+1, lab.GuestInitrd)
	if err != nil {
		return err
	}
	if _, err := d.M.Dom0.Run(ctx, fmt.Sprintf("xl block-attach %s format=raw,vdev=xvdb,access=r,target=%s", guestName, disk)); err != nil {
		return err
	}
	out, err = d.run(ctx, g, fmt.Sprintf(`until [ -b /dev/xvdb ]; do usleep 100000; done
systemd-pcrlock lock-kernel-cmdline
printf '%%s\n' '%s' > line
systemd-pcrlock lock-kernel-cmdline --pcrlock=/var/lib/pcrlock.d/710-kernel-cmdline.pcrlock.d/other.pcrlock line
head -c %d /dev/xvdb | systemd-pcrlock lock-kernel-initrd`, strings.TrimSpace(lab.GuestWords+" "+other), size))
	check(d.r, "systemd-pcrlock writes components for the command line and the initrd", err == nil && strings.Count(out, "written") == 3, "%v\n%s", err, out)
	if err != nil {
		return err
	}
	_, err = d.M.Dom0.Run(ctx, "xl block-detach "+guestName+" xvdb")
	return err
}

// pcrlockLog compares what systemd-pcrlock says of the log with what is measured.
func (d *Doorbell) pcrlockLog(ctx context.Context, g guest) error {
	out, err := d.run(ctx, g, pcrlock+"log || cat pcrlock.log")
	if err != nil {
		return err
	}
	var l struct {
		Log []struct {
			PCR       int    `json:"pcr"`
			Component string `json:"component"`
			Match     *bool  `json:"match"` // of the digest with the event, where systemd knows how
		} `json:"log"`
		PCRs []struct {
			PCR     int  `json:"pcr"`
			Count   int  `json:"count"`
			Matches bool `json:"hashMatchesEventLog"`
			Known   bool `json:"allEventsMatched"`
		} `json:"pcrs"`
	}
	if err := json.Unmarshal([]byte(out), &l); err != nil {
		return fmt.Errorf("systemd-pcrlock log: %w\n%s", err, out)
	}
	var files, wrong []string
	for _, e := range l.Log {
		if e.PCR == pcrFiles {
			files = append(files, e.Component)
		}
		if e.Match != nil && !*e.Match {
			wrong = append(wrong, fmt.Sprintf("an event of PCR %d has another digest", e.PCR))
		}
	}
	known := false
	for _, p := range l.PCRs {
		if !p.Matches && p.Count > 0 {
			wrong = append(wrong, fmt.Sprintf("PCR %d differs from the log", p.PCR))
		}
		known = known || p.PCR == pcrFiles && p.Known && p.Matches
	}
	check(d.r, "systemd-pcrlock log: each PCR is what the log gives, and each digest that of its event", len(l.Log) > 10 && len(wrong) == 0, "%s", strings.Join(wrong, "\n"))
	check(d.r, "systemd-pcrlock log: PCR 9 is the command line and the initrd, and nothing else",
		known && slices.Equal(files, []string{"710-kernel-cmdline", "720-kernel-initrd"}), "%q", files)
	return nil
}

// firmware has systemd-pcrlock take PCR 0 and 1 from the log, as it does for firmware, and
// write a policy for PCR 9 into the TPM.
func (d *Doorbell) firmware(ctx context.Context, g guest) error {
	out, err := d.run(ctx, g, "(systemd-pcrlock lock-firmware-code; systemd-pcrlock lock-firmware-config) >lock.log 2>&1 || cat lock.log; "+
		pcrlock+"--pcr=0+1 predict || cat pcrlock.log")
	if err != nil {
		return err
	}
	got, err := parsePredicted(out)
	if err != nil {
		return err
	}
	current, err := d.run(ctx, g, "tpm2_pcrread sha1:0,1+sha256:0,1+sha384:0,1+sha512:0,1")
	if err != nil {
		return err
	}
	var wrong []string
	pcrs := parsePCRs(current)
	for name, value := range pcrs {
		// One value is for a firmware whose separator reports an error.
		if !slices.Contains(got[name], strings.TrimPrefix(value, "0x")) {
			wrong = append(wrong, fmt.Sprintf("%s is %s, predicted %s", name, value, got[name]))
		}
	}
	check(d.r, "systemd-pcrlock knows PCR 0, with H-CRTM, and PCR 1 from the log", len(pcrs) == 8 && len(wrong) == 0, "%s", strings.Join(wrong, "\n"))
	// systemd-cryptenroll binds a disk to the policy that it finds there, which does not
	// outlive a guest whose files are in memory.
	out, err = d.run(ctx, g, fmt.Sprintf("systemd-pcrlock --pcr=%d make-policy >lock.log 2>&1 || { cat lock.log; exit 1; }\n"+
		"mv /var/lib/systemd/pcrlock.json policy.json; cat policy.json", pcrFiles))
	check(d.r, "systemd-pcrlock makes a policy for PCR 9 and writes it into the TPM", err == nil && strings.Contains(out, "nvIndex"), "%v\n%s", err, out)
	return nil
}

// parsePredicted returns the values, in order, that systemd-pcrlock predicts, by a name
// such as "sha256:9".
func parsePredicted(out string) (map[string][]string, error) {
	var banks map[string][]struct {
		PCR    int      `json:"pcr"`
		Values []string `json:"values"`
	}
	if err := json.Unmarshal([]byte(out), &banks); err != nil {
		return nil, fmt.Errorf("systemd-pcrlock predict: %w\n%s", err, out)
	}
	found := map[string][]string{}
	for name, list := range banks {
		for _, p := range list {
			slices.Sort(p.Values)
			found[fmt.Sprintf("%s:%d", name, p.PCR)] = p.Values
		}
	}
	return found, nil
}

// SameFiles compares PCR 9 with what the files predict, for a guest that was started with
// words.
func (d *Doorbell) SameFiles(ctx context.Context, g guest, words string) error {
	out, err := d.run(ctx, g, "tpm2_pcrread sha256:9")
	if err != nil {
		return err
	}
	predicted, err := d.predict(words)
	if err != nil {
		return err
	}
	values, err := predicted.Log.Replay(tcg.TPMAlgSHA256)
	if err != nil {
		return err
	}
	check(d.r, "started with the other command line, the guest has the PCR 9 that was predicted", parsePCRs(out)["sha256:9"] == fmt.Sprintf("0x%x", values[pcrFiles]), "%s", out)
	return nil
}
