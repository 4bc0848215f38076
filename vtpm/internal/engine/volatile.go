package engine

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"stubtpm/vtpm/internal/clock"
	"stubtpm/vtpm/internal/lockout"
	"stubtpm/vtpm/internal/nv"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/internal/session"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// What _TPM_Init would lose, as bytes: so that a machine which was stopped
// goes on with its PCRs, sessions and objects.

const (
	volatileMagic   = 0x7354564F // "sTVO"
	VolatileVersion = 4          // 2: countdown timers; 3: sessions have their start in Time; 4: signature sequences
)

var errVolatile = errors.New("not a volatile state of this TPM")

// Volatile returns what Resume needs besides the permanent state, to go on
// where the device is now. It holds secrets and has to be protected as the
// permanent state is. A device in failure mode has none. It is an error if
// Resume would not take it: the device goes on.
func (d *Device) Volatile() ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.checkedVolatile()
}

// Snapshot calls save with the permanent state and what Volatile returns for it, while no
// command runs, and returns its error. save must not keep the states, nor call the Device.
func (d *Device) Snapshot(save func(state, volatile []byte) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	b, err := d.checkedVolatile()
	if err != nil {
		return err
	}
	return save(d.Kept, b)
}

// checkedVolatile is Volatile with d.mu held.
func (d *Device) checkedVolatile() ([]byte, error) {
	if d.Vol.Failed {
		return nil, d.failureMode()
	}
	b := d.EncodeVolatile()
	cfg := d.Cfg
	cfg.Log = nil
	again, err := newDevice(cfg)
	if err == nil {
		err = again.decodePermanent(d.Kept)
	}
	if err == nil {
		err = again.resume(tpmcrypto.Digest(ContextHash, d.Kept), b)
	}
	if err != nil {
		return nil, fmt.Errorf("vtpm: internal error: own volatile state does not decode: %w", err)
	}
	return b, nil
}

// version is the lowest that says all of v: without signature sequences 4 is 3.
func (v *volatile) version() uint16 {
	for _, o := range v.Objects {
		if o != nil && o.Seq != nil && o.Seq.Signature != nil {
			return VolatileVersion
		}
	}
	return VolatileVersion - 1
}

// EncodeVolatile encodes what loss of power loses, for a device that goes on in
// another place.
func (d *Device) EncodeVolatile() []byte {
	v := &d.Vol
	var w tcg.Writer
	w.Uint32(volatileMagic)
	w.Uint16(v.version())
	// It belongs to one permanent state: with another, counters would lie.
	w.Sized(tpmcrypto.Digest(ContextHash, d.Kept))
	w.Flags(v.Started, v.Clock.Safe, v.Orderly, v.PhysicalPresence, v.ShutdownDone, v.HCRTM, v.HashSequence != nil)
	d.ACTTick()
	now := d.Cfg.Now()
	for _, t := range []time.Duration{v.Clock.SincePowerOn(now), now - v.DATime.SelfHeal, now - v.DATime.Lockout} {
		w.Uint64(uint64(t))
	}
	w.Uint64(d.ClockNow())
	w.Uint32(v.Clock.Epoch)
	w.Uint32(uint32(v.Exclusive))
	w.Uint8(v.StartupLocality)
	d.Clear.encode(&w)
	d.Reset.encode(&w)
	v.PCRs.Encode(&w)
	for _, o := range v.Objects {
		w.YesNo(o != nil)
		if o != nil {
			o.Encode(&w)
		}
	}
	for _, s := range v.Sessions {
		w.YesNo(s != nil)
		if s == nil {
			continue
		}
		s.Encode(&w)
	}
	if v.HashSequence != nil {
		v.HashSequence.Encode(&w)
	}
	var orderly []*nv.Index
	for _, h := range slices.Sorted(maps.Keys(d.Perm.NV.Indices)) {
		if x := d.Perm.NV.Indices[h]; x.Has(tcg.TPMANVOrderly) {
			orderly = append(orderly, x)
		}
	}
	w.Uint16(uint16(len(orderly)))
	for _, x := range orderly {
		x.Public.Marshal(&w)
		w.Sized(x.Data)
	}
	if d.Tries.Owed {
		d.Tries.encode(&w, &d.Perm.DA)
	}
	return w.B
}

