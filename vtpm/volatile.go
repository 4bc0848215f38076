package vtpm

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"stubtpm/vtpm/internal/clock"
	"stubtpm/vtpm/internal/lockout"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// What _TPM_Init would lose, as bytes: so that a machine which was stopped
// goes on with its PCRs, sessions and objects.

const (
	volatileMagic   = 0x7354564F // "sTVO"
	volatileVersion = 3          // 2: countdown timers; 3: sessions have their start in Time
)

var errVolatile = errors.New("not a volatile state of this TPM")

// Volatile returns what Resume needs besides the permanent state, to go on
// where the device is now. It holds secrets and has to be protected as the
// permanent state is. A device in failure mode has none. It is an error if
// Resume would not take it: the device goes on.
func (d *Device) Volatile() ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.vol.failed {
		return nil, fmt.Errorf("vtpm: failure mode: %s", d.vol.failure.what)
	}
	b := d.encodeVolatile()
	cfg := d.cfg
	cfg.Log = nil
	again, err := newDevice(cfg)
	if err == nil {
		err = again.decodePermanent(d.kept)
	}
	if err == nil {
		err = again.resume(digest(contextHash, d.kept), b)
	}
	if err != nil {
		return nil, fmt.Errorf("vtpm: internal error: own volatile state does not decode: %w", err)
	}
	return b, nil
}

func (d *Device) encodeVolatile() []byte {
	v := &d.vol
	var w tcg.Writer
	w.Uint32(volatileMagic)
	w.Uint16(volatileVersion)
	// It belongs to one permanent state: with another, counters would lie.
	w.Sized(digest(contextHash, d.kept))
	w.Flags(v.started, v.clock.Safe, v.orderly, v.physicalPresence, v.shutdownDone, v.hcrtm, v.drtm != nil)
	d.actTick()
	now := d.cfg.Now()
	for _, t := range []time.Duration{v.clock.SincePowerOn(now), now - v.daTime.SelfHeal, now - v.daTime.Lockout} {
		w.Uint64(uint64(t))
	}
	w.Uint64(d.clockNow())
	w.Uint32(v.clock.Epoch)
	w.Uint32(uint32(v.exclusive))
	w.Uint8(v.startupLocality)
	d.clear.encode(&w)
	d.reset.encode(&w)
	v.pcrs.Encode(&w)
	for _, o := range v.objects {
		w.YesNo(o != nil)
		if o != nil {
			o.encode(&w)
		}
	}
	for _, s := range v.sessions {
		w.YesNo(s != nil)
		if s == nil {
			continue
		}
		s.encode(&w)
	}
	if v.drtm != nil {
		v.drtm.encode(&w)
	}
	var orderly []*nvIndex
	for _, h := range slices.Sorted(maps.Keys(d.perm.nv.indices)) {
		if x := d.perm.nv.indices[h]; x.has(tcg.TPMANVOrderly) {
			orderly = append(orderly, x)
		}
	}
	w.Uint16(uint16(len(orderly)))
	for _, x := range orderly {
		x.public.Marshal(&w)
		w.Sized(x.data)
	}
	if d.tries.owed {
		d.tries.encode(&w, &d.perm.da)
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
	if err := d.resume(digest(contextHash, state), volatile); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	return d, nil
}

func (d *Device) resume(state, b []byte) error {
	r := tcg.NewReader(b, d.profile)
	if r.Uint32() != volatileMagic {
		return errVolatile
	}
	version := r.Uint16()
	if version == 0 || version > volatileVersion {
		return fmt.Errorf("%w: %d, newest known %d", errStateVersion, version, volatileVersion)
	}
	if !bytes.Equal(r.Sized(tcg.MaxDigestSize), state) {
		return fmt.Errorf("%w: it was saved with another permanent state", errVolatile)
	}
	v := d.newVolatile()
	var launch, safe bool
	r.Flags(&v.started, &safe, &v.orderly, &v.physicalPresence, &v.shutdownDone, &v.hcrtm, &launch)
	now := d.cfg.Now()
	poweredFor := time.Duration(r.Uint64())
	v.daTime = lockout.Timers{SelfHeal: now - time.Duration(r.Uint64()), Lockout: now - time.Duration(r.Uint64())}
	v.clock = clock.Resumed(poweredFor, r.Uint64(), now)
	v.clock.Safe, v.clock.Epoch = safe, r.Uint32()
	v.exclusive = tcg.TPMHandle(r.Uint32())
	v.startupLocality = r.Uint8()
	var clear stateClear
	var reset stateReset
	clear.decode(&r, version)
	clear.acts.Continue(now)
	reset.decode(&r)
	if v.pcrs.Decode(&r) != nil {
		return errVolatile
	}
	for i := range v.objects {
		if r.Uint8() != 0 && r.Err() == tcg.TPMRCSuccess {
			v.objects[i] = decodeObject(&r)
		}
	}
	for i := range v.sessions {
		if r.Uint8() == 0 || r.Err() != tcg.TPMRCSuccess {
			continue
		}
		s := decodeSession(&r, version)
		if s.policy != nil && version < 3 {
			age := r.Uint64() // in ns, of a session whose start was of the process that saved it
			s.policy.start = v.clock.Time(now) - min(age/uint64(time.Millisecond), v.clock.Time(now))
			s.policy.startEpoch = v.clock.Epoch
		}
		if tpmcrypto.DigestSize(s.hash) == 0 || int(s.handle&0x00FFFFFF) != i {
			return errVolatile
		}
		v.sessions[i] = s
	}
	if launch {
		v.drtm = decodeSequence(&r)
	}
	for range count(&r) {
		var p tcg.TPMSNVPublic
		p.Unmarshal(&r)
		data := r.Sized(maxBlob)
		if p.NVIndex == EpochIndex {
			continue // it is what Config says, not what a state had
		}
		x := d.perm.nv.indices[p.NVIndex]
		if x == nil || len(data) != len(x.data) {
			return errVolatile
		}
		x.setAttributes(p.Attributes)
		copy(x.data, data)
	}
	if r.Len() > 0 {
		d.decodeTries(&r)
	}
	if r.Err() != tcg.TPMRCSuccess || r.Len() != 0 {
		return errStateShort
	}
	d.vol, d.clear, d.reset = v, clear, reset
	return nil
}
