package lease

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// EventType is what happened to an entry.
type EventType string

// The life of an entry: it waits unless it is granted at once, and ends in one of three ways.
const (
	EventWaiting  EventType = "waiting"
	EventGranted  EventType = "granted" // also when an upgrade or a downgrade is done
	EventReleased EventType = "released"
	EventExpired  EventType = "expired"
	EventBroken   EventType = "broken"
)

// Event is one change of a lock queue, decoded.
type Event struct {
	Type     EventType
	Entry    Entry
	Break    *Break // who broke it and why, for EventBroken
	Revision int64
}

// Watch yields the present state of one name's queue, or of all for an empty name, as events, and
// then each change until ctx ends. It survives leader changes and compaction: what happened in
// between shows as the difference of states. It yields an error once, and ends, when etcd refuses.
func (l Locks) Watch(ctx context.Context, name string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		keys, err := newLayout(l.Root)
		if err == nil && name != "" {
			err = checkName(name)
		}
		if err != nil {
			yield(Event{}, err)
			return
		}
		w := follower{locks: l, keys: keys, name: name, yield: yield, shown: map[string]Entry{}, dead: map[clientv3.LeaseID]bool{}}
		for ctx.Err() == nil {
			err := w.follow(ctx)
			if errors.Is(err, errStop) || ctx.Err() != nil {
				return
			}
			if err != nil && !retryable(err) {
				yield(Event{}, fmt.Errorf("watch locks: %w", err))
				return
			}
			select {
			case <-time.After(jitter(time.Second / 2)):
			case <-ctx.Done():
			}
		}
	}
}

var errStop = errors.New("the reader has stopped")

func retryable(err error) bool {
	return unknownOutcome(err) || errors.Is(err, rpctypes.ErrCompacted)
}

// follower turns states of the key space into events: it shows each entry's standing once, and
// again when it changes.
type follower struct {
	locks  Locks
	keys   layout
	name   string
	yield  func(Event, error) bool
	queues *Replay
	shown  map[string]Entry // granted or waiting entries by id; Mode is empty while waiting
	breaks map[string]*Break
	dead   map[clientv3.LeaseID]bool
}

func (w *follower) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	start, end := w.keys.watched()
	events := w.locks.Client.Watch(ctx, start, clientv3.WithRange(end), clientv3.WithCreatedNotify())
	if first, ok := <-events; !ok || first.Err() != nil {
		return watchError(first)
	}
	r, err := w.locks.Client.Get(ctx, start, clientv3.WithRange(end))
	if err != nil {
		return err
	}
	w.queues, w.breaks = newReplay(w.keys), map[string]*Break{}
	touched := map[string]bool{} // what stands, and what was shown before a gap
	for _, kv := range r.Kvs {
		if name, ok := w.queues.Put(kv); ok {
			touched[name] = true
		}
	}
	for _, e := range w.shown {
		touched[e.Name] = true
	}
	if err := w.show(ctx, touched, r.Header.Revision); err != nil {
		return err
	}
	for resp := range events {
		if err := resp.Err(); err != nil {
			return err
		}
		// One response may hold several revisions; each is a state of its own.
		for evs := resp.Events; len(evs) > 0; {
			rev, n := evs[0].Kv.ModRevision, 0
			touched := map[string]bool{}
			for ; n < len(evs) && evs[n].Kv.ModRevision == rev; n++ {
				if rev > r.Header.Revision { // the listing had the others
					w.take(evs[n], touched)
				}
			}
			evs = evs[n:]
			if err := w.show(ctx, touched, rev); err != nil {
				return err
			}
		}
	}
	return context.Canceled
}

func (w *follower) take(ev *clientv3.Event, touched map[string]bool) {
	if name, lock := w.queues.Apply(ev); lock {
		touched[name] = true
	} else if ev.Type == clientv3.EventTypePut {
		if b := readBreak([]*mvccpb.KeyValue{ev.Kv}); b != nil {
			w.breaks[b.Key] = b
		}
	}
}

// show yields how the standing of the entries of some names differs from what was shown before.
func (w *follower) show(ctx context.Context, touched map[string]bool, rev int64) error {
	for _, name := range slices.Sorted(maps.Keys(touched)) {
		if w.name != "" && name != w.name {
			continue
		}
		for _, ev := range w.changes(ctx, w.queues.Queue(name, rev)) {
			if !w.yield(ev, nil) {
				return errStop
			}
		}
	}
	return nil
}

// changes are the entries of a queue that are gone, then those that stand otherwise than shown.
func (w *follower) changes(ctx context.Context, q Queue) []Event {
	present := map[string]bool{}
	var gone, stand []Event
	for _, e := range q.Holders() {
		present[id(e)] = true
		if old, ok := w.shown[id(e)]; !ok || old.Mode != e.Mode {
			w.shown[id(e)] = e
			stand = append(stand, Event{Type: EventGranted, Entry: e, Revision: q.Revision})
		}
	}
	for _, e := range q.Waiters() {
		if present[id(e)] { // a holder's pending upgrade
			continue
		}
		present[id(e)] = true
		if _, ok := w.shown[id(e)]; !ok {
			waiting := e
			waiting.Mode = ""
			w.shown[id(e)] = waiting
			stand = append(stand, Event{Type: EventWaiting, Entry: e, Revision: q.Revision})
		}
	}
	for _, k := range slices.Sorted(maps.Keys(w.shown)) {
		if e := w.shown[k]; e.Name == q.Name && !present[k] {
			delete(w.shown, k)
			gone = append(gone, w.gone(ctx, e, q.Revision))
		}
	}
	return append(gone, stand...)
}

// id survives the change of key of a downgrade.
func id(e Entry) string {
	if e.Ticket != "" {
		return e.Name + "/" + e.Ticket
	}
	return e.Key
}

// gone tells in which way an entry ended: broken if a mark says so, expired if its lease is gone too.
func (w *follower) gone(ctx context.Context, e Entry, rev int64) Event {
	ev := Event{Type: EventReleased, Entry: e, Revision: rev}
	if b := w.breaks[e.Key]; b != nil {
		delete(w.breaks, e.Key)
		ev.Type, ev.Break = EventBroken, b
		return ev
	}
	if e.Lease != 0 && !w.dead[e.Lease] { // what is dead stays dead: one question for all its entries
		if t, err := w.locks.Client.TimeToLive(ctx, e.Lease); err == nil && t.TTL <= 0 {
			w.dead[e.Lease] = true
		}
	}
	if w.dead[e.Lease] && !w.closed(ctx, e, rev) {
		ev.Type = EventExpired
	}
	return ev
}

// closed says whether an exclusive section had ended when its entry went: a release takes the intent
// along, also if the session ends a moment later.
func (w *follower) closed(ctx context.Context, e Entry, rev int64) bool {
	if e.Mode != Exclusive || e.Ticket == "" {
		return false
	}
	r, err := w.locks.Client.Get(ctx, w.keys.intent(e.Name), clientv3.WithRev(rev))
	if err != nil {
		return false
	}
	var i Intent
	return len(r.Kvs) == 0 || json.Unmarshal(r.Kvs[0].Value, &i) == nil && i.Ticket != e.Ticket
}
