package hosted

// hash runs f if the device has the signals of a measured launch.
func (m *Machine) hash(f func(Hasher)) error {
	err := errNoHash
	off := m.on(func(t TPM) {
		if e := m.lockStorage(0); e != nil {
			err = e
		} else if h, ok := t.(Hasher); ok {
			if err = m.moveOn(); err == nil {
				f(h)
			}
		}
	})
	if off != nil {
		return off
	}
	return err
}

// HashStart is the beginning of a measured launch; it sets tpmEstablished (PC
// Client Platform TPM Profile, "TPM_ACCESS_x", bit 0).
func (m *Machine) HashStart() error {
	return m.hash(func(t Hasher) {
		m.established = true
		t.HashStart()
	})
}

// HashData gives a part of what is launched.
func (m *Machine) HashData(p []byte) error { return m.hash(func(t Hasher) { t.HashData(p) }) }

// HashEnd ends the measured launch.
func (m *Machine) HashEnd() error { return m.hash(func(t Hasher) { t.HashEnd() }) }

// Established returns the bit tpmEstablished.
func (m *Machine) Established() (bit bool, err error) {
	err = m.on(func(TPM) { bit = m.established })
	return bit, err
}

// ResetEstablished clears tpmEstablished; only localities 3 and 4 may.
func (m *Machine) ResetEstablished(locality uint8) error {
	if locality != 3 && locality != 4 {
		return errLocality
	}
	var err error
	if off := m.on(func(TPM) {
		if err = m.moveOn(); err == nil {
			m.established = false
		}
	}); off != nil {
		return off
	}
	return err
}
