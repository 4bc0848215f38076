package dispatch

import (
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
)

// A Table has the handlers of all implemented commands, by code from
// engine.FirstCommand on.
type Table [engine.LastCommand - engine.FirstCommand + 1]Handler

// NewTable returns the table of handlers.
func NewTable(handlers map[tcg.TPMCC]Handler) *Table {
	t := new(Table)
	for code, run := range handlers {
		t[code-engine.FirstCommand] = run
	}
	return t
}

// Implements reports whether t has a command.
func (t *Table) Implements(code tcg.TPMCC) bool {
	return code >= engine.FirstCommand && code <= engine.LastCommand && t[code-engine.FirstCommand] != nil
}
