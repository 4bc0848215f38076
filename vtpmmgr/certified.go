package vtpmmgr

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"stubtpm/vtpmmgr/ledger"
)

// serials are the serial numbers of all certificates of one vTPM since its last
// restoration. They are derived, so that any number of them takes the same room.
type serials struct {
	seed  [16]byte
	count uint16 // of certificates
	until uint32 // when the last of them ends, in seconds since 1970
}

func newSerials() (s serials) {
	rand.Read(s.seed[:])
	return s
}

// maxSerials is the largest number of certificates of one vTPM since its last restoration.
const maxSerials = 4096

// number returns a serial number, below maxSerials: positive, and always of 16 bytes.
func (s *serials) number(i uint16) [16]byte {
	sum := sha256.Sum256(binary.BigEndian.AppendUint16(append([]byte("stubtpm serial number\x00"), s.seed[:]...), i))
	sum[0] = sum[0]&0x7F | 0x40
	return [16]byte(sum[:])
}

const serialsSize = 16 + 2 + 4

func (s *serials) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(append(b, s.seed[:]...), s.count)
	return binary.BigEndian.AppendUint32(b, s.until)
}

func readSerials(b []byte) serials {
	return serials{[16]byte(b), binary.BigEndian.Uint16(b[16:]), binary.BigEndian.Uint32(b[18:])}
}

// certified is what the manager keeps of the certificates of one vTPM, in two places.
type certified struct {
	uuid    UUID
	basis   [32]byte // hash of what the newest certificates claim, and of the host's
	serials serials
	begins  uint32 // when the newest certificates of endorsement keys begin, and end
	ends    uint32
	keys    [][32]byte // SHA-256 of the SubjectPublicKeyInfo of these keys
}

// Layout of the item: kind, version, uuid, basis, serials, begin, end, keys after a count of
// 1.
const (
	certifiedVersion = 1
	certifiedUUID    = 2
	certifiedBasis   = certifiedUUID + 16
	certifiedSerials = certifiedBasis + 32
	certifiedTimes   = certifiedSerials + serialsSize
	certifiedKeys    = certifiedTimes + 8
	maxCertified     = 4 // keys
)

func certifiedItems(u UUID) [2]ledger.ID { return twice(kindCertified, u[:]) }

func (c *certified) changes() []ledger.Change {
	b := append([]byte{kindCertified, certifiedVersion}, c.uuid[:]...)
	b = c.serials.append(append(b, c.basis[:]...))
	b = binary.BigEndian.AppendUint32(b, c.begins)
	b = append(binary.BigEndian.AppendUint32(b, c.ends), byte(len(c.keys)))
	for _, k := range c.keys {
		b = append(b, k[:]...)
	}
	return twiceChanges(certifiedItems(c.uuid), b)
}

func decodeCertified(b []byte) (*certified, error) {
	if len(b) <= certifiedKeys || b[0] != kindCertified || b[1] != certifiedVersion {
		return nil, errItem
	}
	c := &certified{uuid: UUID(b[certifiedUUID:]), basis: [32]byte(b[certifiedBasis:]),
		serials: readSerials(b[certifiedSerials:]), begins: binary.BigEndian.Uint32(b[certifiedTimes:]), ends: binary.BigEndian.Uint32(b[certifiedTimes+4:])}
	n, b := int(b[certifiedKeys]), b[certifiedKeys+1:]
	if n > maxCertified || len(b) != n*32 || c.serials.count > maxSerials {
		return nil, errItem
	}
	for ; len(b) > 0; b = b[32:] {
		c.keys = append(c.keys, [32]byte(b))
	}
	return c, nil
}

// has reports whether one of the keys has a hash.
func (c *certified) has(hash [32]byte) bool {
	for _, k := range c.keys {
		if k == hash {
			return true
		}
	}
	return false
}

func date(seconds uint32) string {
	return time.Unix(int64(seconds), 0).UTC().Format(time.DateOnly)
}
