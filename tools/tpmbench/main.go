// Tpmbench times TPM 2.0 commands on this project's hosted device and on
// Debian's swtpm, both as processes with a unix socket, in one run.
//
// Synopsis:
//
//	tpmbench [-n N] [-rounds R] [-run REGEXP] [-ours 'PROGRAM ARGS'] [-other 'PROGRAM ARGS'] [-json FILE] [-many] [-185]
//
// It prints a table with the median of each side in microseconds and the
// ratio, and the median of this project's device called in this process, without
// a socket. The two sides alternate, round by round, so that other load of the
// machine affects both. The time is from the first byte of a command to the last
// byte of its response, without the client's computations.
//
// Swtpm never flushes its state to the disk; stubtpm does so by default. For a
// fair comparison stubtpm is started with --no-sync. In the rows "flushed to the
// disk" stubtpm runs without that option, and the client flushes swtpm's state.
//
// With -185 it measures what version 1.85 of the TPM 2.0 library brought, beside the
// same with RSA-2048 and P-256, on this project's device in this process: swtpm has
// none of it.
//
// With -many it measures 1, 8 and 64 devices in one process instead, and the
// memory of 1,000.
//
// The exit code is 0 for success, 1 for an error, 2 for wrong usage.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"stubtpm/tools/hosted/tpmproc"
)

