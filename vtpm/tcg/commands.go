package tcg

// A CommandSpec is what Part 3 says of one command.
type CommandSpec struct {
	Code TPMCC
	Name string
}

// CommandByCode returns the specification of a command, or nil.
func CommandByCode(cc TPMCC) *CommandSpec {
	if cc < TPMCCFirst || cc > TPMCCLast {
		return nil
	}
	return &CommandSpec{Code: cc}
}
