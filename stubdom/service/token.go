package service

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"stubtpm/drivers/xen"
)

// Nodes of this domain's directory by which the host gives the token of an image of a guest
// that has no control area: the guest's domain is gone, and the image whole.
const (
	nodeToken    = "control/stubtpm-token" // ID of the domain that was saved, a blank, 64 hexadecimal digits
	nodeHasToken = "data/stubtpm-token"    // the same once it was taken, or "error: " and why
)

var (
	errToken   = errors.New("want the ID of a domain and a token of 64 hexadecimal digits")
	errNoImage = errors.New("that domain was not the last one that had this TPM, or another has reset it since")
)

// takeToken makes a token that of what a guest left in the TPM. The word names the guest's
// domain, since another one may have come and gone meanwhile: a guest that was saved is
// perhaps started again at once.
func (h *guestHandler) takeToken(word string) error {
	number, digits, _ := strings.Cut(word, " ")
	domain, err := strconv.ParseUint(number, 10, 15)
	b, err2 := hex.DecodeString(digits)
	if err != nil || err2 != nil || len(b) != len(token{}) || token(b) == (token{}) {
		return errToken
	}
	t := token(b)
	h.mu.Lock()
	defer h.mu.Unlock()
	last := h.last.Load()
	switch {
	case h.frozen:
		return errFrozen
	case last == nil || *last != xen.DomID(domain) || h.firmware || h.clean || h.prepared != nil:
		return errNoImage
	case h.connected:
		return errConnected
	}
	h.token.Store(&t)
	return nil
}

// tokenPause is the time between two attempts to take a token while the guest is seen to go,
// tokenTries their number.
const (
	tokenPause = 200 * time.Millisecond
	tokenTries = 150
)

// obeyToken takes tokens that the host gives, until ctx ends. Each counts once, until the host
// has removed the node.
func (h *guestHandler) obeyToken(ctx context.Context, e *Environment) error {
	last, tries := "", 0
	err := e.Domain.Store.Follow(ctx, nodeToken, func() (again time.Duration, err error) {
		word, err := e.Domain.Store.Read(ctx, nodeToken)
		switch {
		case isGone(err):
			last, tries = "", 0
			return 0, nil
		case err != nil:
			return tokenPause, nil
		case word == last:
			return 0, nil
		}
		err = h.takeToken(word)
		if tries++; errors.Is(err, errConnected) && tries < tokenTries {
			return tokenPause, nil
		}
		last, tries = word, 0
		answer := word
		if err != nil {
			e.Log("token: %v", err)
			answer = "error: " + err.Error()
		}
		if err := e.Domain.Store.Write(ctx, nodeHasToken, answer); err != nil {
			e.Log("token: %v", err)
		}
		return 0, nil
	})
	return fmt.Errorf("token: %w", err)
}
