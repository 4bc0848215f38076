// Package engine is the state of a TPM and the rules that hold between its parts.
//
// A [Device] has four kinds of state, told apart by what survives what (Part 1,
// "TPM Operational States"): permanent state survives loss of power; [StateClear] is
// initialized by each TPM Reset and TPM Restart, [StateReset] by each TPM Reset; and
// volatile state is lost at _TPM_Init. Each is made of the parts in the packages beside
// this one: clock, hierarchy, lockout, nv, object, pcr, session and timer. A part has
// its rules and its encoding; it knows nothing of the others.
//
// What a command changes is saved before it is answered, or not at all: package
// dispatch marks the state (Mark), runs the command, finds what changed
// (FindChanges), and saves it (Save). A save that fails undoes everything but the
// failed authorizations that were counted. Undo copies whole structs, so that a new
// field is part of it without more code.
package engine
