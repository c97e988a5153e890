package lease

import (
	"cmp"
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// mirror follows all lock queues with one watch per session and wakes those of the session's own
// locks whose standing may have changed: the waiters that can now run, and the holders whose entry
// is gone. It only ever wakes. A grant is proven by a read of etcd, so an event that is late, lost
// or doubled costs time and never safety.
type mirror struct {
	s *Session

	mu     sync.Mutex
	rev    int64 // every event up to here is applied
	queues *Replay
	broken map[string]*mvccpb.KeyValue // marks of broken locks, by name
	locals map[string]map[*Lock]bool   // this session's locks, by name
	again  chan struct{}               // asks for a new listing

	// For those who list queues, and not for grants:
	heard int64         // etcd said that the watch has told everything up to here
	moved chan struct{} // closed when rev or heard grows; nil: nobody waits
}

func newMirror(s *Session) *mirror {
	return &mirror{
		s: s, queues: newReplay(s.keys), broken: map[string]*mvccpb.KeyValue{},
		locals: map[string]map[*Lock]bool{}, again: make(chan struct{}, 1),
	}
}

// run lists and watches until the session ends. Any trouble (compaction, a leader change, a
// cancelled watch) leads to a new listing; entries keep their places.
func (m *mirror) run() {
	pause := 0
	for m.s.ctx.Err() == nil {
		start := time.Now()
		if err := m.follow(); err != nil && m.s.ctx.Err() == nil {
			m.s.cfg.Metrics.watchRestarts.Inc()
			if pause++; time.Since(start) > recheck {
				pause = 1
			}
		}
		if pause > 0 {
			wait := min(time.Duration(pause)*50*time.Millisecond, time.Second)
			select {
			case <-time.After(wait/2 + rand.N(wait)):
			case <-m.s.ctx.Done():
			}
		}
	}
}

// follow opens the watch at "now" first and lists afterwards: a watch that starts at a past
// revision is served late by etcd (unsynced watchers are visited every 100 ms), and this order
// leaves no gap between the two.
func (m *mirror) follow() error {
	ctx, cancel := context.WithCancel(ownStream(m.s.ctx))
	defer cancel()
	start, end := m.s.keys.watched()
	events := m.s.client.Watch(ctx, start, clientv3.WithRange(end), clientv3.WithCreatedNotify())
	created, ok := <-events
	if !ok || created.Err() != nil {
		return watchError(created)
	}
	list := func() error {
		ctx, cancel := context.WithTimeout(ctx, m.s.cfg.TTL)
		defer cancel()
		r, err := m.s.client.Get(ctx, start, clientv3.WithRange(end))
		if err != nil {
			return err
		}
		m.install(r.Kvs, r.Header.Revision)
		return nil
	}
	if err := list(); err != nil {
		return err
	}
	relist := time.NewTicker(time.Minute) // finds what no event told of
	defer relist.Stop()
	for {
		select {
		case w, ok := <-events:
			if !ok || w.Err() != nil {
				return watchError(w)
			}
			m.apply(w.Events)
			if w.IsProgressNotify() {
				m.hear(w.Header.Revision)
			}
		case <-m.again:
			if err := list(); err != nil {
				return err
			}
		case <-relist.C:
			if err := list(); err != nil {
				return err
			}
		case <-m.s.ctx.Done():
			return nil
		}
	}
}

func watchError(w clientv3.WatchResponse) error {
	if err := w.Err(); err != nil {
		return err
	}
	return context.Canceled
}

// resync asks for a new listing, which finds entries that vanished without an event.
func (m *mirror) resync() {
	select {
	case m.again <- struct{}{}:
	default:
	}
}

// install replaces everything by what a read at revision rev returned.
func (m *mirror) install(kvs []*mvccpb.KeyValue, rev int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if rev < m.rev {
		return
	}
	m.rev = rev
	m.queues = newReplay(m.s.keys)
	clear(m.broken)
	slices.SortFunc(kvs, func(a, b *mvccpb.KeyValue) int { return cmp.Compare(a.CreateRevision, b.CreateRevision) })
	for _, kv := range kvs {
		if name, ok := m.s.keys.name(string(kv.Key)); ok {
			m.queues.add(name, kv)
		} else {
			m.broken[string(kv.Key)] = kv
		}
	}
	for name := range m.locals {
		m.settle(name, func(string, int64) bool { return true })
	}
	m.ghosts()
	m.wake()
}

func (m *mirror) apply(events []*clientv3.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	touched, deleted := map[string]bool{}, map[string]int64{}
	for _, ev := range events {
		if ev.Kv.ModRevision <= m.rev {
			continue // the listing had it already
		}
		if name, ok := m.queues.Apply(ev); ok {
			touched[name] = touched[name] || !m.queues.lastInLine(name, ev)
			if ev.Type == clientv3.EventTypeDelete {
				deleted[string(ev.Kv.Key)] = ev.Kv.ModRevision
			}
		} else if ev.Type == clientv3.EventTypeDelete {
			delete(m.broken, string(ev.Kv.Key))
		} else {
			m.broken[string(ev.Kv.Key)] = ev.Kv
		}
	}
	if n := len(events); n > 0 {
		m.rev = max(m.rev, events[n-1].Kv.ModRevision)
	}
	for name, changed := range touched {
		if !changed {
			continue
		}
		m.settle(name, func(key string, created int64) bool { return deleted[key] > created })
	}
	m.wake()
}

// view is the queue of a name at a revision at which it surely stood so.
func (m *mirror) view(name string) Queue {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.queues.Queue(name, m.rev)
}

// vacant reports whether nothing is known to stand in the queue of a name.
func (m *mirror) vacant(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.queues.vacant(name)
}

// admits reports whether a new entry of a name would be granted at once, as far as is known.
func (m *mirror) admits(name string, mode Mode) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.queues.vacant(name) || mode == Exclusive {
		return m.queues.vacant(name)
	}
	q := m.queues.standing(name, m.rev)
	return q.admits(mode)
}

