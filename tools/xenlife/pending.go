package xenlife

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"stubtpm/drivers/xen"
)

// A pendingDevice is a device that was detached from a domain and must be attached again.
// It is kept in a file, because this program or the new backend may end between the two,
// and the toolstack has no record of the device then.
type pendingDevice struct {
	domain xen.DomID
	uuid   string
}

func (d pendingDevice) String() string { return fmt.Sprintf("%d %s", d.domain, d.uuid) }

// pendingDevices returns the pending devices of the named backend.
func (h *Host) pendingDevices(name string) ([]pendingDevice, error) {
	b, err := os.ReadFile(h.pendingFile(name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []pendingDevice
	for _, l := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		if l == "" {
			continue
		}
		var d pendingDevice
		if _, err := fmt.Sscan(l, &d.domain, &d.uuid); err != nil {
			return nil, fmt.Errorf("%s: %q: %w", h.pendingFile(name), l, err)
		}
		list = append(list, d)
	}
	return list, nil
}

// recordPending writes down that a device was taken from a domain.
func (h *Host) recordPending(name string, d pendingDevice) error {
	if d.uuid == "" || strings.ContainsFunc(d.uuid, func(r rune) bool { return r <= ' ' }) {
		return fmt.Errorf("xenlife: %q is no UUID", d.uuid)
	}
	return h.editPending(name, func(list []pendingDevice) []pendingDevice { return append(without(list, d), d) })
}

// clearPending removes the entry of a device that was given back, or whose domain
// ended.
func (h *Host) clearPending(name string, d pendingDevice) error {
	return h.editPending(name, func(list []pendingDevice) []pendingDevice { return without(list, d) })
}

func without(list []pendingDevice, d pendingDevice) []pendingDevice {
	return slices.DeleteFunc(list, func(o pendingDevice) bool { return o == d })
}

func (h *Host) editPending(name string, edit func([]pendingDevice) []pendingDevice) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	list, err := h.pendingDevices(name)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, d := range edit(list) {
		fmt.Fprintln(&b, d)
	}
	return h.replace(h.pendingFile(name), b.String())
}

func (h *Host) pendingFile(name string) string { return filepath.Join(h.State, name+".owed") }

// replace writes a file of the state directory atomically.
func (h *Host) replace(file, text string) error {
	if err := os.MkdirAll(h.State, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
