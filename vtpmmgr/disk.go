package vtpmmgr

import (
	"fmt"
	"sync"

	"stubtpm/drivers/block"
)

// A monitoredDisk is the manager's disk. It keeps the last error for STATUS, until the
// disk has taken writes and flushed them without one.
type monitoredDisk struct {
	block.Device

	mu     sync.Mutex
	failed error // the last error; nil if the disk is well
	since  error // the last error since the last flush that succeeded, or nil
}

func (d *monitoredDisk) ReadAt(p []byte, off int64) (int, error) {
	n, err := d.Device.ReadAt(p, off)
	return n, d.note("read", err)
}

func (d *monitoredDisk) WriteAt(p []byte, off int64) (int, error) {
	n, err := d.Device.WriteAt(p, off)
	return n, d.note("write", err)
}

func (d *monitoredDisk) Flush() error {
	err := d.note("flush", d.Device.Flush())
	if err == nil {
		d.mu.Lock()
		d.failed, d.since = d.since, nil
		d.mu.Unlock()
	}
	return err
}

func (d *monitoredDisk) note(what string, err error) error {
	if err != nil {
		d.mu.Lock()
		d.failed = fmt.Errorf("%s: %w", what, err)
		d.since = d.failed
		d.mu.Unlock()
	}
	return err
}

// Health returns what is wrong with the disk, as its driver says or as its last writes
// show, or nil. It waits for no request.
func (d *monitoredDisk) Health() error {
	if driver, ok := d.Device.(interface{ Health() error }); ok {
		if err := driver.Health(); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failed
}
