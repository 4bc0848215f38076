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

// A debt is a device that was taken from a domain and has to be given back: it
// is written down, for between the two this program or the new back end may
// end, and the toolstack then knows nothing of it any more.
type debt struct {
	domain xen.DomID
	uuid   string
}

func (d debt) String() string { return fmt.Sprintf("%d %s", d.domain, d.uuid) }

func (h *Host) debts(name string) ([]debt, error) {
	b, err := os.ReadFile(h.debtFile(name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []debt
	for _, l := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		if l == "" {
			continue
		}
		var d debt
		if _, err := fmt.Sscan(l, &d.domain, &d.uuid); err != nil {
			return nil, fmt.Errorf("%s: %q: %w", h.debtFile(name), l, err)
		}
		list = append(list, d)
	}
	return list, nil
}

// owe writes a debt down, or, paid, strikes it out.
func (h *Host) owe(name string, d debt, paid bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	list, err := h.debts(name)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(o debt) bool { return o == d })
	if !paid {
		list = append(list, d)
	}
	var b strings.Builder
	for _, o := range list {
		fmt.Fprintln(&b, o)
	}
	return h.replace(h.debtFile(name), b.String())
}

func (h *Host) debtFile(name string) string { return filepath.Join(h.State, name+".owed") }

// replace writes a file of the state directory, whole or not at all.
func (h *Host) replace(file, text string) error {
	if err := os.MkdirAll(h.State, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
