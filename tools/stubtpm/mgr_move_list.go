package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"stubtpm/vtpmmgr/proto"
	"stubtpm/vtpmmgr/transfer"
)

// A transferView is what is known of the moves of one vTPM, in JSON.
type transferView struct {
	UUID    string `json:"uuid"`
	State   string `json:"state"` // none, live, sent, gone or received
	Damaged bool   `json:"damaged"`
	Peer    string `json:"peer,omitempty"`  // the other manager
	Move    string `json:"move,omitempty"`  // the move's number
	Since   string `json:"since,omitempty"` // when it came to be in that state

	Offer   string `json:"offer,omitempty"` // open or refused
	Reason  string `json:"reason,omitempty"`
	Source  string `json:"source,omitempty"` // to whom the offer was made
	Offered string `json:"offered,omitempty"`

	Next []string `json:"next"` // what can be done
}

func viewTransfer(t *proto.Transfer) transferView {
	v := transferView{UUID: t.UUID.String(), State: transfer.Phase(t.Phase).String(), Damaged: t.Damaged, Next: []string{}}
	date := func(seconds uint64) string { return time.Unix(int64(seconds), 0).UTC().Format(time.RFC3339) }
	if t.Damaged {
		v.Next = append(v.Next, "restore a backup, or destroy it")
		return v
	}
	switch p := transfer.Phase(t.Phase); p {
	case transfer.Sent, transfer.Gone, transfer.Received:
		v.Peer, v.Move, v.Since = hex.EncodeToString(t.Peer[:]), hex.EncodeToString(t.Move[:]), date(t.Since)
		v.Next = append(v.Next, nextOf(p)...)
	}
	if t.Offer != 0 {
		v.Offer, v.Source, v.Offered = "open", hex.EncodeToString(t.Source[:]), date(t.Offered)
		if t.Offer != 1 {
			v.Offer, v.Reason = "refused", strings.TrimPrefix(transfer.Reason(t.Reason).Error(), "transfer: ")
			v.Next = append(v.Next, "offer refused: if the source waits, move again --offer gives the refusal, for its move release")
		} else {
			v.Next = append(v.Next, "offer open: it waits for the handover, for move receipt; or move refuse")
		}
	}
	return v
}

// nextOf returns what sending again or refusing would do.
func nextOf(p transfer.Phase) []string {
	switch p {
	case transfer.Sent:
		return []string{
			"move again gives the handover, for move receipt at the target: it takes the vTPM, repeats its receipt, or refuses",
			"move refuse at the target makes it live here again, if the target has not taken it; then move release here",
			"if the target is lost for good: restore a backup, in a new epoch",
		}
	case transfer.Gone:
		return []string{"it has left; if the target still waits, move again gives the release, for its move finish"}
	}
	return []string{
		"move again gives the receipt, for move release at the source, and that the release, for move finish here",
		"it cannot be refused any more; destroy forgets it, if the source was restored from a backup",
	}
}

// short is what the list of all vTPMs shows.
func (v *transferView) short() string {
	switch {
	case v == nil:
		return ""
	case v.Damaged:
		return ", move unknown"
	case v.Peer == "":
		return ""
	}
	preposition := map[string]string{"received": "from"}[v.State]
	if preposition == "" {
		preposition = "to"
	}
	return fmt.Sprintf(", %s %s %s since %s", v.State, preposition, v.Peer, v.Since)
}

// transfers returns what is moving, by vTPM. A manager of an older version moves nothing.
func (m *mgrRun) transfers() (map[string]*transferView, error) {
	list, err := m.c.Transfers()
	if errors.Is(err, proto.BadOrdinal) {
		return nil, nil
	}
	all := map[string]*transferView{}
	for i := range list {
		v := viewTransfer(&list[i])
		all[v.UUID] = &v
	}
	return all, err
}

