package hosted

import (
	"encoding/binary"
	"strings"
	"testing"
)

// CMD_GET_INFO gives the same, by the same text, with and without power, and
// runs no command on the TPM that the guest uses.
func TestInfoAnyTime(t *testing.T) {
	t.Parallel()
	m, c := control(t)
	m.Execute(3, tpmCommand(0x17B, 0, 4))
	ask := func(flags uint32) string {
		head := talk(t, c, words(cmdGetInfo, 0, flags, 0, 0), 12)
		return string(talk(t, c, nil, int(binary.BigEndian.Uint32(head[8:]))))
	}
	on := ask(7)
	if l := heard(m); l != 3 {
		t.Errorf("the guest's TPM ran a command at locality %d", l)
	}
	talk(t, c, words(cmdStop), 4)
	if off := ask(7); on != off || !strings.HasPrefix(on, `{"TPMSpecification":{"family":"2.0","level":`) ||
		!strings.Contains(on, `},"TPMAttributes":{"manufacturer":"id:`) || strings.Index(on, "version") > strings.Index(on, "model") {
		t.Errorf("info %q, without power %q", on, off)
	}
	if got := ask(8); got != "{}\x00" {
		t.Errorf("info of no part: %q", got)
	}
}
