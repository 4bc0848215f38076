package xenlife

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/devxen"
	"stubtpm/image"
)

// Errors of a measurement.
var (
	// ErrImage says that another image lies in the domain's memory than the
	// one expected.
	ErrImage = errors.New("domain was not built from the expected image")
	// ErrNotPaused says that the domain runs or has run: its memory is not
	// what it was built with any more.
	ErrNotPaused = errors.New("domain is not paused before its first instruction")
)

// Measure returns the hash of the image that lies in the memory of a domain
// which was built and has not run (xl create -p). file is an image that says
// where to look; the hash is equal to its image.Measurement.Loaded if the
// domain was built from it.
//
// It looks at memory and not at a configuration, so that a wrong configuration
// is found. It rests on this domain 0 being honest at this moment: the same
// right by which it reads the memory lets it write there afterwards, unless a
// policy of XSM takes that away.
func (h *Host) Measure(ctx context.Context, domain, file string) (hash string, err error) {
	id, err := h.domain(ctx, domain)
	if err != nil {
		return "", err
	}
	if err := h.notRun(ctx, id); err != nil {
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
	// It did not begin to run meanwhile.
	if err := h.notRun(ctx, id); err != nil {
		return "", fmt.Errorf("%s: %w", domain, err)
	}
	return hash, nil
}

// Expect is Measure and a comparison with what is expected.
func (h *Host) Expect(ctx context.Context, domain, file, want string) error {
	got, err := h.Measure(ctx, domain, file)
	if errors.Is(err, image.ErrMemory) {
		return fmt.Errorf("%w: %v", ErrImage, err)
	}
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%s: %w: in its memory lies %s, expected is %s", domain, ErrImage, got, want)
	}
	return nil
}

// domain finds a domain by name or number.
func (h *Host) domain(ctx context.Context, name string) (xen.DomID, error) {
	if n, err := strconv.ParseUint(name, 10, 16); err == nil {
		return xen.DomID(n), nil
	}
	id, err := h.find(ctx, name)
	if err == nil && id == 0 {
		err = fmt.Errorf("xenlife: no domain of the name %s", name)
	}
	return id, err
}

// notRun asks the toolstack for the domain's state and time: "--p---" and 0.0.
func (h *Host) notRun(ctx context.Context, id xen.DomID) error {
	out, err := h.XL(ctx, "list", strconv.Itoa(int(id)))
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	fields := strings.Fields(lines[len(lines)-1])
	if len(lines) != 2 || len(fields) < 6 {
		return fmt.Errorf("xenlife: xl list says %q", out)
	}
	state, time := fields[len(fields)-2], fields[len(fields)-1]
	if state != "--p---" || time != "0.0" {
		return fmt.Errorf("%w: %s, %s s", ErrNotPaused, state, time)
	}
	return nil
}

var kernelLine = regexp.MustCompile(`(?m)^\s*kernel\s*=\s*["']([^"']+)["']`)

// expected returns the image of a configuration and what a manifest of images
// says of it.
func expected(config []byte, manifest string) (file, hash string, err error) {
	k := kernelLine.FindSubmatch(config)
	if k == nil {
		return "", "", errors.New("xenlife: the configuration has no kernel")
	}
	file = string(k[1])
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
	return "", "", fmt.Errorf("%s: no image of the name %s", manifest, filepath.Base(file))
}
