package tcg

import "strings"

// A Role is the authorization that a command demands for a handle (Part 3,
// 4.2.10).
type Role uint8

// The roles of Part 3's command tables.
const (
	RoleNone Role = iota
	RoleUser
	RoleAdmin
	RoleDup
)

// CommandAttrs are what Part 3's tables say of a command as a whole.
type CommandAttrs uint16

// What a command does beside its work, and what it demands.
const (
	AttrNV         CommandAttrs = 1 << iota // {NV}: may write non-volatile memory
	AttrExtensive                           // {E}: may flush any number of contexts
	AttrFlushed                             // {F}: flushes the transient objects it is given
	AttrNoSessions                          // only TPM_ST_NO_SESSIONS is allowed
	AttrPP                                  // +{PP}: can be made to need physical presence
	AttrPPRequired                          // +PP: always needs physical presence
	AttrDeprecated                          // deprecated by v1.85

	// What follows is not in Part 3's tables. Each permits something, so that a
	// command of which nothing is said gets the stricter rule.
	AttrReads    // leaves all that TPM2_Shutdown saves as it is
	AttrVolatile // leaves all that survives a loss of power as it is, but for what its authorization counts
	AttrNVWrite  // USER role of an NV index is for writing (Part 1, "NV Index Authorizations")
	AttrNVRead   // USER role of an NV index is for reading or, in TPM2_PolicySecret, for its value
)

// A ReadOnlyRule reports whether a command runs in read-only mode (Part 3, 24.9,
// Table 207).
type ReadOnlyRule uint8

// A command that the table does not rule on is refused.
const (
	ReadOnlyUnknown ReadOnlyRule = iota // refused
	ReadOnlyRefuses                     // makes objects or changes what persists
	ReadOnlyByIndex                     // depends on the NV index that it is for
	ReadOnlyAllows
)

// A HandleSpec is one handle of a command. Plus says that the conditional
// value of the type, TPM_RH_NULL, is allowed.
type HandleSpec struct {
	Name string
	Type HandleType
	Plus bool
	Role Role
}

// Check reports whether h is a value that the command takes there: TPMRCSuccess
// or TPMRCValue. It does not look at whether something of that handle exists.
func (s *HandleSpec) Check(h TPMHandle) TPMRC {
	if s.Type.allows(h, s.Plus) {
		return TPMRCSuccess
	}
	return TPMRCValue
}

// A ParamSpec is one parameter: its name and type as in Part 3. A type that
// ends in "+" allows its conditional value.
type ParamSpec struct {
	Name, Type string
}

// A CommandSpec is what Part 3 says of one command.
type CommandSpec struct {
	Code  TPMCC
	Name  string // "TPM2_NV_Write"
	Since string // revision that brought the command: "1.38" also for all before
	Attrs CommandAttrs

	ReadOnly ReadOnlyRule

	Handles        []HandleSpec
	Params         []ParamSpec
	ResponseHandle *HandleSpec // nil if the response has none
	Response       []ParamSpec
}

// CommandByCode returns the specification of a command, or nil. The caller
// must not change it.
func CommandByCode(cc TPMCC) *CommandSpec {
	i := cc - TPMCCFirst
	if i >= TPMCC(len(commandTable)) || commandTable[i].Code == 0 {
		return nil
	}
	return &commandTable[i]
}

// String returns the command's name in Part 3, such as "TPM2_NV_Write".
func (cc TPMCC) String() string {
	if c := CommandByCode(cc); c != nil {
		return c.Name
	}
	const hex = "0123456789abcdef"
	b := []byte("TPM_CC 0x00000000")
	for i := 0; i < 8; i++ {
		b[len(b)-1-i] = hex[cc>>(4*i)&15]
	}
	return string(b)
}

// Has reports whether the command has all of attrs.
func (c *CommandSpec) Has(attrs CommandAttrs) bool { return c.Attrs&attrs == attrs }

// AuthCount returns how many handles need authorization. They come first.
func (c *CommandSpec) AuthCount() int {
	n := 0
	for _, h := range c.Handles {
		if h.Role != RoleNone {
			n++
		}
	}
	return n
}

// firstSize returns the size in bytes of the size field of the first
// parameter, which is what makes it fit for encryption: 2 for a TPM2B.
func firstSize(p []ParamSpec) int {
	if len(p) > 0 && strings.HasPrefix(p[0].Type, "TPM2B_") {
		return 2
	}
	return 0
}

// DecryptSize is 2 if the command's first parameter may come encrypted, and 0
// if it may not.
func (c *CommandSpec) DecryptSize() int { return firstSize(c.Params) }

// EncryptSize is 2 if the response's first parameter may be sent encrypted,
// and 0 if it may not.
func (c *CommandSpec) EncryptSize() int { return firstSize(c.Response) }

// CCAttributes returns what TPM2_GetCapability says of the command (Part 2,
// Table 43).
func (c *CommandSpec) CCAttributes() TPMACC {
	a := TPMACC(c.Code)&TPMACCCommandIndex | TPMACC(len(c.Handles))<<tpmaCCHandlesShift
	if c.Has(AttrNV) {
		a |= TPMACCNV
	}
	if c.Has(AttrExtensive) {
		a |= TPMACCExtensive
	}
	if c.Has(AttrFlushed) {
		a |= TPMACCFlushed
	}
	if c.ResponseHandle != nil {
		a |= TPMACCRHandle
	}
	return a
}
