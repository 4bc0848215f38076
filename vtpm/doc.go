// Package vtpm is a TPM 2.0: a locality and the bytes of a command go in, the
// bytes of a response come out.
//
// It implements the Trusted Platform Module 2.0 Library, version 1.85, Parts
// 1 to 3. It does no I/O of its own, has no package state and uses no unsafe,
// so it runs anywhere: in a domain of its own, in a process, in a test.
//
// A [Device] is made once by [Manufacture] and from then on by [Load], from the state
// that its [Store] was given last. [Resume] continues one that was stopped, from what
// [Device.Volatile] returned.
//
// Below internal are, from the bottom: the parts of a TPM (clock, hierarchy, lockout,
// nv, object, pcr, session, timer), each with its state, rules and encoding; engine,
// which holds them, saves them and undoes what could not be saved; dispatch, which
// checks a command and its authorizations; and command, which has the handlers, a
// file for each section of Part 3.
package vtpm
