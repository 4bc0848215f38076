package image

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Paths of the unikernels that the host's package installs, and of the directory
// with the configurations that its systemd units start.
const (
	ManagerImage = "/usr/lib/stubtpm/vtpmmgr.elf"
	VTPMImage    = "/usr/lib/stubtpm/vtpm.elf"
	ConfigDir    = "/etc/stubtpm"
)

// A Set describes the configurations that a host needs for the TPM of one guest.
type Set struct {
	Guest       string // name of the guest's domain
	UUID        string // of its vTPM; it must not change
	ManagerDisk string // block devices in dom0
	VTPMDisk    string
	ManagerName string // "vtpmmgr" if empty
	// ManagerExtra and VTPMExtra are the command lines of the manager and the
	// vTPM.
	ManagerExtra, VTPMExtra string
	// IOMem replaces Manager's ranges of the hardware TPM's registers, unless
	// it is empty.
	IOMem string
}

// VTPMName returns the name of the domain of a guest's vTPM.
func VTPMName(guest string) string { return "vtpm-" + guest }

// A File is a configuration. Name is its path relative to ConfigDir.
type File struct{ Name, Text string }

// Files returns the manager's configuration, the vTPM's, and the lines that the
// guest's own configuration needs. Its vtpm line contains the UUID too, so that the
// device keeps its identity when its backend is restarted.
func (s Set) Files() ([]File, error) {
	if s.ManagerName == "" {
		s.ManagerName = "vtpmmgr"
	}
	if !nameForm.MatchString(s.Guest) {
		return nil, fmt.Errorf("%w: guest's name %q", ErrDomain, s.Guest)
	}
	if !uuidForm.MatchString(s.UUID) {
		return nil, fmt.Errorf("%w %q: uuid %q", ErrDomain, s.Guest, s.UUID)
	}
	m := Manager(ManagerImage)
	m.Name, m.Extra, m.Disks = s.ManagerName, s.ManagerExtra, []string{s.ManagerDisk}
	if s.IOMem != "" {
		m.IOMem = s.IOMem
	}
	manager, err := m.Config()
	if err != nil {
		return nil, err
	}
	v := VTPM(VTPMImage, s.UUID, s.ManagerName)
	v.Name, v.Extra, v.Disks = VTPMName(s.Guest), s.VTPMExtra, []string{s.VTPMDisk}
	vtpm, err := v.Config()
	if err != nil {
		return nil, err
	}
	lines := fmt.Sprintf("# For the configuration of %s. With on_reboot, a reboot ends the domain;\n"+
		"# stubtpm-host guest creates it again and notifies the manager.\n"+
		"vtpm = [\"backend=%s,uuid=%s\"]\non_reboot = \"destroy\"\n", s.Guest, v.Name, s.UUID)
	return []File{
		{"vtpmmgr.cfg", manager},
		{"vtpm/" + s.Guest + ".cfg", vtpm},
		{"guest/" + s.Guest + ".cfg", lines},
	}, nil
}

// ErrExists is returned if a configuration exists and differs.
var ErrExists = errors.New("image: configuration exists and differs")

// Write writes the configurations below a directory and returns the names of the
// files that it created. If one of them exists and differs, it returns ErrExists
// and writes none.
func (s Set) Write(dir string) ([]string, error) {
	files, err := s.Files()
	if err != nil {
		return nil, err
	}
	var todo []File
	for _, f := range files {
		name := filepath.Join(dir, f.Name)
		old, err := os.ReadFile(name)
		switch {
		case errors.Is(err, os.ErrNotExist):
			todo = append(todo, File{name, f.Text})
		case err != nil:
			return nil, err
		case string(old) != f.Text:
			return nil, fmt.Errorf("%w: %s", ErrExists, name)
		}
	}
	var names []string
	for _, f := range todo {
		if err := os.MkdirAll(filepath.Dir(f.Name), 0o755); err != nil {
			return names, err
		}
		if err := os.WriteFile(f.Name, []byte(f.Text), 0o644); err != nil {
			return names, err
		}
		names = append(names, f.Name)
	}
	return names, nil
}
