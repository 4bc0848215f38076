// Package options is the loader's own command line.
package options

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrOption is returned for a word that is not known, or an invalid value.
var ErrOption = errors.New("options")

// Options are what the words of the command line say.
type Options struct {
	Disk     int    // number of the virtual device, 51712 (xvda) unless disk= is given
	Default  string // ID of the entry to boot, or a pattern; empty for the disk's own choice
	Timeout  int    // seconds that the menu waits; -1 for what the disk says, -2 for no limit
	TPM      string // "auto", "required" or "optional"
	Keys     string // fingerprints, see package authenticode; empty if anything may be booted
	Append   string // what follows the word --: added to the kernel's command line
	External bool   // there is something to add
}

const (
	xvda     = 202 << 8 // virtual device numbers, docs/man/xen-vbd-interface.7 of Xen
	perDisk  = 16
	maxDisks = 16
)

// Parse reads a command line.
//
//	disk=xvdb        the disk to boot from
//	default=ID       the entry to boot
//	timeout=5        seconds that the menu waits; "forever"
//	tpm=required     do not boot without a TPM
//	tpm=optional     boot also if the TPM fails
//	keys=HASH,HASH   boot only programs that one of these keys has signed
//	-- console=hvc0  words for the kernel
func Parse(line string) (Options, error) {
	o := Options{Disk: xvda, Timeout: -1, TPM: "auto"}
	words := strings.Fields(line)
	for i, w := range words {
		if w == "--" {
			o.Append = strings.Join(words[i+1:], " ")
			o.External = o.Append != ""
			break
		}
		key, value, _ := strings.Cut(w, "=")
		if err := o.set(key, value); err != nil {
			return Options{}, fmt.Errorf("%w: %s: %w", ErrOption, w, err)
		}
	}
	return o, nil
}

func (o *Options) set(key, value string) error {
	switch key {
	case "disk":
		letter, ok := strings.CutPrefix(value, "xvd")
		if !ok || len(letter) != 1 || letter[0] < 'a' || letter[0] >= 'a'+maxDisks {
			return errors.New("want xvda to xvdp")
		}
		o.Disk = xvda + perDisk*int(letter[0]-'a')
	case "default":
		if value == "" {
			return errors.New("want the ID of an entry")
		}
		o.Default = value
	case "timeout":
		n, err := strconv.ParseUint(value, 10, 16)
		switch {
		case value == "forever":
			o.Timeout = -2
		case err != nil:
			return errors.New("want seconds or forever")
		default:
			o.Timeout = int(n)
		}
	case "tpm":
		if value != "required" && value != "optional" {
			return errors.New("want required or optional")
		}
		o.TPM = value
	case "keys":
		if value == "" {
			return errors.New("want fingerprints")
		}
		o.Keys = value
	default:
		return errors.New("not known; words for the kernel follow --")
	}
	return nil
}