// Resume returns the TPM of a permanent state as it was when Volatile was
// called. Errors wrap ErrState.
func Resume(cfg Config, state, volatile []byte) (*Device, error) {
	d, err := Load(cfg, state)
	if err != nil {
		return nil, err
	}
	if err := d.resume(tpmcrypto.Digest(ContextHash, state), volatile); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	return d, nil
}

func (d *Device) resume(state, b []byte) error {
	r := tcg.NewReader(b, d.Profile)
	if r.Uint32() != volatileMagic {
		return errVolatile
	}
	version := r.Uint16()
	if version == 0 || version > VolatileVersion {
		return fmt.Errorf("%w: %d, newest known %d", errStateVersion, version, VolatileVersion)
	}
	if !bytes.Equal(r.Sized(tcg.MaxDigestSize), state) {
		return fmt.Errorf("%w: it was saved with another permanent state", errVolatile)
	}
	v := d.newVolatile()
	var launch, safe bool
	r.Flags(&v.Started, &safe, &v.Orderly, &v.PhysicalPresence, &v.ShutdownDone, &v.HCRTM, &launch)
	now := d.Cfg.Now()
	poweredFor := time.Duration(r.Uint64())
	v.DATime = lockout.Timers{SelfHeal: now - time.Duration(r.Uint64()), Lockout: now - time.Duration(r.Uint64())}
	v.Clock = clock.Resumed(poweredFor, r.Uint64(), now)
	v.Clock.Safe, v.Clock.Epoch = safe, r.Uint32()
	v.Exclusive = tcg.TPMHandle(r.Uint32())
	v.StartupLocality = r.Uint8()
	var clear StateClear
	var reset StateReset
	clear.decode(&r, version)
	clear.ACTs.Continue(now)
	reset.decode(&r)
	if v.PCRs.Decode(&r) != nil {
		return errVolatile
	}
	for i := range v.Objects {
		if r.Uint8() != 0 && r.Err() == tcg.TPMRCSuccess {
			v.Objects[i] = object.Decode(&r)
		}
	}
	for i := range v.Sessions {
		if r.Uint8() == 0 || r.Err() != tcg.TPMRCSuccess {
			continue
		}
		s := session.Decode(&r, version)
		if s.Policy != nil && version < 3 {
			age := r.Uint64() // in ns, of a session whose start was of the process that saved it
			s.Policy.Start = v.Clock.Time(now) - min(age/uint64(time.Millisecond), v.Clock.Time(now))
			s.Policy.StartEpoch = v.Clock.Epoch
		}
		if tpmcrypto.DigestSize(s.Hash) == 0 || int(s.Handle&0x00FFFFFF) != i {
			return errVolatile
		}
		v.Sessions[i] = s
	}
	if launch {
		v.HashSequence = object.DecodeSequence(&r)
	}
	for range count(&r) {
		var p tcg.TPMSNVPublic
		p.Unmarshal(&r)
		data := r.Sized(tcg.MaxStored)
		if p.NVIndex == EpochIndex || isPair(p.NVIndex) {
			continue // it is what Config says, not what a state had
		}
		x := d.Perm.NV.Indices[p.NVIndex]
		if x == nil || len(data) != len(x.Data) {
			return errVolatile
		}
		x.SetAttributes(p.Attributes)
		copy(x.Data, data)
	}
	if r.Len() > 0 {
		d.decodeTries(&r)
	}
	if r.Err() != tcg.TPMRCSuccess || r.Len() != 0 {
		return ErrStateShort
	}
	d.Vol, d.Clear, d.Reset = v, clear, reset
	return nil
}
