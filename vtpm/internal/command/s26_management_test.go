package command_test

import (
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// commandCodes is a TPML_CC.
func commandCodes(list ...tcg.TPMCC) tpmtest.Raw {
	return be(uint32(len(list)), list)
}

// TestPPCommands: commands in the list need physical presence if the platform
// authorizes them, and others do not (Part 3, 26.2).
func TestPPCommands(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	set := func(set, clear tpmtest.Raw) {
		tpm.SetPhysicalPresence(true)
		tpm.Do(tcg.TPMCCPPCommands, handles{platform}, nil, set, clear)
		tpm.SetPhysicalPresence(false)
	}
	set(commandCodes(tcg.TPMCCClear, tcg.TPMCCGetRandom, 0x20000001), commandCodes())
	r := tpm.Do(tcg.TPMCCGetCapability, nil, nil, tcg.TPMCapPPCommands, 0, 100)
	if got, want := string(r.Params[5:]), string(commandCodes(tcg.TPMCCClear, tcg.TPMCCPPCommands)); got != want {
		t.Errorf("the list is %x, not %x", got, want)
	}
	tpm.Want(tcg.TPMRCPP.S(1), tcg.TPMCCClear, handles{platform}, nil)
	tpm.Do(tcg.TPMCCClear, handles{lockout}, nil)
	tpm.Do(tcg.TPMCCChangeEPS, handles{platform}, nil)
	tpm.Do(tcg.TPMCCGetRandom, nil, nil, 1)
	tpm.Reset()
	tpm.Want(tcg.TPMRCPP.S(1), tcg.TPMCCClear, handles{platform}, nil)
	// What is in both lists is not in the list; TPM2_PP_Commands is always.
	set(commandCodes(tcg.TPMCCClear), commandCodes(tcg.TPMCCClear, tcg.TPMCCPPCommands))
	tpm.Do(tcg.TPMCCClear, handles{platform}, nil)
	tpm.Want(tcg.TPMRCPP.S(1), tcg.TPMCCPPCommands, handles{platform}, nil, commandCodes(), commandCodes())
}

func TestPPCommandsCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCPPCommands)
	c.row(tcg.TPMRCPP.S(1), "nobody is there", handles{platform}, commandCodes(), commandCodes())
	tpm.SetPhysicalPresence(true)
	c.row(tcg.TPMRCValue.H(1), "by the owner", handles{owner}, commandCodes(), commandCodes())
	c.row(tcg.TPMRCSize.P(2), "more than a list holds", handles{platform}, commandCodes(), tpmtest.Raw(be(uint32(0x10000))))
	c.row(tcg.TPMRCSuccess, "", handles{platform}, commandCodes(), commandCodes())
}

// TestSetAlgorithmSet: the number is kept, and the next startup has to clear
// (Part 3, 26.3).
func TestSetAlgorithmSet(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	tpm.Do(tcg.TPMCCSetAlgorithmSet, handles{platform}, nil, 7)
	if got := property(tpm, tcg.TPMPTAlgorithmSet); got != 7 {
		t.Errorf("TPM_PT_ALGORITHM_SET is %d", got)
	}
	tpm.Do(tcg.TPMCCShutdown, nil, nil, tcg.TPMSUState)
	tpm.PowerCycle()
	tpm.Want(tcg.TPMRCValue.P(1), tcg.TPMCCStartup, nil, nil, tcg.TPMSUState)
	tpm.Do(tcg.TPMCCStartup, nil, nil, tcg.TPMSUClear)
	tpm.Resume()
	if got := property(tpm, tcg.TPMPTAlgorithmSet); got != 7 {
		t.Errorf("TPM_PT_ALGORITHM_SET is %d after that", got)
	}
}

func TestSetAlgorithmSetCodes(t *testing.T) {
	t.Parallel()
	c := codesOf(t, tpmtest.New(t), tcg.TPMCCSetAlgorithmSet)
	c.row(tcg.TPMRCValue.H(1), "by the owner", handles{owner}, 0)
	c.row(tcg.TPMRCInsufficient.P(1), "half a number", handles{platform}, tpmtest.Raw{0, 0})
}
