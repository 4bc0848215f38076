package fleet

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"fmt"
)

// None is the store of two hosts that have none. There a vTPM is in one of two ledgers,
// and these say all: LIVE, SENT, RECEIVED or GONE. So its calls agree with whatever a
// manager's ledger has allowed already, as far as they can check it, keep nothing, and
// Look returns [ErrNotKept].
//
// What it cannot do is to compare: of two claims both succeed.
type None struct {
	// Hosts are the two. Calls about others have [ErrArgument].
	Hosts [2]Host
	// Approver is whose word counts for Fence.
	Approver ed25519.PublicKey
}

func (n *None) known(hosts ...Host) error {
	if n.Hosts[0] == n.Hosts[1] {
		return fmt.Errorf("%w: both hosts are %v", ErrArgument, n.Hosts[0])
	}
	for _, h := range hosts {
		if h == (Host{}) || h != n.Hosts[0] && h != n.Hosts[1] {
			return fmt.Errorf("%w: %v is neither of the two hosts; more need a store", ErrArgument, h)
		}
	}
	return nil
}

// Claim implements [Store]. Which epoch it is the manager knows; the row has 0.0.
func (n *None) Claim(_ context.Context, _ UUID, h Host, approver ed25519.PublicKey) (Row, error) {
	if err := cmp.Or(checkClaim(h, approver), n.known(h)); err != nil {
		return Row{}, err
	}
	return Row{Owner: h, Approver: [32]byte(approver)}, nil
}

// HandOver implements [Store].
func (n *None) HandOver(_ context.Context, _ UUID, from Host, at Epoch, to Host) (Row, error) {
	if err := cmp.Or(checkHandOver(from, at, to), n.known(from, to)); err != nil {
		return Row{}, err
	}
	return Row{}.handedOver(at, to), nil
}

// Look implements [Store].
func (n *None) Look(context.Context, UUID) (Row, error) { return Row{}, ErrNotKept }

// Fence implements [Store]. The word must be the approver's; that its owner and epoch
// are those of the vTPM only the managers know.
func (n *None) Fence(_ context.Context, vtpm UUID, w Word) (Row, error) {
	if err := checkClaim(w.To, n.Approver); err != nil {
		return Row{}, err
	}
	approver := [32]byte(n.Approver)
	if err := cmp.Or(w.check(vtpm, approver), n.known(w.From, w.To)); err != nil {
		return Row{}, err
	}
	return Row{Owner: w.To, Epoch: Epoch{Restored: w.Restored}, Approver: approver}, nil
}
