package image

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
)

// A Manifest lists images with their measurements, sorted by name.
type Manifest struct {
	// Version is the version of the format, 1.
	Version int     `json:"version"`
	Images  []Entry `json:"images"`
}

// An Entry is one image of a Manifest.
type Entry struct {
	Name string `json:"name"` // file name, in the manifest's directory
	Measurement
}

// manifestVersion is the version of the format.
const manifestVersion = 1

// ErrManifest is returned for a manifest that is malformed or does not match.
var ErrManifest = errors.New("image: manifest")

// NewManifest measures image files.
func NewManifest(files ...string) (Manifest, error) {
	m := Manifest{Version: manifestVersion}
	for _, f := range files {
		e := Entry{Name: filepath.Base(f)}
		var err error
		if e.Measurement, err = Measure(f); err != nil {
			return m, err
		}
		m.Images = append(m.Images, e)
	}
	sort.Slice(m.Images, func(i, j int) bool { return m.Images[i].Name < m.Images[j].Name })
	return m, nil
}

// Encode returns the manifest as JSON.
func (m Manifest) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", "  ")
	return append(b, '\n'), err
}

// DecodeManifest parses a manifest. It returns ErrManifest for another version,
// unknown fields and names that are not plain file names.
func DecodeManifest(b []byte) (Manifest, error) {
	var m Manifest
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return m, fmt.Errorf("%w: %v", ErrManifest, err)
	}
	if d.More() {
		return m, fmt.Errorf("%w: data after its end", ErrManifest)
	}
	if m.Version != manifestVersion {
		return m, fmt.Errorf("%w: version %d, want %d", ErrManifest, m.Version, manifestVersion)
	}
	for _, e := range m.Images {
		if !nameForm.MatchString(e.Name) {
			return m, fmt.Errorf("%w: image name %q", ErrManifest, e.Name)
		}
	}
	return m, nil
}

// Verify measures the images of the manifest in a directory, and returns an error
// that names every image that is missing or differs.
func (m Manifest) Verify(dir string) error {
	var errs []error
	for _, e := range m.Images {
		got, err := Measure(filepath.Join(dir, e.Name))
		switch {
		case errors.Is(err, os.ErrNotExist):
			errs = append(errs, fmt.Errorf("%w: %s is missing", ErrManifest, e.Name))
		case err != nil:
			errs = append(errs, err)
		case got != e.Measurement:
			errs = append(errs, fmt.Errorf("%w: %s has SHA-256 %s, want %s", ErrManifest, e.Name, got.SHA256, e.SHA256))
		}
	}
	return errors.Join(errs...)
}
