package xenlife

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/devxen"
	"stubtpm/image"
)

// ErrImage means that the domain's memory holds another image than the
// expected one.
var (
	ErrImage = errors.New("domain was not built from the expected image")
	// ErrNotPaused means that the domain runs or has run, so that its memory is
	// not what it was built with.
	ErrNotPaused = errors.New("domain is not paused before its first instruction")
)

// Measure returns the hash of the image in the memory of a domain that was built and has
// not run (xl create -p). file is an image that gives the addresses; the hash equals its
// image.Measurement.Loaded if the domain was built from it.
//
// Measure reads the memory and not the configuration, so that it detects a wrong
// configuration. It relies on dom0 being honest at this moment: unless XSM forbids it,
// dom0 can change the memory later.
func (h *Host) Measure(ctx context.Context, domain, file string) (hash string, err error) {
	id, err := h.parseDomain(ctx, domain)
	if err != nil {
		return "", err
	}
	if err := h.CheckNotRun(ctx, id); err != nil {
		return "", fmt.Errorf("%s: %w", domain, err)
	}
	memory, err := devxen.OpenMemory(id)
	if err != nil {
		return "", err
	}
	defer memory.Close()
	hash, err = image.MeasureMemory(file, memory)
	if err != nil {
		return "", fmt.Errorf("%s: %w", domain, err)
	}
	// It must not have begun to run meanwhile.
	if err := h.CheckNotRun(ctx, id); err != nil {
		return "", fmt.Errorf("%s: %w", domain, err)
	}
	return hash, nil
}

// Expect measures a domain and returns ErrImage if the hash is not want.
func (h *Host) Expect(ctx context.Context, domain, file, want string) error {
	got, err := h.Measure(ctx, domain, file)
	if errors.Is(err, image.ErrMemory) {
		return fmt.Errorf("%w: %v", ErrImage, err)
	}
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%s: %w: found %s, want %s", domain, ErrImage, got, want)
	}
	return nil
}

// parseDomain returns the domain with the given name or ID.
func (h *Host) parseDomain(ctx context.Context, name string) (xen.DomID, error) {
	if n, err := strconv.ParseUint(name, 10, 16); err == nil {
		return xen.DomID(n), nil
	}
	id, err := h.find(ctx, name)
	if err == nil && id == 0 {
		err = fmt.Errorf("xenlife: no domain of the name %s", name)
	}
	return id, err
}

// CheckNotRun returns ErrNotPaused unless xl list shows state "--p---" and time 0.0.
func (h *Host) CheckNotRun(ctx context.Context, id xen.DomID) error {
	out, err := h.XL(ctx, "list", strconv.Itoa(int(id)))
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	fields := strings.Fields(lines[len(lines)-1])
	if len(lines) != 2 || len(fields) < 6 {
		return fmt.Errorf("xenlife: unexpected output of xl list: %q", out)
	}
	state, time := fields[len(fields)-2], fields[len(fields)-1]
	if state != "--p---" || time != "0.0" {
		return fmt.Errorf("%w: %s, %s s", ErrNotPaused, state, time)
	}
	return nil
}

// manifestHash returns the kernel of a configuration, and its hash from a manifest.
func manifestHash(c config, manifest string) (file, hash string, err error) {
	if file, err = c.text("kernel"); err == nil && file == "" {
		err = fmt.Errorf("%w: it has no kernel", errConfig)
	}
	if err != nil {
		return "", "", err
	}
	b, err := os.ReadFile(manifest)
	if err != nil {
		return "", "", err
	}
	m, err := image.DecodeManifest(b)
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", manifest, err)
	}
	for _, e := range m.Images {
		if e.Name == filepath.Base(file) {
			return file, e.Loaded, nil
		}
	}
	return "", "", fmt.Errorf("%s: no image named %s", manifest, filepath.Base(file))
}
