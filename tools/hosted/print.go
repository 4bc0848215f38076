package hosted

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// printProfiles is --print-profiles.
func printProfiles(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s\n", tpmInfo{}.json(infoProfiles))
	return err
}

// printInfo is --print-info: the info of a TPM made with these options. No state
// is made or read.
func printInfo(o *options, open Factory, w io.Writer) error {
	device, err := open(func(string, ...any) {}, o.Profile)
	if err != nil {
		return fmt.Errorf("--profile: %w", err)
	}
	info, err := askInfo(device, nil)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", info.json(o.InfoFlags))
	return err
}

// swtpmVersion is the version of swtpm whose options and channels these are.
const swtpmVersion = "0.7.1"

// printCapabilities prints what libvirt and others ask for. They look at the
// type, which is therefore swtpm's, and some compare the text, white space
// included. rsa-keysize-4096 is left out because swtpm_setup 0.7.1 would ask
// for an endorsement key of that size, and has no template for it.
func printCapabilities(w io.Writer, version string) error {
	features := []string{"tpm-2.0", "tpm-send-command-header", "flags-opt-startup", "cmdarg-seccomp",
		"cmdarg-key-fd", "cmdarg-pwd-fd", "cmdarg-print-states", "cmdarg-migration", "nvram-backend-dir", "nvram-backend-file",
		"rsa-keysize-2048", "rsa-keysize-3072", "flags-opt-disable-auto-shutdown", "ctrl-opt-terminate", "cmdarg-chroot",
		"cmdarg-profile", "cmdarg-print-profiles", "cmdarg-print-info", "tpmstate-opt-lock", "tpmstate-dir-backend-opt-fsync"}
	_, err := fmt.Fprintf(w, `{ "type": "swtpm", "features": [ "%s" ], "version": %q, "implementation": "stubtpm", "implementation-version": %q }`+"\n",
		strings.Join(features, `", "`), swtpmVersion, version)
	return err
}

// printStates lists the stored parts of the state.
func printStates(o *options, w io.Writer) error {
	path := o.StateFile
	if path == "" {
		if o.StateDir == "" {
			return errors.New("--tpmstate dir=DIR is missing")
		}
		path = filepath.Join(o.StateDir, fileState)
	}
	states, err := storedStates(path)
	if err != nil {
		return err
	}
	list := "[]"
	if len(states) > 0 {
		var items []string
		for _, st := range states {
			items = append(items, fmt.Sprintf(`{"name": %q, "size": %d}`, st.Name, st.Size))
		}
		list = "[ " + strings.Join(items, ", ") + " ]"
	}
	_, err = fmt.Fprintf(w, `{ "type": "swtpm", "states": %s }`+"\n", list)
	return err
}
