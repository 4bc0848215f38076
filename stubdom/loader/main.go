//go:build tamago

// Loader is the unikernel that runs in a guest's place and boots a Linux kernel from the
// guest's own disk, measured. docs/loader.md describes it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"stubtpm/board/pvh"
	board "stubtpm/board/xen"
	"stubtpm/drivers/blkif"
	"stubtpm/drivers/xen/xenbus"
	"stubtpm/drivers/xen/xenstore"
	"stubtpm/stubdom/loader/disk"
	"stubtpm/stubdom/loader/entry"
	"stubtpm/stubdom/loader/measure"
	"stubtpm/stubdom/loader/menu"
	"stubtpm/stubdom/loader/options"
)

func log(format string, args ...any) { fmt.Printf("loader: "+format+"\n", args...) }

func main() {
	if err := run(context.Background()); err != nil {
		log("FAILED: %v", err)
		time.Sleep(100 * time.Millisecond) // the console daemon reads the line
		os.Exit(1)
	}
}

// diskTime is how long the disk's backend may take to connect and to disconnect.
const diskTime = 60 * time.Second

// run boots the guest. It returns only with an error.
func run(ctx context.Context) error {
	o, err := options.Parse(board.CommandLine())
	if err != nil {
		return err
	}
	ring, err := board.StoreRing()
	if err != nil {
		return fmt.Errorf("xenstore: %w", err)
	}
	domain := xenbus.Domain{Events: board.Events(), Grants: board.Grants(), Store: xenstore.NewClient(ring)}
	m, err := measurer(o)
	if err != nil {
		return err
	}
	var l *loaded
	if file := pvh.Module(0); file != nil {
		log("boot module of %d bytes", len(file))
		if l, err = loadUnified(file, "module", o.Append); err != nil {
			return err
		}
	} else if l, err = fromDisk(ctx, domain, o, m); err != nil {
		return err
	}
	if o.Keys != "" {
		if err := l.verify(o.Keys); err != nil {
			return err
		}
	}
	if m != nil {
		if err := l.measured(ctx, m); err != nil {
			if !mayFail(o, err) {
				return err
			}
			log("not measured: %v", err)
		}
	}
	jump, err := l.finish()
	if err != nil {
		return err
	}
	// A last request: everything that xenstore has sent before is then read.
	if _, err := domain.Store.Read(ctx, "domid"); err != nil && !errors.Is(err, xenstore.ErrNotExist) {
		return fmt.Errorf("xenstore: %w", err)
	}
	log("starting %s", l.path)
	return board.Leave(jump)
}

// mayFail reports whether to boot after an error of measuring. What the disk can cause is
// not to be booted: a kernel that was not measured could extend the PCRs with what another
// one has.
func mayFail(o options.Options, err error) bool {
	return o.TPM == "optional" && errors.Is(err, measure.ErrTPM)
}

// measurer returns what measures, or nil if nothing is to be.
func measurer(o options.Options) (*measure.Measurer, error) {
	has, err := hasTPM()
	if err == nil && !has {
		if o.TPM == "required" {
			return nil, errors.New("tpm=required, and this domain has no TPM")
		}
		log("this domain has no TPM: nothing is measured")
		return nil, nil
	}
	var m *measure.Measurer
	if err == nil {
		m, err = openTPM()
	}
	if err != nil && o.TPM == "optional" {
		log("nothing is measured: %v", err)
		return nil, nil
	}
	return m, err
}

// fromDisk lets the user choose, and loads that.
func fromDisk(ctx context.Context, domain xenbus.Domain, o options.Options, m *measure.Measurer) (*loaded, error) {
	wait, cancel := context.WithTimeout(ctx, diskTime)
	defer cancel()
	d, err := blkif.Connect(wait, domain, o.Disk)
	if err != nil {
		return nil, err
	}
	d.Log = log
	found, err := disk.Read(sectors{d}, d.Size(), log)
	if err != nil {
		return nil, err
	}
	if m != nil && found.GPT != nil {
		if err := m.PartitionTable(ctx, found.GPT); err != nil && !mayFail(o, err) {
			return nil, err
		}
	}
	e, err := choose(found, o)
	if err != nil {
		return nil, err
	}
	log("%s (%s)", e.ID, e.Title)
	l, err := loadEntry(e, o.Append)
	if err != nil {
		return nil, err
	}
	wait, cancel = context.WithTimeout(ctx, diskTime)
	defer cancel()
	return l, d.Close(wait)
}

// choose returns the entry to boot.
func choose(found disk.Found, o options.Options) (entry.Entry, error) {
	def, seconds := found.Default, found.Timeout
	if o.Default != "" {
		if n := entry.Find(found.Entries, o.Default); n >= 0 {
			def = n
		} else {
			log("the disk has no entry %q", o.Default)
		}
	}
	if o.Timeout != -1 {
		seconds = o.Timeout
	}
	timeout := time.Duration(seconds) * time.Second
	if seconds == -1 {
		timeout = 0
	}
	var titles []string
	for _, e := range found.Entries {
		titles = append(titles, e.Title)
	}
	n := menu.Choose(console{}, titles, def, timeout)
	if n < 0 || n >= len(found.Entries) {
		return entry.Entry{}, disk.ErrNothing
	}
	return found.Entries[n], nil
}
