package command

import (
	"slices"

	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
)

// ppCommands is TPM2_PP_Commands, which selects the commands that need physical
// presence. What cannot need physical presence is passed over.
//
//	TPM_RC_PP  physical presence is not asserted; from the dispatcher
func ppCommands(d *engine.Device, c *dispatch.Call) error {
	var set, clear tcg.TPMLCC
	r := c.Reader()
	set.Unmarshal(r.Next())
	clear.Unmarshal(r.Next())
	if err := r.End(); err != nil {
		return err
	}
	list := slices.Clone(d.Perm.PhysicalPresence)
	for _, cc := range set {
		spec := tcg.CommandByCode(cc)
		if d.Implements(cc) && spec.Has(tcg.AttrPP) && !slices.Contains(list, cc) {
			list = append(list, cc)
		}
	}
	for _, cc := range clear {
		if i := slices.Index(list, cc); i >= 0 {
			list = slices.Delete(list, i, i+1)
		}
	}
	d.Perm.PhysicalPresence = list
	return nil
}

// setAlgorithmSet is TPM2_SetAlgorithmSet, which selects a set of algorithms.
// The number is kept and shown; which algorithms there are is the profile's to
// say. The next TPM2_Startup has to be one that clears.
func setAlgorithmSet(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	set := r.Next().Uint32()
	if err := r.End(); err != nil {
		return err
	}
	d.Perm.AlgorithmSet, d.Perm.AlgorithmsSet = set, true
	return nil
}
