package vtpmmgr

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/vtpmmgr/identity"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/peer"
	"stubtpm/vtpmmgr/proto"
	"stubtpm/vtpmmgr/transfer"
)

// usable returns the host's identity, with which it can show what it is to another manager:
// that of a site.
func (m *Manager) usable() (*hostIdentity, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.identity == nil || len(m.identity.chain) == 0:
		return nil, fmt.Errorf("%w: no site has certified this manager", proto.NoIdentity)
	case m.unusable != nil:
		return nil, fmt.Errorf("%w: %w", proto.NoIdentity, m.unusable)
	}
	return m.identity, nil
}

// Attest makes evidence of this manager for a message's hash and a nonce of the peer.
func (v *mover) Attest(message, nonce transfer.Hash) ([]byte, error) {
	m := v.m
	h, err := m.usable()
	if err != nil {
		return nil, err
	}
	e := &peer.Evidence{Labels: v.labels, Chain: append([][]byte{h.certificate}, h.chain...)}
	binding := peer.Binding(m.id, e.Labels, message, nonce)
	err = m.tpm.Lend("quote", func(bus transport.TPM) error {
		q, err := m.host(h, bus).Quote(h.policy.PCRs, binding)
		if err != nil {
			return err
		}
		e.Quote, err = q.Marshal()
		return err
	})
	if err != nil {
		return nil, err
	}
	return e.Marshal()
}

// Verify checks evidence of a manager whose certificate leads to this one's site.
func (v *mover) Verify(evidence []byte, message, nonce transfer.Hash) (*transfer.Claims, error) {
	h, err := v.m.usable()
	if err != nil {
		return nil, err
	}
	root, err := x509.ParseCertificate(h.chain[len(h.chain)-1])
	if err != nil {
		return nil, err
	}
	return (&peer.Verifier{Roots: []*x509.Certificate{root}, Now: time.Now()}).Verify(evidence, message, nonce)
}

// A vault keeps the keys of offers in the hardware TPM.
type vault struct{ *mover }

// Seal is called once for each new offer, and refuses those that are too many.
func (v vault) Seal(private []byte) (sealed []byte, err error) {
	m := v.m
	h, err := m.usable()
	if err != nil {
		return nil, err
	}
	if err := m.mayOffer(v.u); err != nil {
		return nil, err
	}
	err = m.tpm.Lend("key of an offer", func(bus transport.TPM) (err error) {
		sealed, err = m.host(h, bus).Seal(private)
		return err
	})
	return sealed, err
}

func (v vault) Open(sealed []byte) (private []byte, err error) {
	m := v.m
	h, err := m.usable()
	if err != nil {
		return nil, err
	}
	err = m.tpm.Lend("key of an offer", func(bus transport.TPM) (err error) {
		private, err = m.host(h, bus).Unseal(sealed)
		return err
	})
	if errors.Is(err, identity.ErrWithheld) || errors.Is(err, identity.ErrFormat) {
		err = fmt.Errorf("%w: %w", transfer.KeyWithheld, err)
	}
	return private, err
}

// Nobody signs for an offer, and each one takes room. One that takes the place of another,
// and its refusal when anybody asks, wear the hardware TPM and count more; in strict mode all
// wear it.
var (
	offerRate       = rate{burst: 256, perSecond: 1.0 / 120}
	strictOfferRate = rate{burst: 64 * requiredOffer, perSecond: requiredOffer / 600.0}
)

const requiredOffer = 16

// maxOffers is how many offers there are at most for vTPMs that are not here.
const maxOffers = 64

// mayOffer returns nil if a new offer may be made. Refused ones make room for it.
func (m *Manager) mayOffer(u UUID) error {
	m.mu.Lock()
	cost := 1.0
	if v := m.moving[u]; m.store.Mode() == (ledger.Mode{}) || v != nil && v.state.Offer != nil && v.state.Offer.Refused == 0 {
		cost = requiredOffer
	}
	if !m.offers.take(m.offerRate(), cost, time.Now()) {
		m.mu.Unlock()
		return fmt.Errorf("%w: offers of moves", proto.Rate)
	}
	n, most := 0, min(maxOffers, 4+m.store.Room()/16)
	var refused *moving
	for o, v := range m.moving {
		if v.state.Phase != transfer.None || v.state.Offer == nil || o == u {
			continue
		}
		if n++; v.state.Offer.Refused != 0 && (refused == nil || v.offered < refused.offered) {
			refused = v
		}
	}
	m.mu.Unlock()
	switch {
	case n < most:
		return nil
	case refused == nil:
		return fmt.Errorf("%w: %d offers are open", proto.Rate, n)
	}
	// It is refused without it too.
	if code := m.commit(required(), m.noMoving(refused.uuid)...); code != proto.OK {
		return code
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.moving, refused.uuid)
	return nil
}

func (m *Manager) offerRate() rate {
	if m.store.Mode() == (ledger.Mode{}) {
		return strictOfferRate
	}
	return offerRate
}
