package hosted

import (
	"testing"
)

// The TPM2_Startup of the options is sent once, at the start of the process.
func TestStartupAtStartOnly(t *testing.T) {
	t.Parallel()
	m, c := control(t) // with StartupClear
	cmd := tpmCommand(0x17B, 0, 4)
	wantBytes(t, "after the start", m.Execute(0, cmd)[6:10], words(0))
	wantBytes(t, "init", talk(t, c, words(cmdInit, 0), 4), words(0))
	wantBytes(t, "after CMD_INIT", m.Execute(0, cmd)[6:10], words(rcInitialize))
}

// With disable-auto-shutdown the power goes without TPM2_Shutdown.
func TestNoShutdown(t *testing.T) {
	t.Parallel()
	for _, no := range []bool{false, true} {
		m := machine(t)
		m.noShutdown = no
		fake := m.tpm.(*fakeTPM)
		m.Execute(0, tpmCommand(fakeCount))
		m.PowerOff()
		if sent := fake.shutdowns > 0; sent == no {
			t.Errorf("disable-auto-shutdown %v: TPM2_Shutdown was sent: %v", no, sent)
		}
	}
}

// A TPM without power answers TPM_RC_FAILURE, and orderly shutdown is sent
// once and only if the guest did not.
func TestPower(t *testing.T) {
	t.Parallel()
	m := machine(t)
	fake := m.tpm.(*fakeTPM)
	m.PowerOff()
	if fake.shutdowns != 1 {
		t.Errorf("%d shutdowns sent", fake.shutdowns)
	}
	wantBytes(t, "off", m.Execute(0, tpmCommand(0x17B, 0, 4)), errorResponse(rcFailure))
	if err := m.Cancel(); err == nil {
		t.Error("cancel of a TPM without power")
	}
	if err := m.PowerOn(false); err != nil {
		t.Fatal(err)
	}
	fake = m.tpm.(*fakeTPM)
	m.Execute(0, tpmCommand(ccShutdown, 0, 0))
	m.PowerOff()
	if fake.shutdowns != 1 {
		t.Errorf("%d shutdowns after the guest's own", fake.shutdowns)
	}
}
