package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"stubtpm/drivers/eventlog"
	"stubtpm/image/launch"
	"stubtpm/image/uki"
	"stubtpm/tools/xenlife"
	"stubtpm/vtpm/tcg"
)

// bankNames are the hash algorithms of PCR banks by the names that tpm2-tools and
// systemd give them.
var bankNames = []struct {
	name string
	alg  tcg.TPMAlgID
}{{"sha1", tcg.TPMAlgSHA1}, {"sha256", tcg.TPMAlgSHA256}, {"sha384", tcg.TPMAlgSHA384}, {"sha512", tcg.TPMAlgSHA512}}

// A prediction is what the command line of measure --predict asks for.
type prediction struct {
	start       xenlife.Launch
	banks, pcrs string // lists separated by commas
	boot        string // file that the guest's loader starts
	log, values string // files to write
	program     bool   // print the digest of the program alone
}

// predict prints the PCRs that a guest will have when it starts, computed from its
// files.
func predict(args []string, stdout, stderr io.Writer) error {
	p, err := parsePrediction(args, stderr)
	if err != nil {
		return err
	}
	banks, err := parseBanks(p.banks)
	if err != nil {
		return err
	}
	start, err := p.launch(banks)
	if err != nil {
		return err
	}
	if p.program {
		fmt.Fprintf(stdout, "%x\n", start.Program)
		return nil
	}
	l := start.Log
	pcrs, err := p.selected(l)
	if err != nil {
		return err
	}
	if p.log != "" {
		if err := writeLog(p.log, l); err != nil {
			return err
		}
	}
	return printPCRs(l, pcrs, stdout, p.values)
}

func parsePrediction(args []string, stderr io.Writer) (p prediction, err error) {
	f := flag.NewFlagSet("measure --predict", flag.ContinueOnError)
	f.SetOutput(stderr)
	var given xenlife.Launch
	f.StringVar(&given.Kernel, "kernel", "", "kernel `file`")
	f.StringVar(&given.Ramdisk, "ramdisk", "", "initrd `file`")
	f.StringVar(&given.CommandLine, "cmdline", "", "kernel command `line`")
	f.Uint64Var(&given.Memory, "memory", 0, "`MiB` of memory")
	vcpus := f.Uint64("vcpus", 0, "`number` of virtual CPUs")
	f.StringVar(&given.UUID, "uuid", "", "`UUID` of the domain; without it PCR 1 is not predicted")
	f.StringVar(&p.boot, "boot", "", "EFI program or unified kernel image, a `file` that the guest's loader starts")
	f.StringVar(&p.banks, "banks", "sha256,sha384,sha512", "PCR banks, a `list`")
	f.StringVar(&p.pcrs, "pcrs", "", "print only these PCRs, a `list`")
	f.BoolVar(&p.program, "program", false, "print only the SHA-256 of the program as loaded, as in a record's list of images")
	f.StringVar(&p.log, "log", "", "write the event log to a `file`")
	f.StringVar(&p.values, "values", "", "write the values that are printed to a `file`, as tpm2_policypcr -f reads them")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return p, err
		}
		return p, errUsage
	}
	switch {
	case f.NArg() > 1, f.NArg() == 0 && given.Kernel == "", *vcpus > 1<<16:
		return p, errUsage
	case f.NArg() == 1:
		if p.start, err = xenlife.ReadLaunch(f.Arg(0)); err != nil {
			return p, err
		}
	default:
		p.start = xenlife.Launch{VCPUs: 1}
	}
	given.VCPUs = uint32(*vcpus)
	f.Visit(func(o *flag.Flag) { override(&p.start, given, o.Name) })
	return p, nil
}

// override takes over an option of the command line, which counts more than the
// configuration.
func override(l *xenlife.Launch, given xenlife.Launch, option string) {
	switch option {
	case "kernel":
		l.Kernel = given.Kernel
	case "ramdisk":
		l.Ramdisk = given.Ramdisk
	case "cmdline":
		l.CommandLine = given.CommandLine
	case "memory":
		l.Memory = given.Memory
	case "vcpus":
		l.VCPUs = given.VCPUs
	case "uuid":
		l.UUID = given.UUID
	}
}

func parseBanks(list string) (banks []tcg.TPMAlgID, err error) {
next:
	for name := range strings.SplitSeq(list, ",") {
		for _, b := range bankNames {
			if b.name == name {
				banks = append(banks, b.alg)
				continue next
			}
		}
		return nil, fmt.Errorf("measure --predict: unknown bank %q", name)
	}
	return banks, nil
}

