package scenario

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"stubtpm/drivers/eventlog"
	"stubtpm/image/launch"
	"stubtpm/image/uki"
	"stubtpm/vtpm/tcg"
)

// LoaderFiles are files of the host that a guest with a measured loader is started from.
type LoaderFiles struct {
	Loader  string
	Unified string // what is on the guest's disk, in dom0 at /images/unified.img
	Initrd  string // the one in it
	Line    string // the command line in it
}

// loaderWords are the loader's options of the measured guest.
const loaderWords = "tpm=required"

// Loader starts a guest with the loader as its kernel and a unified kernel image on its
// disk. It claims that the loader has measured it: log, PCRs and a prediction from the
// files agree.
func (d *Doorbell) Loader(ctx context.Context, f LoaderFiles) error {
	const loop = "/dev/loop7"
	if _, err := d.M.Dom0.Run(ctx, "mknod "+loop+" b 7 7 2>/dev/null; losetup "+loop+" /images/unified.img"); err != nil {
		return err
	}
	c, err := d.M.Follow(guestName, nil)
	if err != nil {
		return err
	}
	defer c.Stop()
	config := loaderConfig(guestName, loaderWords, loop, "uuid = \""+doorbellUUID+"\"", fmt.Sprintf("vtpm = [\"backend=Domain-0,uuid=%s\"]", vtpmUUID))
	begin := time.Now()
	if err := d.M.Create(ctx, guestName, config); err != nil {
		return d.why(err)
	}
	var at [2]time.Duration
	for i, mark := range []string{"loader:", "loader: starting"} {
		wait, cancel := context.WithTimeout(ctx, 2*time.Minute)
		_, err := c.AwaitAny(wait, 0, mark)
		cancel()
		if err != nil {
			return d.why(fmt.Errorf("%w\n%s", err, c.Text()))
		}
		at[i] = time.Since(begin)
	}
	client, err := d.M.ConnectGuest(ctx, guestName, 180*time.Second)
	if err != nil {
		return d.why(fmt.Errorf("%w\n%s", err, c.Text()))
	}
	d.r.Show("dom0", "start of a guest by the loader", fmt.Sprintf("the loader runs after %.1f s, the kernel after %.1f s, the guest's agent after %.1f s", at[0].Seconds(), at[1].Seconds(), time.Since(begin).Seconds()))
	g := guest{client, d.r}
	d.r.Show(guestName, "console", grep(c.Text(), 8, "loader:"))
	out, err := d.run(ctx, g, "tpm2_pcrread")
	if err != nil {
		return err
	}
	pcrs := parsePCRs(out)
	if _, err := d.run(ctx, g, securityFS+"ls "+firmwareLog); err != nil {
		return err
	}
	raw, err := g.read(ctx, firmwareLog)
	if err != nil {
		return err
	}
	log, _, err := eventlog.Parse(raw)
	if err != nil {
		return err
	}
	var program []string
	for _, e := range log.Events {
		if e.PCR == 4 {
			program = append(program, fmt.Sprintf("%v %q %x", e.Type, e.Data, e.Digests[1].Sum))
		}
	}
	d.r.Show(guestName, "events of PCR 4", strings.Join(program, "\n"))
	if err := d.replayed(log, pcrs, "with the loader: the event log replays to the PCRs"); err != nil {
		return err
	}
	predicted, err := f.predict()
	if err != nil {
		return err
	}
	return d.replayed(predicted, pcrs, "with the loader: the files predict PCRs 0, 1, 4, 9, 11 and 12")
}

// predict returns the log that the files lead to, without PCR 5, which has the partition
// table.
func (f LoaderFiles) predict() (*eventlog.Log, error) {
	kernel, err := os.ReadFile(f.Loader)
	if err != nil {
		return nil, err
	}
	l, err := launch.Predict(launch.Files{Kernel: kernel, CommandLine: loaderWords}, launch.Options{Memory: loaderMiB, VCPUs: 1, UUID: doorbellUUID},
		[]tcg.TPMAlgID{tcg.TPMAlgSHA1, tcg.TPMAlgSHA256, tcg.TPMAlgSHA384, tcg.TPMAlgSHA512})
	if err != nil {
		return nil, err
	}
	unified, err := os.ReadFile(f.Unified)
	if err != nil {
		return nil, err
	}
	image, err := uki.Open(bytes.NewReader(unified), int64(len(unified)))
	if err != nil {
		return nil, err
	}
	algs := l.Log.Algs()
	program, err := image.Application(algs, "")
	if err != nil {
		return nil, err
	}
	sections, err := image.Sections(algs)
	if err != nil {
		return nil, err
	}
	initrd, err := os.ReadFile(f.Initrd)
	if err != nil {
		return nil, err
	}
	events := append(append(l.Log.Events, program), sections...)
	events = append(events, eventlog.LoadOptions(algs, f.Line), eventlog.Initrd(eventlog.Hash(algs, initrd)))
	l.Log.Events = nil
	for _, e := range events {
		if e.PCR != 5 {
			l.Log.Events = append(l.Log.Events, e)
		}
	}
	return l.Log, nil
}
