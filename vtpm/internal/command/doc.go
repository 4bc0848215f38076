// Package command has the commands of a TPM 2.0, each as a function over an
// [engine.Device] (TPM 2.0 Library, Part 3).
//
// A file sNN_name.go has commands of section NN of Part 3, and is named after it. A
// handler is called when the steps of package dispatch have passed: it reads its
// parameters, checks them, changes the state, and writes the response parameters. Its
// comment begins with what the command does, and lists the response codes of its
// own. The table of all handlers is in table.go; handles, roles, attributes and the
// rule for read-only mode are in package tcg's table of commands. A command that is
// in only one of the two is answered with TPM_RC_COMMAND_CODE.
//
// A handler does not say what it changed: package dispatch compares the permanent
// state before and after, and undoes what could not be saved.
package command