func main() {
	if len(os.Args) == 4 && os.Args[1] == hostArg {
		n, err := strconv.Atoi(os.Args[2])
		if err == nil {
			err = host(n, os.Args[3])
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "tpmbench:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "tpmbench:", err)
		os.Exit(1)
	}
}

// A side is one of the two TPMs.
type side struct {
	name string
	proc *tpmproc.Process
	conn *tpmproc.Conn
	dir  string
	boot time.Duration // from spawn to the first response, manufacture included
}

// A row is one line of the table. Times are in microseconds, 0 if the side failed.
type row struct {
	Name   string  `json:"name"`
	Ours   float64 `json:"ours_us"`
	Other  float64 `json:"other_us"`
	Ratio  float64 `json:"ratio"`
	Direct float64 `json:"in_process_us"`
	Reason string  `json:"reason,omitempty"`
}

func run(args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("tpmbench", flag.ExitOnError)
	n := fs.Int("n", 200, "times each command is run in all; slow ones less")
	rounds := fs.Int("rounds", 5, "turns the two sides take")
	match := fs.String("run", "", "only cases whose name matches")
	ours := fs.String("ours", "", "program for our side, with arguments; default: stubtpm, built from this tree")
	other := fs.String("other", "", "program for the other side; default: swtpm socket")
	manyOnly := fs.Bool("many", false, "measure many devices in one process instead")
	only185 := fs.Bool("185", false, "measure the commands of version 1.85 instead")
	file := fs.String("json", "", "write the table as JSON too")
	fs.Parse(args)
	re, err := regexp.Compile(*match)
	if err != nil {
		return err
	}
	if *only185 {
		return version185(stdout, *n)
	}
	tmp, err := os.MkdirTemp("", "tpmbench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if *manyOnly {
		return many(stdout, tmp)
	}

	var durable []string // our side with its default: it flushes
	us, them := strings.Fields(*ours), strings.Fields(*other)
	if len(us) == 0 {
		if durable, err = tpmproc.Build(tmp); err != nil {
			return err
		}
		us = append(slices.Clone(durable), "--no-sync")
	}
	if len(them) == 0 {
		if them, err = tpmproc.Swtpm(); err != nil {
			return err
		}
	}
	a, err := open("stubtpm", us, tmp)
	if err != nil {
		return err
	}
	defer a.close()
	b, err := open("swtpm", them, tmp)
	if err != nil {
		return err
	}
	defer b.close()

	direct, err := inProcess()
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%-36s %10s %10s %8s %12s\n", "median, microseconds", a.name, b.name, "ratio", direct.name)
	var rows []row
	for _, c := range cases() {
		if !re.MatchString(c.name) {
			continue
		}
		r := compare(c, []*side{a, b}, max(1, *n/c.slow), *rounds)
		// Separately: a round that keeps one processor busy would change on which
		// processors the system puts the processes of the next one.
		d := compare(c, []*side{direct}, max(1, *n/c.slow), *rounds)
		r.Direct, r.Reason = d.Ours, r.Reason+d.Reason
		rows = append(rows, r)
		printRow(stdout, r)
	}
	if durable != nil && re.MatchString("flushed to the disk") {
		if err := flushed(stdout, durable, them, tmp, *n, *rounds, &rows); err != nil {
			return err
		}
	}
	report(stdout, a, b)
	if *file != "" {
		out, err := json.MarshalIndent(rows, "", "  ")
		if err != nil {
			return err
		}
		return os.WriteFile(*file, append(out, '\n'), 0o644)
	}
	return nil
}

func printRow(w io.Writer, r row) {
	num := func(v float64) string {
		if v == 0 {
			return "-"
		}
		return fmt.Sprintf("%.1f", v)
	}
	ratio := "-"
	if r.Ratio != 0 {
		ratio = fmt.Sprintf("%.2f", r.Ratio)
	}
	fmt.Fprintf(w, "%-36s %10s %10s %8s %12s %s\n", r.Name, num(r.Ours), num(r.Other), ratio, num(r.Direct), r.Reason)
}

// report prints what is measured only once: start and memory.
func report(w io.Writer, a, b *side) {
	an, ap := a.proc.RSS()
	bn, bp := b.proc.RSS()
	const mb = 1 << 20
	fmt.Fprintf(w, "%-36s %10.1f %10.1f\n", "start to first response, ms", float64(a.boot.Microseconds())/1e3, float64(b.boot.Microseconds())/1e3)
	fmt.Fprintf(w, "%-36s %10.1f %10.1f\n", "memory after all, MB", float64(an)/mb, float64(bn)/mb)
	fmt.Fprintf(w, "%-36s %10.1f %10.1f\n", "memory at the most, MB", float64(ap)/mb, float64(bp)/mb)
}

func open(name string, program []string, tmp string) (*side, error) {
	dir, err := os.MkdirTemp(tmp, name)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	p, err := tpmproc.Start(program, dir)
	if err != nil {
		return nil, err
	}
	c, err := tpmproc.Dial(p.Data)
	if err != nil {
		p.Stop()
		return nil, err
	}
	s := &side{name: name, proc: p, conn: c, dir: dir}
	if _, err := c.Send([]byte{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7B, 0, 4}); err != nil {
		s.close()
		return nil, fmt.Errorf("%s: GetRandom: %w", name, err)
	}
	s.boot = time.Since(start)
	return s, nil
}

func (s *side) close() {
	s.conn.Close()
	s.proc.Stop()
}

// compare runs a case on one side, or on ours and the other alternately.
func compare(c benchCase, sides []*side, n, rounds int) row {
	r := row{Name: c.name}
	times := make([][]time.Duration, 2)
	ops := make([]op, len(sides))
	for i, s := range sides {
		o, clean, err := c.setup(s.conn)
		if clean != nil {
			defer clean()
		}
		if err != nil {
			r.Reason += fmt.Sprintf("%s: %v. ", s.name, err)
			continue
		}
		ops[i] = o
	}
	per := max(1, n/rounds)
	for round := range min(rounds, n) {
		for j := range sides {
			i := (j + round) % len(sides)
			if ops[i] == nil {
				continue
			}
			for k := range per + 1 {
				d, err := ops[i]()
				if err != nil {
					r.Reason += fmt.Sprintf("%s: %v. ", sides[i].name, err)
					ops[i], times[i] = nil, nil
					break
				}
				if k > 0 || per == 1 { // the first one of a round fills caches
					times[i] = append(times[i], d)
				}
			}
		}
	}
	r.Ours, r.Other = median(times[0]), median(times[1])
	if r.Ours > 0 && r.Other > 0 {
		r.Ratio = r.Ours / r.Other
	}
	return r
}

func median(d []time.Duration) float64 {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return float64(d[len(d)/2].Nanoseconds()) / 1e3
}