func moveList(m *mgrRun) error {
	list, err := m.c.Transfers()
	if err != nil {
		return err
	}
	all := []transferView{}
	for i := range list {
		all = append(all, viewTransfer(&list[i]))
	}
	return m.print(all, func() {
		for _, v := range all {
			var rows [][]any
			if v.Damaged {
				rows = append(rows, []any{"State", "damaged"})
			} else if v.Peer != "" {
				rows = append(rows, []any{"State", strings.TrimPrefix(v.short(), ", ")}, []any{"Move", v.Move})
			}
			if v.Offer != "" {
				rows = append(rows, []any{"Offer", strings.TrimSpace(fmt.Sprintf("%s, made to %s at %s %s", v.Offer, v.Source, v.Offered, v.Reason))})
			}
			for _, n := range v.Next {
				rows = append(rows, []any{"Next", n})
			}
			m.table("vTPM\t"+v.UUID, rows, "%v\t%v")
		}
	})
}

// A targetsView is the rules of where a vTPM may be, in JSON. An empty list allows all.
type targetsView struct {
	Managers        []string `json:"managers"`
	Images          []string `json:"images"`
	Places          []string `json:"places"`
	SecurityVersion uint32   `json:"min_version"`
	Labels          bool     `json:"require_labels"`
}

// hexList decodes a list of values of a size, in hexadecimal with commas between.
func hexList(what, list string, size int) (all [][]byte, err error) {
	if list == "" || list == "any" {
		return nil, nil
	}
	for _, s := range strings.Split(list, ",") {
		b, err := hex.DecodeString(s)
		if err != nil || len(b) != size {
			return nil, fmt.Errorf("%w: %s: %q is not %d bytes in hexadecimal", errUsage, what, s, size)
		}
		all = append(all, b)
	}
	return all, nil
}

// rules applies the flags that were given to rules.
func (m *mgrRun) rules(r *transfer.Rules) (changed bool, err error) {
	lists := map[string]string{"managers": m.o.managers, "images": m.o.images, "places": m.o.places}
	for _, name := range []string{"managers", "images", "places"} {
		if !m.given[name] {
			continue
		}
		size := 32
		if name == "managers" {
			size = 16
		}
		list, err := hexList("--"+name, lists[name], size)
		if err != nil {
			return false, err
		}
		if len(list) > transfer.MaxRules {
			return false, fmt.Errorf("%w: --%s: %d, want at most %d", errUsage, name, len(list), transfer.MaxRules)
		}
		var ids []transfer.ID
		var hashes []transfer.Hash
		for _, b := range list {
			if size == 16 {
				ids = append(ids, transfer.ID(b))
			} else {
				hashes = append(hashes, transfer.Hash(b))
			}
		}
		switch name {
		case "managers":
			r.Managers = ids
		case "images":
			r.Images = hashes
		default:
			r.Places = hashes
		}
		changed = true
	}
	if m.given["min-version"] {
		if m.o.minVersion>>32 != 0 {
			return false, fmt.Errorf("%w: --min-version %d", errUsage, m.o.minVersion)
		}
		r.SecurityVersion, changed = uint32(m.o.minVersion), true
	}
	if m.given["require-labels"] {
		r.Labels, changed = m.o.requireLabels, true
	}
	return changed, nil
}

func moveTargets(m *mgrRun) error {
	u, err := m.uuid()
	if err != nil {
		return err
	}
	b, err := m.c.Targets(u)
	if err != nil {
		return err
	}
	r, err := transfer.ParseRules(b)
	if err != nil {
		return err
	}
	changed, err := m.rules(r)
	if err != nil {
		return err
	}
	if changed {
		return m.c.SetTargets(u, r.Append(nil))
	}
	v := targetsView{Managers: []string{}, Images: []string{}, Places: []string{}, SecurityVersion: r.SecurityVersion, Labels: r.Labels}
	for _, id := range r.Managers {
		v.Managers = append(v.Managers, hex.EncodeToString(id[:]))
	}
	for _, h := range r.Images {
		v.Images = append(v.Images, hex.EncodeToString(h[:]))
	}
	for _, h := range r.Places {
		v.Places = append(v.Places, hex.EncodeToString(h[:]))
	}
	return m.print(v, func() {
		orAny := func(list []string) string {
			if len(list) == 0 {
				return "any"
			}
			return strings.Join(list, ", ")
		}
		m.table("vTPM\t"+u.String(), [][]any{{"Managers", orAny(v.Managers)}, {"Images", orAny(v.Images)}, {"Places", orAny(v.Places)},
			{"Least security version", v.SecurityVersion}, {"Security labels needed", v.Labels}}, "%v\t%v")
	})
}
