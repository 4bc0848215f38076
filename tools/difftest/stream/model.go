package stream

import "stubtpm/vtpm/tcg"

// An object is a loaded or persistent object, or a sequence.
type object struct {
	entity
	typ        tcg.TPMAlgID
	attrs      uint32
	pub        bytesPair // TPMT_PUBLIC
	sameKey    bool      // both sides have the same key
	noPrivate  bool      // only the public area is loaded
	sequence   bool
	hash       tcg.TPMAlgID
	hierarchy  uint32
	policy     int     // recipe of its authPolicy, or -1
	parent     *object // nil if it has none in the model
	persistent bool

	signer           *object // of a sequence for a signature, its key
	context, message []byte
}

func (o *object) isParent() bool {
	return o.attrs&(attrRestricted|attrDecryptKey) == attrRestricted|attrDecryptKey && !o.noPrivate
}

// A blob is the result of TPM2_Create.
type blob struct {
	parent       *object
	priv, pub    bytesPair // TPM2B_PRIVATE and TPMT_PUBLIC without their sizes
	auth         []byte
	policy       int
	creationHash bytesPair
	ticket       bytesPair
}

// An index is an NV index.
type index struct {
	entity
	attrs  uint32
	size   int
	hash   tcg.TPMAlgID
	policy int
}

// nt returns the index type, TPM_NT.
func (x *index) nt() uint32 { return x.attrs >> 4 & 15 }

type savedContext struct {
	blob    bytesPair
	object  *object // or
	session *session
}

// A ticket is a ticket that both sides returned for the same digest and key.
type ticket struct {
	body   bytesPair
	digest []byte
	key    *object
}

// A recipe is a policy: a list of commands that give the same policy digest on both
// sides.
type recipe struct {
	steps  []func(*world, *session) *command
	digest []byte
	pcr    int // number of the PCR that it asserts, if any
}

// A wilderness is the state of the wild generators, which send all commands of the
// specification to a single TPM.
type wilderness struct {
	pool map[string][][]byte // values that the TPM returned, by their type
	keys []external

	missing map[tcg.TPMCC]bool     // commands that the TPM does not implement
	look    func(c *command) error // sends a command to a copy of the TPM; may be nil
}
