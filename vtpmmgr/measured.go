package vtpmmgr

import (
	"slices"

	"stubtpm/vtpmmgr/evidence"
	"stubtpm/vtpmmgr/proto"
)

// maxMeasured is of how many domains the manager keeps the measurement. Xen has
// numbers for 32,751, and a host that measures each start never says which are gone.
const maxMeasured = 4096

// measuredDomain notes which image a domain runs.
func (o *order) measuredDomain() (proto.Code, []byte) {
	m, d := o.m, o.args.(measurement)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.measuredOrder = slices.DeleteFunc(m.measuredOrder, func(n uint16) bool { return n == d.domain })
	m.measured[d.domain], m.measuredOrder = image{d.image, o.reporter()}, append(m.measuredOrder, d.domain)
	m.pruneMeasured()
	m.cfg.Log("vtpmmgr: domain %d runs %x", d.domain, d.image)
	return proto.OK, nil
}

// reporter returns whose word an order about a domain is.
func (o *order) reporter() evidence.Measurer {
	if o.by&administrator != 0 {
		return evidence.Administrator
	}
	return evidence.Host
}

// pruneMeasured drops the oldest measurements of domains that are not connected. Such
// a domain is refused until it is measured again. m.mu is held.
func (m *Manager) pruneMeasured() {
	excess := len(m.measured) - maxMeasured
	if excess <= 0 {
		return
	}
	connected := map[uint16]bool{}
	for _, s := range m.connected {
		connected[s.peer.Domain] = true
	}
	m.measuredOrder = slices.DeleteFunc(m.measuredOrder, func(n uint16) bool {
		if excess <= 0 || connected[n] {
			return false
		}
		delete(m.measured, n)
		excess--
		return true
	})
}
