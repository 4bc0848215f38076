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

// Implements reports whether t has a command.
func (t *handlerTable) Implements(code tcg.TPMCC) bool {
	return code >= firstCommand && code <= lastCommand && t[code-firstCommand] != nil
}
