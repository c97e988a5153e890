package lease_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// record is what the tests keep under a lock: a counter, and who wrote it under which token.
type record struct {
	N      int         `json:"n"`
	Ticket string      `json:"ticket"`
	Token  lease.Token `json:"token"`
}

func (r record) String() string {
	b, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// history follows etcd with a watch of its own, on which nothing is lost, and holds each revision
// against the promises. It asks no session anything.
type history struct {
	replay *lease.Replay
	root   string
	client *clientv3.Client
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	rev     int64
	before  map[string]lease.Queue // by name, as of the revision before
	records map[string]record
	intents map[string]bool     // by name, as of the revision before
	deleted func(ticket string) // told of each entry that goes
	puts    int                 // entries put, downgrades included
	slots   int                 // upgrades begun
	wrong   []string
	last    []string // the newest events, for the report
	start   time.Time
}

// follow starts at revision 1 and ends with finish.
func follow(t testing.TB, c *clientv3.Client, root string, deleted func(ticket string)) *history {
	t.Helper()
	replay, err := lease.NewReplay(root)
	if err != nil {
		t.Fatal(err)
	}
	h := &history{
		replay: replay, root: root, client: c, done: make(chan struct{}), deleted: deleted,
		before: map[string]lease.Queue{}, records: map[string]record{},
		intents: map[string]bool{}, start: time.Now(),
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	events := c.Watch(ctx, root, clientv3.WithPrefix(), clientv3.WithRev(1), clientv3.WithCreatedNotify())
	<-events
	go func() {
		defer close(h.done)
		for resp := range events {
			if err := resp.Err(); err != nil {
				h.mu.Lock()
				h.wrong = append(h.wrong, fmt.Sprintf("the watch of the history broke: %v", err))
				h.mu.Unlock()
				return
			}
			for evs := resp.Events; len(evs) > 0; {
				n := 1
				for n < len(evs) && evs[n].Kv.ModRevision == evs[0].Kv.ModRevision {
					n++
				}
				h.revision(evs[:n])
				evs = evs[n:]
			}
		}
	}()
	return h
}

// finish waits until the history has come up to now, and returns what was wrong with it.
func (h *history) finish(ctx context.Context) []string {
	r, err := h.client.Get(ctx, h.root, clientv3.WithPrefix())
	newest := int64(0)
	if err != nil {
		return []string{fmt.Sprintf("the end of the history: %v", err)}
	}
	for _, kv := range r.Kvs {
		newest = max(newest, kv.ModRevision)
	}
	for {
		h.mu.Lock()
		rev := h.rev
		h.mu.Unlock()
		if rev >= newest || ctx.Err() != nil {
			break
		}
		<-time.After(time.Millisecond)
	}
	h.cancel()
	<-h.done
	if len(h.wrong) == 0 {
		return nil
	}
	return append(h.wrong, h.last...)
}

func (h *history) fail(format string, args ...any) {
	h.wrong = append(h.wrong, fmt.Sprintf("revision %d: ", h.rev)+fmt.Sprintf(format, args...))
}

// note keeps a line for the report of a failure.
func (h *history) note(format string, args ...any) {
	if len(h.wrong) == 0 {
		h.last = append(h.last, fmt.Sprintf("%12s ", time.Since(h.start))+fmt.Sprintf(format, args...))
	}
	if len(h.last) > 80 {
		h.last = h.last[1:]
	}
}

// say is note for others.
func (h *history) say(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note(format, args...)
}

func (h *history) revision(evs []*clientv3.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rev = evs[0].Kv.ModRevision
	touched, gone := map[string]bool{}, []string{}
	for _, ev := range evs {
		key := strings.TrimPrefix(string(ev.Kv.Key), h.root)
		h.note("r%d %s %s %s", h.rev, ev.Type, key, ev.Kv.Value)
		if name, ok := h.replay.Apply(ev); ok {
			touched[name] = true
			_, ticket, entry := strings.Cut(strings.TrimPrefix(key, "locks/"+name+"/"), "/")
			switch {
			case entry && ev.Type == clientv3.EventTypeDelete:
				gone = append(gone, ticket)
			case entry && ev.IsCreate():
				h.puts++
			case ev.IsCreate():
				h.slots++
			}
		} else if name, ok := strings.CutPrefix(key, "nodes/"); ok && ev.Type == clientv3.EventTypePut {
			h.written(name, ev)
		}
	}
	for name := range touched {
		h.derive(name)
	}
	for _, ev := range evs {
		if name, ok := strings.CutPrefix(string(ev.Kv.Key), h.root+"intents/"); ok {
			h.intents[name] = ev.Type == clientv3.EventTypePut
		}
	}
	for _, ticket := range gone {
		standing := false
		for name := range touched {
			q := h.before[name]
			for _, e := range q.Entries {
				standing = standing || e.Ticket == ticket
			}
		}
		if !standing && h.deleted != nil {
			h.deleted(ticket)
		}
	}
}

// written checks P2 and that no update was lost.
func (h *history) written(name string, ev *clientv3.Event) {
	var r record
	if err := json.Unmarshal(ev.Kv.Value, &r); err != nil {
		h.fail("record of %s: %v", name, err)
		return
	}
	old := h.records[name]
	h.records[name] = r
	if r.N != old.N+1 && r != old { // a second copy of one write is no second update
		h.fail("lost update on %s: %d follows %d", name, r.N, old.N)
	}
	if r.Token < old.Token || r.Token == old.Token && r.Ticket != old.Ticket {
		h.fail("token %d of %s follows %d of %s on %s", r.Token, r.Ticket, old.Token, old.Ticket, name)
	}
	if lease.IsFree(r.Ticket) {
		if q := h.before[name]; len(q.Entries) > 0 || h.intents[name] {
			h.fail("%s wrote the record of %s without a lock; intent: %t, queue: %v", r.Ticket, name, h.intents[name], tickets(q.Entries))
		}
		return
	}
	for _, e := range h.before[name].Holders() {
		if e.Ticket == r.Ticket && e.Mode == lease.Exclusive {
			return
		}
	}
	h.fail("%s wrote the record of %s without owning it; holders were %v", r.Ticket, name, tickets(h.before[name].Holders()))
}

// derive checks exclusion, stability and progress of a queue that has changed.
func (h *history) derive(name string) {
	q := h.replay.Queue(name, h.rev)
	old := h.before[name]
	h.before[name] = q
	now := map[string]lease.Mode{}
	for _, e := range q.Holders() {
		now[e.Ticket+e.Key] = e.Mode
		if e.Mode == lease.Exclusive && len(q.Holders()) > 1 {
			h.fail("%s is exclusive on %s beside others: %v", e.Ticket, name, tickets(q.Holders()))
		}
	}
	if len(q.Entries) > 0 && len(now) == 0 {
		h.fail("%s has entries and nobody is granted: %v", name, tickets(q.Entries))
	}
	seen := map[string]bool{}
	for _, e := range q.Entries {
		if u := q.Upgrade; u != nil && e.Ticket != u.Ticket && e.Rank < u.Barrier && now[e.Ticket+e.Key] == "" {
			h.fail("the upgrade of %s on %s waits for %s, who waits for it", u.Ticket, name, e.Ticket)
		}
		if e.Ticket != "" && seen[e.Ticket] {
			h.fail("%s has two entries on %s", e.Ticket, name)
		}
		seen[e.Ticket] = true
	}
	for _, e := range old.Holders() {
		stands := false
		for _, f := range q.Entries {
			stands = stands || f.Key == e.Key && f.Create == e.Create
		}
		if upgraded := old.Upgrade != nil && old.Upgrade.Ticket == e.Ticket && e.Mode == lease.Exclusive; upgraded {
			stands = stands && q.Upgrade != nil && q.Upgrade.Create == old.Upgrade.Create
		}
		if got := now[e.Ticket+e.Key]; stands && got != e.Mode && got != lease.Exclusive {
			h.fail("%s was granted %s on %s and is now granted %q while it stands", e.Ticket, e.Mode, name, got)
		}
	}
}

func tickets(es []lease.Entry) []string {
	var s []string
	for _, e := range es {
		s = append(s, fmt.Sprintf("%s(%s r%d)", e.Ticket, e.Mode, e.Rank))
	}
	return s
}
