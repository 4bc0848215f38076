package xentest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Types of messages (public/io/xs_wire.h, enum xsd_sockmsg_type).
const (
	opDirectory        = 1
	opRead             = 2
	opGetPerms         = 3
	opWatch            = 4
	opUnwatch          = 5
	opTransactionStart = 6
	opTransactionEnd   = 7
	opWrite            = 11
	opMkdir            = 12
	opRemove           = 13
	opSetPerms         = 14
	opWatchEvent       = 15
	opError            = 16
	opDirectoryPart    = 20
)

// A request is one request of a connection, parsed.
type request struct {
	*conn
	tx    uint32
	t     *transaction      // nil outside a transaction
	nodes map[string]string // of the transaction, or of the store
	body  string
	args  []string // the parts of body, at least two
	path  string   // the first of them, absolute
}

// A reply is the result of a request. after, if set, runs after the reply is sent:
// xenstored replies first and then fires watches.
type reply struct {
	body, errno string
	after       func()
}

var ok = reply{body: "OK\x00"}

func fail(errno string) reply { return reply{errno: errno} }

// handle carries out one request. Preconditions: the store's lock is held.
func (c *conn) handle(op, tx uint32, body string) reply {
	r := request{conn: c, tx: tx, t: c.txs[tx], nodes: c.store.nodes, body: body, args: strings.Split(body, "\x00")}
	if len(r.args) < 2 {
		return fail("EINVAL")
	}
	r.path = c.full(r.args[0])
	if tx != 0 && op != opTransactionEnd {
		if r.t == nil {
			return fail("ENOENT")
		}
		r.nodes = r.t.nodes
	}
	switch op {
	case opWatch:
		return r.watch()
	case opUnwatch:
		return r.unwatch()
	case opTransactionStart:
		return r.startTransaction()
	case opTransactionEnd:
		return r.endTransaction()
	case opWrite:
		return r.write()
	case opMkdir:
		return r.mkdir()
	case opRead:
		c.store.reads[r.path]++
		if c.store.unreadable[r.path] {
			return fail("EIO")
		}
	}
	if _, exists := r.nodes[r.path]; !exists {
		return fail("ENOENT")
	}
	switch op {
	case opDirectory, opDirectoryPart:
		return r.directory(op == opDirectoryPart)
	case opRead:
		return reply{body: r.nodes[r.path]}
	case opGetPerms:
		if p := c.store.perms[r.path]; p != "" {
			return reply{body: p}
		}
		return reply{body: "n0\x00"}
	case opSetPerms:
		c.store.perms[r.path] = strings.Join(r.args[1:], "\x00")
		return ok
	case opRemove:
		remove(r.nodes, r.path)
		return r.changed()
	}
	return fail("ENOSYS")
}

// changed returns the reply to a request that has changed its path.
func (r *request) changed() reply {
	if r.t != nil {
		r.t.changed = append(r.t.changed, r.path)
		return ok
	}
	r.store.gen++
	return reply{body: ok.body, after: func() { r.store.fire(r.path) }}
}

func (r *request) write() reply {
	if _, exists := r.nodes[r.path]; !exists && r.store.full && r.domain != 0 {
		return fail("ENOSPC")
	}
	set(r.nodes, r.path, r.body[len(r.args[0])+1:])
	return r.changed()
}

func (r *request) mkdir() reply {
	if _, exists := r.nodes[r.path]; exists {
		return ok
	}
	set(r.nodes, r.path, "")
	return r.changed()
}

// directory lists the children of a node, or a part of that list.
func (r *request) directory(part bool) reply {
	s := r.store
	var list string
	for _, p := range slices.Sorted(maps.Keys(r.nodes)) {
		if name, ok := strings.CutPrefix(p, r.path+"/"); ok && !strings.Contains(name, "/") {
			list += name + "\x00"
		}
	}
	if !part {
		if len(list) > s.lists {
			return fail("E2BIG")
		}
		return reply{body: list}
	}
	at, err := strconv.Atoi(r.args[1])
	if err != nil || at > len(list) {
		return fail("EINVAL")
	}
	list += "\x00"
	generation := strconv.FormatUint(s.gen, 10) + "\x00"
	return reply{body: generation + list[at:min(len(list), at+s.lists-len(generation))]}
}

func (r *request) watch() reply {
	w := watch{r.args[0], r.args[1]}
	if slices.Contains(r.watches, w) {
		return fail("EEXIST")
	}
	r.watches = append(r.watches, w)
	return reply{body: ok.body, after: func() { r.send(opWatchEvent, 0, 0, []byte(w.path+"\x00"+w.token+"\x00")) }}
}

func (r *request) unwatch() reply {
	i := slices.Index(r.watches, watch{r.args[0], r.args[1]})
	if i < 0 {
		return fail("ENOENT")
	}
	r.watches = slices.Delete(r.watches, i, i+1)
	return ok
}

func (r *request) startTransaction() reply {
	r.nextTx++
	r.txs[r.nextTx] = &transaction{nodes: maps.Clone(r.store.nodes), gen: r.store.gen}
	return reply{body: fmt.Sprintf("%d\x00", r.nextTx)}
}

func (r *request) endTransaction() reply {
	s, t := r.store, r.t
	if t == nil {
		return fail("ENOENT")
	}
	delete(r.txs, r.tx)
	if r.args[0] != "T" {
		return ok
	}
	if s.Conflicts > 0 || len(t.changed) > 0 && t.gen != s.gen {
		s.Conflicts = max(0, s.Conflicts-1)
		return fail("EAGAIN")
	}
	if len(t.changed) == 0 {
		return ok
	}
	s.nodes = t.nodes
	s.gen++
	return reply{body: ok.body, after: func() {
		for _, p := range t.changed {
			s.fire(p)
		}
	}}
}
