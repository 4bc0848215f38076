package vtpmmgr

import (
	"sync"

	"stubtpm/vtpmmgr/evidence"
	"stubtpm/vtpmmgr/hwtpm"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
	"stubtpm/vtpmmgr/transfer"
)

// A Manager serves vTPMs and administrators. Its methods may be called by
// several goroutines. Each peer has one request at a time; commits that wait at
// the same time share one write of the disk and one of the hardware TPM.
type Manager struct {
	cfg   Config
	tpm   *hwtpm.TPM
	disk  *monitoredDisk // cfg.Disk
	store *ledger.Store
	id    [16]byte
	keys  *keys

	orders sync.Mutex    // one order at a time: the audit log is a chain
	root   *hwtpm.Record // guarded by orders
	copies *hwtpm.Copies // of root, on the disk; guarded by orders

	oldIndices error // why NV indices from before a move are still there; set at the start

	turns turns // whoever changes a record has its turn

	quotes quotes

	crlNumber uint64 // of the newest revocation list; guarded by orders

	mu            sync.Mutex
	config        config
	identity      *hostIdentity // nil until it is needed first
	noIdentity    error         // why the one of the ledger cannot be read
	unusable      error         // why its keys cannot be used: they obey other PCRs
	certified     map[UUID]*certified
	revoked       revocations
	notRevoked    error // why a part of them cannot be read
	records       map[UUID]record
	sorted        []UUID // keys of records in a fixed order; nil if it is to be made
	groups        map[uint32]*group
	doubts        int // commits whose outcome was unknown when they failed
	settled       int // of them, those after which the ledger was read again
	connected     map[UUID]*Session
	measured      map[uint16]image // of domains
	measuredOrder []uint16         // its keys, oldest first
	refused       map[proto.Code]uint64
	shares        map[UUID]*shares

	groupOrders map[uint32]*bucket // orders of each group's approver

	// Of moves between managers. moves is guarded by orders; it has the nonces of requests.
	moves  map[UUID]*transfer.Source
	moving map[UUID]*moving
	frozen map[UUID]uint64 // sequence of a suspended state on which no command runs before another commit
	offers bucket          // of offers that nobody signed for

	groupMoves map[uint32]*bucket // moves of each group that has an approver

	guests   map[UUID]guest // of vTPMs, since this program's start
	fromBoot bool           // no guest is older than that
}

// A Peer is who is at the other end of a connection, as the toolstack and the
// hypervisor say, never as the peer does.
type Peer struct {
	Domain uint16
	UUID   UUID
	Label  string // security label of its domain; empty where Xen enforces no policy
}

// A Session serves one connection, one request at a time.
type Session struct {
	m     *Manager
	peer  Peer
	admin bool

	loaded     bool     // guarded by m.mu, as is the next
	enrollment [32]byte // the salt of the record that was loaded

	// Of an administrator, who asks one thing at a time.
	greeted bool
	nonce   [32]byte
	count   uint64 // orders since the greeting
	crl     []byte // the revocation list that it reads in pieces
	given   []byte // the message of a move that it gives in pieces
	answer  []byte // the answer to it
}

// An image is what was measured in a domain's memory, and who told of it.
type image struct {
	hash [32]byte
	by   evidence.Measurer
}
