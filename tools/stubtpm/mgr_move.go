package main

import (
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"stubtpm/vtpmmgr/peer"
	"stubtpm/vtpmmgr/proto"
	"stubtpm/vtpmmgr/transfer"
)

// moveOrders are the steps of a move to another host, in their order.
func moveOrders() []order {
	return []order{
		{name: "move request", args: "UUID", flags: "o", help: "begin a move: write the request for an offer, at the source", run: moveRequest,
			more: "The vTPM must be frozen, or its domain shut down, when the order is carried out (docs/moves.md). A request is void after the next start of the manager. " +
				"No step of a move but move order needs a key; each of them can be repeated."},
		{name: "move offer", args: "FILE", flags: "o", help: "write an offer to take the vTPM, at the target", run: moveGive(transfer.KindRequest),
			more: "FILE was written by move request. The target's manager makes a key that its hardware TPM gives out in its present PCR state only."},
		{name: "move order", args: "FILE", flags: "site o", help: "sign an offer, as the approver of the vTPM's group", offline: true, run: moveOrder,
			more: "FILE was written by move offer; --key is that of the approver, or of the administrator if the group has none. With --site, the evidence of the target is verified first, " +
				"and what it shows is printed."},
		{name: "move handover", args: "FILE", flags: "o", help: "send the vTPM away, at the source", run: moveGive(transfer.KindOrder),
			more: "FILE was written by move order. The vTPM cannot be used from then on, until the target's answer. Copy its disk to the target."},
		{name: "move receipt", args: "FILE", flags: "o", help: "take the vTPM, at the target: write a receipt or a refusal", run: moveGive(transfer.KindHandover),
			more: "FILE was written by move handover."},
		{name: "move release", args: "FILE", flags: "o", help: "take the target's answer, at the source: after a receipt, write the release", run: moveGive(transfer.KindReceipt, transfer.KindRefusal),
			more: "FILE was written by move receipt or move refuse. After a receipt the vTPM is gone, and its certificates by this host are revoked; after a refusal it is live again, and nothing is written."},
		{name: "move finish", args: "FILE", help: "let the vTPM start, at the target", run: moveGive(transfer.KindRelease),
			more: "FILE was written by move release."},
		{name: "move refuse", args: "FILE", flags: "o", help: "end a move that hangs: have the target refuse its offer for good", run: moveRefuse,
			more: "FILE was written by move offer. After the receipt the target does not. Give the refusal to the source, by move release."},
		{name: "move again", args: "UUID", flags: "offer o", help: "write again what this manager sent last in a move", run: moveAgain},
		{name: "move list", help: "show what is moving, since when, and what to do", run: moveList},
		{name: "move targets", args: "UUID", flags: "managers images places min-version require-labels", help: "show or set where a vTPM may be moved to", run: moveTargets,
			more: "Without a flag the rules are shown. A flag that is not given changes nothing; any allows any. An order of the approver."},
	}
}

// stepFailed has the error of a step say why it was refused: by what the manager knows of the
// move, or because something else failed there, and the vTPM may have been sent away all the same.
func stepFailed(err error) error {
	var why proto.MoveError
	var code proto.Code
	switch {
	case errors.As(err, &why):
		return fmt.Errorf("%w: %v", err, transfer.Reason(why))
	case errors.As(err, &code):
		return fmt.Errorf("%w: %w", errUndone, err)
	}
	return err
}

// readMessage reads a file that must have a message of one of some kinds.
func readMessage(name string, kinds ...transfer.Kind) ([]byte, *transfer.Subject, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, transfer.MaxMessage+1)) // a file that is none has no size
	if err != nil {
		return nil, nil, err
	}
	if len(b) > transfer.MaxMessage {
		return nil, nil, fmt.Errorf("%s is no message of a move: more than %d bytes is too large", name, transfer.MaxMessage)
	}
	s, err := transfer.SubjectOf(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	for _, k := range kinds {
		if s.Kind == k {
			return b, s, nil
		}
	}
	return nil, nil, fmt.Errorf("%s has a %v, want a %v", name, s.Kind, kinds[0])
}

// A moveView is a step of a move in JSON.
type moveView struct {
	UUID    string `json:"uuid"`
	Message string `json:"message"`          // what was written: request, offer and so on; empty for nothing
	Reason  string `json:"reason,omitempty"` // of a refusal
	State   string `json:"state"`            // what the vTPM is now, for people
}

// wrote writes a step's answer, and tells what it means. Not to be asked for a file after the
// step, checkOutput is called before it.
func (m *mgrRun) wrote(b []byte, u proto.UUID) error {
	v := moveView{UUID: u.String(), State: "it is live at this host"}
	if len(b) != 0 {
		s, err := transfer.SubjectOf(b)
		if err != nil {
			return err
		}
		v.Message = s.Kind.String()
		v.State = map[transfer.Kind]string{
			transfer.KindRequest:  "it is live at this host; give the request to the target: move offer",
			transfer.KindOffer:    "have the approver sign the offer: move order",
			transfer.KindHandover: "it was sent away; give the handover to the target: move receipt",
			transfer.KindReceipt:  "it is here and waits; give the receipt to the source: move release",
			transfer.KindRefusal:  "it is not taken here; give the refusal to the source: move release",
			transfer.KindRelease:  "it has left this host; give the release to the target: move finish",
		}[s.Kind]
		if why, refused := transfer.Refused(b); refused {
			v.Reason = why.Error()
		}
		if err := writeNew(m.o.output, b); err != nil {
			return err
		}
	}
	return m.print(v, func() {
		if v.Reason != "" {
			fmt.Fprintf(m.out, "refused: %s\n", v.Reason)
		}
		fmt.Fprintf(m.out, "%v: %s\n", u, v.State)
	})
}

