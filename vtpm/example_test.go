package vtpm_test

import (
	"fmt"

	"stubtpm/vtpm"
	"stubtpm/vtpm/tcg"
)

// A disk keeps the state: here, in memory.
type disk struct{ state []byte }

func (d *disk) Save(state []byte) error {
	d.state = append([]byte(nil), state...)
	return nil
}

// command returns the bytes of a command without handles or sessions.
func command(code tcg.TPMCC, params ...byte) []byte {
	var w tcg.Writer
	w.Uint16(uint16(tcg.TPMSTNoSessions))
	w.Uint32(uint32(10 + len(params)))
	w.Uint32(uint32(code))
	w.Bytes(params)
	return w.B
}

// code returns the response code of a response.
func code(response []byte) tcg.TPMRC {
	r := tcg.NewReader(response, nil)
	r.Uint16()
	r.Uint32()
	return tcg.TPMRC(r.Uint32())
}

// A TPM is manufactured once. From then on it is loaded from what its store was
// given last.
func Example() {
	store := new(disk)
	d, err := vtpm.Manufacture(vtpm.Config{Store: store})
	if err != nil {
		panic(err)
	}
	fmt.Println(code(d.Execute(0, command(tcg.TPMCCGetRandom, 0, 16))))
	fmt.Println(code(d.Execute(0, command(tcg.TPMCCStartup, 0, 0))))
	fmt.Println(code(d.Execute(0, command(tcg.TPMCCGetRandom, 0, 16))))

	// The power fails; another process has the same TPM.
	d, err = vtpm.Load(vtpm.Config{Store: store}, store.state)
	if err != nil {
		panic(err)
	}
	fmt.Println(code(d.Execute(0, command(tcg.TPMCCStartup, 0, 0))))
	// Output:
	// TPM_RC_INITIALIZE
	// TPM_RC_SUCCESS
	// TPM_RC_SUCCESS
	// TPM_RC_SUCCESS
}

// A TPM that is stopped in between continues elsewhere, with its PCRs, sessions
// and loaded objects.
func ExampleResume() {
	store := new(disk)
	d, err := vtpm.Manufacture(vtpm.Config{Store: store})
	if err != nil {
		panic(err)
	}
	d.Execute(0, command(tcg.TPMCCStartup, 0, 0))
	volatile, err := d.Volatile()
	if err != nil {
		panic(err)
	}

	d, err = vtpm.Resume(vtpm.Config{Store: store}, store.state, volatile)
	if err != nil {
		panic(err)
	}
	// It is started already.
	fmt.Println(code(d.Execute(0, command(tcg.TPMCCStartup, 0, 0))))
	// Output: TPM_RC_INITIALIZE
}
