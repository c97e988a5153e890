package audit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// writer is whom a record names as the last that wrote it.
type writer struct {
	Ticket string `json:"ticket"`
	Token  int64  `json:"token"`
}

// directories are the places of records; nodes are one level flatter than the others.
var directories = []string{"nodes", "ports", "portgroups", "volume-connectors", "volume-targets"}

// record takes the key of a record apart: the node whose lock guards it, and a name of the record
// that does not depend on the node.
func (a *auditor) record(key string) (node, id string, ok bool) {
	rest, ok := strings.CutPrefix(key, a.root)
	if !ok {
		return "", "", false
	}
	parts := strings.Split(rest, "/")
	if !slices.Contains(directories, parts[0]) || slices.Contains(parts, "") {
		return "", "", false
	}
	switch {
	case parts[0] == "nodes" && len(parts) == 2, parts[0] != "nodes" && len(parts) == 3:
		return parts[1], parts[0] + "/" + parts[len(parts)-1], true
	}
	return "", "", false
}

// deleted judges the deletion of a record: somebody must have held its node exclusively.
func (a *auditor) deleted(ev *clientv3.Event) {
	node, id, ok := a.record(string(ev.Kv.Key))
	if !ok {
		return
	}
	a.names[node] = true
	a.report.Deletes++
	owner := a.owner(node)
	if owner == nil {
		a.violation(Unowned, node, fmt.Sprintf("%s was deleted while nobody held the node exclusively", ev.Kv.Key), a.holders(node)...)
		return
	}
	if a.moved == nil {
		a.moved = map[string]*lease.Entry{}
	}
	a.moved[id] = &owner.entry
}

// written judges a record that was created or changed.
func (a *auditor) written(ev *clientv3.Event) {
	key := string(ev.Kv.Key)
	node, id, ok := a.record(key)
	if !ok {
		return
	}
	a.names[node] = true
	a.report.Writes++
	var r struct {
		By *writer `json:"written_by"`
	}
	if json.Unmarshal(ev.Kv.Value, &r) != nil {
		r.By = nil // written by hand: it names nobody
	}
	owner := a.owner(node)
	switch {
	case r.By == nil && ev.IsCreate():
	case r.By == nil:
		if q := a.replay.Queue(node, a.rev-1); len(q.Entries) > 0 {
			a.violation(Unowned, node, key+" was changed without a writer while the queue was not empty", shown(q.Entries)...)
		}
	case lease.IsFree(r.By.Ticket):
		if q := a.replay.Queue(node, a.rev-1); len(q.Entries) > 0 {
			a.violation(Unowned, node, fmt.Sprintf("%s was written by %s without a lock while the queue was not empty", key, r.By.Ticket), shown(q.Entries)...)
		}
		a.token(node, key, *r.By, 0)
	case owner != nil && owner.entry.Ticket == r.By.Ticket:
		a.token(node, key, *r.By, owner.since, show(owner.entry))
	case ev.IsCreate() && a.moved[id] != nil && a.moved[id].Ticket == r.By.Ticket: // it moved from another node
	default:
		a.violation(Unowned, node, fmt.Sprintf("%s was written by %s, who did not hold the node exclusively", key, r.By.Ticket), a.holders(node)...)
	}
}

// token checks that the token is one that this owner can have, who was granted at a revision, and
// that no earlier one had.
func (a *auditor) token(node, key string, by writer, since int64, owner ...Entry) {
	before, known := a.last[node]
	switch {
	case by.Token < since || by.Token >= a.rev:
		a.violation(Token, node, fmt.Sprintf("%s was written with token %d by one who was granted at revision %d", key, by.Token, since), owner...)
	case known && (by.Token < before.Token || by.Token == before.Token && by.Ticket != before.Ticket):
		a.violation(Token, node, fmt.Sprintf("%s was written with token %d after %s had written with %d", key, by.Token, before.Ticket, before.Token),
			owner...)
	}
	if !known || by.Token >= before.Token {
		a.last[node] = by
	}
}

func (a *auditor) holders(name string) (entries []Entry) {
	if h := a.held[name]; h != nil {
		for _, g := range h.grants {
			entries = append(entries, show(g.entry))
		}
	}
	return entries
}