// checkOutput returns an error unless a file was named that can be written.
func (m *mgrRun) checkOutput() error {
	if m.o.output == "" {
		return fmt.Errorf("%w: -o is required", errUsage)
	}
	if _, err := os.Lstat(m.o.output); err == nil {
		return fmt.Errorf("%s: %w", m.o.output, os.ErrExist)
	}
	return nil
}

func moveRequest(m *mgrRun) error { return m.ask(proto.MoveRequest) }

// ask has the manager do a step without a message.
func (m *mgrRun) ask(step proto.MoveStep) error {
	u, err := m.uuid()
	if err != nil {
		return err
	}
	if err := m.checkOutput(); err != nil {
		return err
	}
	b, err := m.c.Move(step, u, nil)
	if err != nil {
		return stepFailed(err)
	}
	return m.wrote(b, u)
}

// moveAgain has the manager give what it has of the move by which the vTPM has left, if it has. A
// later offer, for its return, does not count then: anybody may ask for one.
func moveAgain(m *mgrRun) error {
	if m.o.offer {
		return m.ask(proto.MoveTargetAgain)
	}
	err := m.ask(proto.MoveSourceAgain)
	var why proto.MoveError
	if errors.As(err, &why) && transfer.Reason(why) == transfer.NotSent {
		err = m.ask(proto.MoveTargetAgain)
	}
	return err
}

// moveGive gives the manager a message of one of some kinds.
func moveGive(kinds ...transfer.Kind) func(m *mgrRun) error {
	return func(m *mgrRun) error { return m.giveMessage(proto.MoveGive, kinds...) }
}

func moveRefuse(m *mgrRun) error { return m.giveMessage(proto.MoveRefuse, transfer.KindOffer) }

func (m *mgrRun) giveMessage(step proto.MoveStep, kinds ...transfer.Kind) error {
	b, s, err := readMessage(m.args[0], kinds...)
	if err != nil {
		return err
	}
	if s.Kind != transfer.KindRelease {
		if err := m.checkOutput(); err != nil {
			return err
		}
	}
	out, err := m.c.Move(step, proto.UUID(s.VTPM), b)
	if err != nil {
		return stepFailed(err)
	}
	return m.wrote(out, proto.UUID(s.VTPM))
}

// An orderView is an order that was signed, in JSON.
type orderView struct {
	UUID            string `json:"uuid"`
	Source          string `json:"source"`
	Target          string `json:"target"`
	Move            string `json:"move"`
	Verified        bool   `json:"verified"` // the rest is of the target's evidence
	Image           string `json:"image,omitempty"`
	SecurityVersion uint32 `json:"security_version"`
	Place           string `json:"place,omitempty"`
	Labels          bool   `json:"labels"`
}

func moveOrder(m *mgrRun) error {
	b, _, err := readMessage(m.args[0], transfer.KindOffer)
	if err != nil {
		return err
	}
	if err := m.checkOutput(); err != nil {
		return err
	}
	o, err := transfer.ParseOffer(b)
	if err != nil {
		return err
	}
	v := orderView{UUID: proto.UUID(o.VTPM).String(), Source: fmt.Sprintf("%x", o.Source), Target: fmt.Sprintf("%x", o.Target), Move: fmt.Sprintf("%x", o.Move)}
	if m.o.site != "" {
		c, err := verifyOffer(o, m.o.site)
		if err != nil {
			return err
		}
		v.Verified, v.Image, v.SecurityVersion, v.Place, v.Labels = true, fmt.Sprintf("%x", c.Image), c.SecurityVersion, fmt.Sprintf("%x", c.Place), c.Labels
	}
	key, err := m.mustKey()
	if err != nil {
		return err
	}
	signed := transfer.Order{Signature: [64]byte(ed25519.Sign(key, o.Approval())), Offer: *o}
	if err := writeNew(m.o.output, signed.Append(nil)); err != nil {
		return err
	}
	return m.print(v, func() {
		rows := [][]any{{"Source", v.Source}, {"Target", v.Target}, {"Move", v.Move}}
		if v.Verified {
			rows = append(rows, []any{"Target's image", v.Image}, []any{"Security version", v.SecurityVersion}, []any{"Place", v.Place}, []any{"Security labels", v.Labels})
		} else {
			rows = append(rows, []any{"Target's evidence", "not verified: no --site"})
		}
		m.table("vTPM\t"+v.UUID, rows, "%v\t%v")
	})
}

// verifyOffer verifies the evidence of an offer's target by the certificates of a file.
func verifyOffer(o *transfer.Offer, file string) (*transfer.Claims, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	ders, err := certificatesIn(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	v := peer.Verifier{Now: time.Now()}
	for _, der := range ders {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		v.Roots = append(v.Roots, c)
	}
	c, err := v.Verify(o.Evidence, o.Hash(), o.SourceNonce)
	if err == nil && c.Manager != o.Target {
		err = transfer.OtherPeer
	}
	if err != nil {
		return nil, fmt.Errorf("the target's evidence: %w", err)
	}
	return c, nil
}
