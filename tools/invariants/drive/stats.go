package drive

import "fmt"

func (s *Stats) add(o *Stats) {
	for _, p := range []struct{ to, from *int }{
		{&s.Events, &o.Events}, {&s.Commands, &o.Commands}, {&s.Succeeded, &o.Succeeded}, {&s.Refused, &o.Refused},
		{&s.Loaded, &o.Loaded}, {&s.Resumed, &o.Resumed}, {&s.Contexts, &o.Contexts}, {&s.Twins, &o.Twins}, {&s.Tries, &o.Tries},
		{&s.Oracles, &o.Oracles}, {&s.Looks, &o.Looks}, {&s.PolicyUses, &o.PolicyUses}, {&s.FailedSaves, &o.FailedSaves},
	} {
		*p.to += *p.from
	}
}

func (s Stats) String() string {
	return fmt.Sprintf("%d events, %d commands (%d succeeded): %d states loaded, %d resumed, %d contexts, %d restored devices, %d counted tries, %d wrong guesses, %d looks at PINs, %d uses of PCR policies, %d failed saves",
		s.Events, s.Commands, s.Succeeded, s.Loaded, s.Resumed, s.Contexts, s.Twins, s.Tries, s.Oracles, s.Looks, s.PolicyUses, s.FailedSaves)
}
