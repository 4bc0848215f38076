package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"stubtpm/drivers/xen/devxen"
	"stubtpm/tools/xenlife"
	"stubtpm/vtpmmgr/proto"
)

// A measuredView is a domain and its image in JSON.
type measuredView struct {
	Domain uint16 `json:"domain"`
	Image  string `json:"image"`
}

// reportMeasured reports the image of a domain.
func reportMeasured(m *mgrRun) error {
	var v measuredView
	var hash [32]byte
	if (m.o.hash != "") == (len(m.args) == 2) {
		return fmt.Errorf("%w: want either IMAGE or --hash", errUsage)
	}
	if m.o.hash != "" {
		id, err := strconv.ParseUint(m.args[0], 10, 16)
		if err != nil {
			return fmt.Errorf("%w: %q: --hash needs a domain ID", errUsage, m.args[0])
		}
		if hash, err = hex32("hash", m.o.hash); err != nil {
			return err
		}
		v.Domain = uint16(id)
	} else {
		var err error
		if v.Domain, hash, err = m.host.measure(m.args[0], m.args[1]); err != nil {
			return err
		}
	}
	v.Image = hex.EncodeToString(hash[:])
	if err := m.c.Measured(v.Domain, hash); err != nil {
		return err
	}
	return m.print(v, func() { fmt.Fprintf(m.out, "domain %d has the image %s\n", v.Domain, v.Image) })
}

// reportCreated reports that a guest was created.
func reportCreated(m *mgrRun) error {
	id, err := strconv.ParseUint(m.args[0], 10, 16)
	if err != nil {
		return fmt.Errorf("%w: %q: want a domain ID", errUsage, m.args[0])
	}
	u, err := proto.ParseUUID(m.args[1])
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if m.o.measured == "" {
		return m.c.Created(uint16(id), u)
	}
	p := proto.Program{Measurer: m.o.measurer}
	if p.Hash, err = hex32("measured", m.o.measured); err != nil {
		return err
	}
	if err := p.Check(); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	return m.c.CreatedMeasured(uint16(id), u, p)
}

// reportRestored reports that a guest was restored.
func reportRestored(m *mgrRun) error {
	id, err := strconv.ParseUint(m.args[0], 10, 16)
	if err != nil {
		return fmt.Errorf("%w: %q: want a domain ID", errUsage, m.args[0])
	}
	u, err := proto.ParseUUID(m.args[1])
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	token, err := hex32("TOKEN", m.args[2])
	if err != nil {
		return err
	}
	return m.c.Restored(uint16(id), u, token)
}

// measureTimeout limits the hashing of a domain's memory, some megabytes.
const measureTimeout = 60 * time.Second

// measureDomain measures a domain of this host.
func measureDomain(domain, file string) (id uint16, hash [32]byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), measureTimeout)
	defer cancel()
	dom0, err := devxen.Open()
	if err != nil {
		return 0, hash, err
	}
	defer dom0.Close()
	store := dom0.Domain().Store
	// By ID from here on: a name may pass to another domain.
	number, err := findDomain(ctx, store, domain)
	if err != nil {
		return 0, hash, err
	}
	h := xenlife.Host{Store: store, XL: xenlife.XL}
	s, err := h.Measure(ctx, strconv.Itoa(int(number)), file)
	if err != nil {
		return 0, hash, err
	}
	hash, err = hex32("measurement", s)
	return uint16(number), hash, err
}
