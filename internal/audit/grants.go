package audit

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// holding is who holds a name, and who believes so.
type holding struct {
	grants  []*grant
	stalled bool
	clash   string // the clash that was told last
}

// grant is one entry that holds the lock, or did and was never told otherwise.
type grant struct {
	entry lease.Entry
	mode  lease.Mode // as once derived: what the holder believes
	has   lease.Mode // as derived now
	since int64      // the revision from which it is exclusive; 0: before the history began
	slot  int64      // create revision of the slot that makes it exclusive; 0: its own entry does
}

// owner is the entry that held a name exclusively before the present revision, nil if none did.
func (a *auditor) owner(name string) *grant {
	h := a.held[name]
	if h == nil {
		return nil
	}
	i := slices.IndexFunc(h.grants, func(g *grant) bool { return g.has == lease.Exclusive })
	if i < 0 {
		return nil
	}
	return h.grants[i]
}

// settle derives who holds a name now and compares it with who did. exact says that the grants
// that are new began at this very revision.
func (a *auditor) settle(name string, exact bool) {
	a.names[name] = true
	q := a.replay.Queue(name, a.rev)
	h := a.held[name]
	if h == nil {
		h = &holding{}
		a.held[name] = h
	}
	derived := map[string]lease.Mode{} // by key
	for _, e := range q.Holders() {
		derived[e.Key] = e.Mode
	}
	h.grants = slices.DeleteFunc(h.grants, func(g *grant) bool { return !a.still(name, &q, g, derived) })
	for _, e := range q.Entries {
		mode := derived[e.Key]
		if mode == "" && believes(&q, &e) {
			mode = lease.Exclusive
		}
		if mode != "" {
			a.grant(h, &q, e, mode, exact)
		}
	}
	a.clash(name, h)
	stalled := len(q.Entries) > 0 && len(derived) == 0
	if stalled && !h.stalled {
		a.violation(Stalled, name, "entries wait and none of them holds the lock", shown(q.Entries)...)
	}
	if h.stalled = stalled; len(q.Entries) == 0 {
		delete(a.held, name)
	}
}

// still reports whether a grant's entry stands, and finds a grant that went away without its
// owner's doing. An owner weakens its lock in two ways: it moves its entry to a shared key, or it
// deletes its slot.
func (a *auditor) still(name string, q *lease.Queue, g *grant, derived map[string]lease.Mode) bool {
	i := slices.IndexFunc(q.Entries, func(e lease.Entry) bool { return e.Key == g.entry.Key && e.Create == g.entry.Create })
	if i < 0 && g.entry.Mode == lease.Exclusive && !g.entry.Foreign {
		i = slices.IndexFunc(q.Entries, func(e lease.Entry) bool {
			return e.Ticket == g.entry.Ticket && e.Mode == lease.Shared
		})
		if i >= 0 {
			g.mode, g.since = lease.Shared, 0
		}
	}
	if i < 0 {
		return false
	}
	g.entry = q.Entries[i]
	if g.slot != 0 && (q.Upgrade == nil || q.Upgrade.Ticket != g.entry.Ticket || q.Upgrade.Create != g.slot) {
		g.mode, g.slot, g.since = lease.Shared, 0, 0
	}
	has := derived[g.entry.Key]
	if has == "" && believes(q, &g.entry) {
		has = lease.Exclusive
	}
	if weaker(has, g.mode) && !weaker(g.has, g.mode) {
		a.violation(LostGrant, name, fmt.Sprintf("%s was granted %s and is now %s", g.entry.Key, g.mode, cmp.Or(string(has), "waiting")),
			shown(q.Entries)...)
	}
	g.has = has
	return true
}

func weaker(has, mode lease.Mode) bool { return has != mode && has != lease.Exclusive }

// grant takes note of a grant that is new, or is stronger than it was.
func (a *auditor) grant(h *holding, q *lease.Queue, e lease.Entry, mode lease.Mode, exact bool) {
	i := slices.IndexFunc(h.grants, func(g *grant) bool { return g.entry.Key == e.Key })
	if i < 0 {
		i = len(h.grants)
		h.grants = append(h.grants, &grant{entry: e})
	}
	g := h.grants[i]
	if g.mode == mode || g.mode == lease.Exclusive {
		return
	}
	a.report.Grants++
	g.mode, g.has = mode, mode
	if mode == lease.Exclusive && exact {
		g.since = a.rev
	}
	if mode == lease.Exclusive && e.Mode == lease.Shared {
		g.slot = q.Upgrade.Create
	}
}

// clash finds two holders that exclude each other, each of them by what it was told.
func (a *auditor) clash(name string, h *holding) {
	exclusive, who := false, ""
	var entries []Entry
	for _, g := range h.grants {
		exclusive = exclusive || g.mode == lease.Exclusive
		e := show(g.entry)
		e.Mode = g.mode
		entries = append(entries, e)
		who += fmt.Sprintf("%s %s %d ", g.entry.Key, g.mode, g.entry.Create)
	}
	if !exclusive || len(h.grants) < 2 {
		h.clash = ""
		return
	}
	if who != h.clash {
		a.violation(Exclusion, name, fmt.Sprintf("%d hold the lock, and not all of them shared", len(h.grants)), entries...)
	}
	h.clash = who
}

// believes is the rule of a foreign locker, who knows no ranks: it holds the lock once no other
// key of the queue is older.
func believes(q *lease.Queue, e *lease.Entry) bool {
	if !e.Foreign || q.Upgrade != nil && q.Upgrade.Create < e.Create {
		return false
	}
	return !slices.ContainsFunc(q.Entries, func(o lease.Entry) bool { return o.Create < e.Create })
}