// noUUID stands for a UUID that is not known.
const noUUID = "00000000-0000-0000-0000-000000000000"

// anyMemory is in MiB, enough for any guest that starts below 4 GiB.
const anyMemory = 4096

// PCRs whose values depend on what is not known.
const (
	pcrPlatform = 1
	pcrFiles    = 9
	pcrOptions  = 12
)

// launch returns the measurement of the start.
func (p prediction) launch(banks []tcg.TPMAlgID) (*launch.Launch, error) {
	files, err := p.files()
	if err != nil {
		return nil, err
	}
	o := launch.Options{Memory: p.start.Memory, VCPUs: p.start.VCPUs, UUID: strings.ToLower(p.start.UUID)}
	if o.UUID == "" {
		o.UUID = noUUID
	}
	if p.program && o.Memory == 0 { // it does not matter
		o.Memory = anyMemory
	}
	l, err := launch.Predict(files, o, banks)
	if err != nil {
		return nil, err
	}
	if p.boot != "" {
		if err := addBoot(l.Log, p.boot); err != nil {
			return nil, fmt.Errorf("%s: %w", p.boot, err)
		}
	}
	return l, nil
}

func (p prediction) files() (f launch.Files, err error) {
	f.CommandLine = p.start.CommandLine
	if f.Kernel, err = os.ReadFile(p.start.Kernel); err == nil && p.start.Ramdisk != "" {
		f.Initrd, err = os.ReadFile(p.start.Ramdisk)
	}
	return f, err
}

// addBoot adds the events of a program that the guest's loader starts.
func addBoot(l *eventlog.Log, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	i, err := uki.Open(f, info.Size())
	if err != nil {
		return err
	}
	e, err := i.Application(l.Algs(), file)
	if err != nil {
		return err
	}
	l.Events = append(l.Events, e)
	unified, err := i.Unified()
	if err != nil || !unified {
		return err
	}
	sections, err := i.Sections(l.Algs())
	l.Events = append(l.Events, sections...)
	return err
}

// selected returns the PCRs to print: those asked for, or all that can be predicted.
func (p prediction) selected(l *eventlog.Log) ([]uint32, error) {
	values, err := l.Replay(l.Banks[0].Alg)
	if err != nil {
		return nil, err
	}
	if p.start.UUID == "" {
		delete(values, pcrPlatform)
	}
	if p.boot != "" { // the loader measures what it gives to the program
		delete(values, pcrFiles)
		delete(values, pcrOptions)
	}
	if p.log != "" && (p.start.UUID == "" || p.boot != "") {
		return nil, errors.New("measure --predict: --log needs a UUID, and no --boot, to be complete")
	}
	if p.pcrs == "" {
		return slices.Sorted(maps.Keys(values)), nil
	}
	var pcrs []uint32
	for s := range strings.SplitSeq(p.pcrs, ",") {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil || values[uint32(n)] == nil {
			return nil, fmt.Errorf("measure --predict: PCR %q is not predicted from what is given", s)
		}
		pcrs = append(pcrs, uint32(n))
	}
	slices.Sort(pcrs)
	return slices.Compact(pcrs), nil
}

// printPCRs prints values as PCR:BANK=VALUE, as systemd-measure and systemd-cryptenroll
// write them, and writes them to a file as tpm2_policypcr reads them.
func printPCRs(l *eventlog.Log, pcrs []uint32, stdout io.Writer, file string) error {
	var raw []byte
	for _, b := range l.Banks {
		values, err := l.Replay(b.Alg)
		if err != nil {
			return err
		}
		for _, pcr := range pcrs {
			fmt.Fprintf(stdout, "%d:%s=%x\n", pcr, bankName(b.Alg), values[pcr])
			raw = append(raw, values[pcr]...)
		}
	}
	if file == "" {
		return nil
	}
	return os.WriteFile(file, raw, 0o644)
}

func bankName(alg tcg.TPMAlgID) string {
	for _, b := range bankNames {
		if b.alg == alg {
			return b.name
		}
	}
	return fmt.Sprintf("%#04x", uint16(alg))
}

func writeLog(file string, l *eventlog.Log) error {
	b, err := l.Encode(eventlog.AreaSize)
	if err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o644)
}
