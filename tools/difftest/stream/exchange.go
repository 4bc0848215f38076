package stream

import (
	"fmt"

	"stubtpm/vtpm/tcg"
)

// send sends a command to one side. It repeats a command after TPM_RC_RETRY, which a
// TPM may return at any time (Part 2, Table 17).
func (x *runner) send(s int, cmd []byte) ([]byte, error) {
	for i := 0; ; i++ {
		raw, err := x.tpms[s].Execute(cmd)
		if err != nil || i > 3 || len(raw) != 10 || raw[8] != 0x09 || raw[9] != 0x22 {
			return raw, err
		}
		x.res.Known["TPM_RC_RETRY at the first use of dictionary attack protection"]++
	}
}

// run runs a command on both sides, compares the responses and updates the model.
func (x *runner) run(c *command) error {
	x.step++
	c.restarted, c.counted = x.restarted, !x.o.NoReboot
	var r pair[response]
	var sent pair[[]byte]
	var wrong string
	for s := range r {
		sent[s] = c.encode(s)
		raw, err := x.send(s, sent[s])
		if err != nil {
			return fmt.Errorf("step %d, %s, side %d, command %x: %w", x.step, c, s, sent[s], err)
		}
		if r[s], err = c.decode(raw); err != nil {
			wrong = fmt.Sprintf("side %d: %v", s, err)
		} else if r[s].rc == 0 {
			if err := c.checkAuths(s, &r[s]); err != nil && c.spoiled == "" {
				wrong = fmt.Sprintf("side %d: %v", s, err)
			}
		}
	}
	x.res.Commands++
	if r[ours].rc == tcg.TPMRCCommandCode && x.missing != nil {
		x.missing[c.code] = true
	}
	n := x.res.Codes[c.code]
	n[0]++
	x.res.RCs[r[other].rc]++
	good := r[0].rc == 0 && r[1].rc == 0
	if good {
		x.res.Succeeded++
		n[1]++
	}
	x.res.Codes[c.code] = n
	if x.o.Log != nil {
		x.o.Log("%d.%d %s: 0x%03X 0x%03X", x.seed, x.step, c, uint32(r[0].rc), uint32(r[1].rc))
		if c.spoiled == "" && !good {
			x.o.Log("   %x", sent[0])
		}
	}
	if wrong == "" {
		wrong = c.compare(&r)
	}
	if wrong != "" {
		x.judge(c, &r, sent, wrong)
	}
	if (r[0].rc == 0) != (r[1].rc == 0) {
		x.lost = true
		return nil
	}
	if good && c.spoiled != "" && c.code == tcg.TPMCCFlushContext {
		x.lost = true // another entity was flushed than the model has
		return nil
	}
	if good {
		x.after(c)
		if c.done != nil {
			c.done(&r)
		}
	}
	return nil
}

// judge records a difference as known or as a divergence.
func (x *runner) judge(c *command, r *pair[response], sent pair[[]byte], wrong string) {
	for _, d := range Differences {
		if d.match(c, r) {
			x.res.Known[d.Name]++
			return
		}
	}
	detail := wrong
	if r[0].rc == r[1].rc && len(detail) > 60 {
		detail = detail[:60]
	}
	x.res.Divergences = append(x.res.Divergences, &Divergence{Seed: x.seed, Step: x.step, What: c.String() + ": " + wrong,
		Sent: sent, Got: pair[[]byte]{r[0].raw, r[1].raw}, Detail: c.code.String() + ": " + detail})
}
