package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"stubtpm/tools/xenlab/lab"
	"stubtpm/tools/xenlab/scenario"
)

// runBench prints what manager and vTPM cost on Xen.
func runBench(ctx context.Context, args []string, _ io.Reader, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	images := imageFlags(f)
	tpm := f.String("tpm", "tis", "hardware TPM: tis or crb")
	accel := f.String("accel", "tcg", "QEMU's accelerator, tcg or kvm")
	dir := f.String("dir", "build/xenlab-bench", "`directory` for logs and images")
	if err := f.Parse(args); err != nil {
		if err == flag.ErrHelp {
			return err
		}
		return errUsage
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	r := &screen{w: stdout, start: time.Now()}
	var rows []scenario.Measurement
	for _, file := range []string{images.Manager, images.VTPM} {
		info, err := os.Stat(file)
		if err != nil {
			return fmt.Errorf("%w (make images builds it)", err)
		}
		rows = append(rows, scenario.Measurement{Name: "image " + file, Value: fmt.Sprintf("%.1f MiB", float64(info.Size())/(1<<20))})
	}
	// A machine for each side: two guests must not share a hardware TPM.
	for _, direct := range []bool{false, true} {
		if err := os.RemoveAll(*dir + "/tpm"); err != nil {
			return err
		}
		m, err := lab.Start(ctx, lab.Options{Dir: *dir, TPM: *tpm, Accel: *accel, LinuxGuest: true, Files: images.Files(), Log: r.Step})
		if err != nil {
			return err
		}
		s := scenario.NewStack(m)
		if direct {
			var one scenario.Measurement
			one, err = s.PingDirect(ctx)
			rows = append(rows, one)
		} else {
			var more []scenario.Measurement
			more, err = s.Bench(ctx, r)
			rows = append(rows, more...)
		}
		m.Close()
		if err != nil {
			return err
		}
	}
	fmt.Fprintf(stdout, "\nOn Xen in QEMU, %s:\n", *accel)
	for _, row := range rows {
		fmt.Fprintf(stdout, "  %-52s %-36s %s\n", row.Name, row.Value, row.Note)
	}
	return nil
}
