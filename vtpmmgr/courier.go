package vtpmmgr

import (
	"crypto/rand"
	"encoding/binary"
	"errors"

	"stubtpm/vtpmmgr/proto"
	"stubtpm/vtpmmgr/transfer"
)

func isCourier(o proto.Ordinal) bool { return o >= proto.MovePut && o <= proto.MoveGet }

// courier runs a request of a courier, which nobody has signed.
func (s *Session) courier(o proto.Ordinal, body []byte) (proto.Code, []byte) {
	switch o {
	case proto.MovePut:
		offset, part, err := proto.ParseMovePut(body)
		if err != nil || offset != 0 && int64(offset) != int64(len(s.given)) || int64(offset)+int64(len(part)) > transfer.MaxMessage {
			return proto.BadMessage, nil
		}
		s.given = append(s.given[:offset:offset], part...)
		return proto.OK, nil
	case proto.Move:
		step, u, err := proto.ParseMove(body)
		if err != nil {
			return proto.BadMessage, nil
		}
		s.answer = nil
		answer, err := s.move(step, u, s.given)
		if err != nil {
			return s.stepFailed(u, err)
		}
		s.answer = answer
		return piece(answer, 0)
	}
	if len(body) != 4 {
		return proto.BadMessage, nil
	}
	return piece(s.answer, binary.BigEndian.Uint32(body))
}

// stepFailed turns the error of a step into a status.
func (s *Session) stepFailed(u UUID, err error) (proto.Code, []byte) {
	m := s.m
	m.cfg.Log("vtpmmgr: move of %v: %v", u, err)
	code, why := proto.Failed, transfer.Reason(0)
	var reason []byte
	switch {
	case errors.As(err, &code):
	case errors.As(err, &why):
		code, reason = proto.MoveRefused, []byte{byte(why)}
	}
	m.mu.Lock()
	m.refused[code]++
	m.mu.Unlock()
	return code, reason
}

// move does a step of a move, and returns the message that it has for the other manager.
func (s *Session) move(step proto.MoveStep, u UUID, message []byte) ([]byte, error) {
	m := s.m
	m.orders.Lock() // the audit log is written, and nonces are kept
	defer m.orders.Unlock()
	defer m.turns.take(u, true)()
	v := &mover{m: m, u: u, labels: s.peer.Label != ""}
	parts := transfer.Parts{Manager: transfer.ID(m.id), VTPM: transfer.ID(u), Durable: v, Attest: v, Verify: v, Rand: rand.Reader}
	target := &transfer.Target{Parts: parts, Vault: vault{v}, Place: place{v}}
	switch step {
	case proto.MoveRequest:
		return m.source(parts, v, true).Request()
	case proto.MoveRefuse:
		return target.Refuse(message)
	case proto.MoveSourceAgain:
		return m.source(parts, v, false).Again()
	case proto.MoveTargetAgain:
		return target.Again()
	}
	if len(message) == 0 {
		return nil, transfer.Malformed
	}
	var err error
	var answer []byte
	switch transfer.Kind(message[0]) {
	case transfer.KindRequest:
		return target.Offer(message)
	case transfer.KindOrder:
		return m.source(parts, v, false).Move(message)
	case transfer.KindHandover:
		answer, _, err = target.Receive(message)
	case transfer.KindReceipt, transfer.KindRefusal:
		answer, _, err = m.source(parts, v, false).Answer(message)
	case transfer.KindRelease:
		err = target.Release(message)
	default:
		err = transfer.WrongKind
	}
	return answer, err
}

// source returns a vTPM's source. One that has requested is kept, for its nonce. m.orders is
// held.
func (m *Manager) source(parts transfer.Parts, v *mover, keep bool) *transfer.Source {
	m.mu.Lock()
	r, known := m.records[v.u]
	m.mu.Unlock()
	src := m.moves[v.u]
	if src == nil {
		src = &transfer.Source{}
	}
	src.Parts, src.Home = parts, home{v}
	switch {
	case !known || r.away != 0:
		delete(m.moves, v.u) // a nonce of before is void
	case keep:
		m.moves[v.u] = src
	}
	return src
}
