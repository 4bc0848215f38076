package drive

// The invariants.
const (
	WellFormed   = "a response is well-formed"
	NoPanic      = "the device does not panic"
	NoFailure    = "no command ends in failure mode"
	Loads        = "a state that was saved loads"
	Resumes      = "Volatile and then Resume give an equal device"
	Unchanged    = "a refused command changes nothing"
	SameAnswers  = "a device that was restored gives the same answers"
	ContextLoads = "a context that was saved loads"
	Counted      = "a failed authorization is counted"
	NoOracle     = "no answer tells a protected authorization but by a counted try"
	PolicyPCR    = "a policy session authorizes only while the PCRs that it asserted are the same"
	PINCount     = "the count of a PIN Fail index goes down by success or a write only"
	PINLimit     = "the value of a PIN index authorizes nothing once its count is at its limit"
	Model        = "the generator's model holds"
)

// Invariants lists all of them.
var Invariants = [...]string{WellFormed, NoPanic, NoFailure, Loads, Resumes, Unchanged, SameAnswers, ContextLoads, Counted, NoOracle, PolicyPCR, PINCount, PINLimit, Model}