// settle tells each local lock of a name how it now stands. The caller holds mu.
func (m *mirror) settle(name string, sure func(key string, created int64) bool) {
	if len(m.locals[name]) == 0 {
		return
	}
	q := m.queues.standing(name, m.rev)
	entries := make(map[string]*Entry, len(q.Entries))
	for i := range q.Entries {
		entries[q.Entries[i].Ticket] = &q.Entries[i]
	}
	for l := range m.locals[name] {
		l.stands(&q, entries[l.ticket], sure, m.reason)
	}
}

// track begins to tell a lock how it stands; untrack ends it.
func (m *mirror) track(l *Lock) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locals[l.name] == nil {
		m.locals[l.name] = map[*Lock]bool{}
	}
	m.locals[l.name][l] = true
	if m.rev > 0 {
		q := m.queues.standing(l.name, m.rev)
		l.stands(&q, q.find(l.ticket), func(string, int64) bool { return false }, m.reason)
	}
}

func (m *mirror) untrack(l *Lock) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if delete(m.locals[l.name], l); len(m.locals[l.name]) == 0 {
		delete(m.locals, l.name)
	}
}

// reason explains why an entry is gone: a mark says that somebody broke it. The caller holds mu.
func (m *mirror) reason(name, ticket string) *LostError {
	lost := &LostError{Name: name, Reason: Deleted, Detail: "its entry in etcd was deleted"}
	if m.s.Trust() <= 0 { // for example after the process stood still
		lost.Reason, lost.Detail = Expired, "its lease ran out"
	}
	if kv := m.broken[m.s.keys.broken(name)]; kv != nil {
		var b Break
		if json.Unmarshal(kv.Value, &b) == nil && b.Ticket == ticket {
			lost.Reason, lost.Detail = Broken, "broken by "+b.By+": "+b.Why
		}
	}
	return lost
}

// ghosts finds entries of this session that none of its locks knows, and removes them. There
// should be none: an abandoned request is refused by the bumped session key. The caller holds mu.
func (m *mirror) ghosts() {
	for e := range m.queues.Entries() {
		if e.Session != m.s.id || e.Foreign || m.s.knows(e.Ticket) {
			continue
		}
		m.s.reap(func(ctx context.Context) error {
			r, err := m.s.client.Txn(ctx).
				If(created(e.Key, e.Create)).
				Then(clientv3.OpDelete(e.Key)).Commit()
			if err == nil && r.Succeeded {
				m.s.cfg.Metrics.ghosts.Inc()
			}
			return err
		})
	}
}
