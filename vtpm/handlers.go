package vtpm

import "stubtpm/vtpm/tcg"

// A commandTable gives the handlers of one chapter of Part 3.
type commandTable map[tcg.TPMCC]handler

const firstCommand, lastCommand = tcg.TPMCCNVUndefineSpaceSpecial, tcg.TPMCC(0x1AA)

// A handlerTable has every implemented command, by code from firstCommand on.
type handlerTable [lastCommand - firstCommand + 1]handler

func newHandlerTable() *handlerTable {
	t := new(handlerTable)
	for _, chapter := range []commandTable{
		startupCommands, testingCommands, sessionCommands, objectCommands,
		credentialCommands, duplicationCommands, asymmetricCommands, symmetricCommands,
		randomCommands, sequenceCommands, attestationCommands,
		ephemeralCommands, signingCommands, auditCommands, pcrCommands,
		policyCommands, newPolicyCommands, hierarchyCommands, dictionaryAttackCommands,
		managementCommands, contextCommands,
		clockCommands, capabilityCommands, nvCommands, nv2Commands, timerCommands,
	} {
		for code, run := range chapter {
			t[code-firstCommand] = run
		}
	}
	return t
}

// handlerOf returns the handler of a command that is implemented and that the
// profile has, else nil.
func (d *Device) handlerOf(code tcg.TPMCC) handler {
	if code < firstCommand || code > lastCommand || !d.profile.HasCommand(code) {
		return nil
	}
	return d.handlers[code-firstCommand]
}

// commandCount returns the number of commands that handlerOf has.
func (d *Device) commandCount() uint32 {
	n := uint32(0)
	for code, run := range d.handlers {
		if run != nil && d.profile.HasCommand(firstCommand+tcg.TPMCC(code)) {
			n++
		}
	}
	return n
}
