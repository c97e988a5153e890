package leasetest

import (
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// replayRevisions is how many revisions of history etcd puts into one
// response.
const replayRevisions = 1000

// subscription is the server's side of a watch.
type subscription struct {
	span              span
	start             int64 // the first revision wanted
	prevKV            bool
	noPuts, noDeletes bool
	inbox             *mailbox[sent]
}

// sent is a response and the time it left the server.
type sent struct {
	resp *pb.WatchResponse
	at   time.Time
}

// mailbox is a queue without bounds: put never blocks. Ready gets a token
// when the mailbox may have stopped to be empty.
type mailbox[T any] struct {
	ready chan struct{}
	mu    sync.Mutex
	items []T
}

func newMailbox[T any]() *mailbox[T] { return &mailbox[T]{ready: make(chan struct{}, 1)} }

func (m *mailbox[T]) put(item T) {
	m.mu.Lock()
	m.items = append(m.items, item)
	m.mu.Unlock()
	select {
	case m.ready <- struct{}{}:
	default:
	}
}

// take empties the mailbox.
func (m *mailbox[T]) take() []T {
	m.mu.Lock()
	defer m.mu.Unlock()
	items := m.items
	m.items = nil
	return items
}

func (s *subscription) send(resp *pb.WatchResponse) {
	s.inbox.put(sent{resp, time.Now()})
}

// subscribe opens a watch. Its first response says that it was created, or
// why not; then comes the history from the revision asked for.
func (e *Etcd) subscribe(r *pb.WatchCreateRequest) *subscription {
	key := r.Key
	if len(key) == 0 {
		key = []byte{0} // the smallest key
	}
	s := &subscription{
		span:      newSpan(key, r.RangeEnd),
		start:     r.StartRevision,
		prevKV:    r.PrevKv,
		noPuts:    slices.Contains(r.Filters, pb.WatchCreateRequest_NOPUT),
		noDeletes: slices.Contains(r.Filters, pb.WatchCreateRequest_NODELETE),
		inbox:     newMailbox[sent](),
	}
	refused := ""
	switch {
	case s.start < 0:
		refused = rpctypes.ErrCompacted.Error()
	case !s.span.single && !s.span.open && s.span.start >= s.span.end:
		refused = "mvcc: watcher range is empty"
	}
	if refused != "" {
		s.send(&pb.WatchResponse{
			Header: e.header(), WatchId: clientv3.InvalidWatchID,
			Created: true, Canceled: true, CancelReason: refused,
		})
		return s
	}
	s.send(&pb.WatchResponse{Header: e.header(), Created: true})
	if s.start != 0 && s.start < e.store.compacted {
		s.send(&pb.WatchResponse{
			Header:   &pb.ResponseHeader{ClusterId: clusterID, MemberId: memberID, RaftTerm: e.term},
			Canceled: true, CompactRevision: e.store.compacted,
		})
		return s
	}
	if s.start != 0 && s.start <= e.store.rev() {
		for revisions := range slices.Chunk(e.store.log[max(0, s.start-e.store.first):], replayRevisions) {
			e.notify(s, slices.Concat(revisions...))
		}
	}
	e.watchers[s] = true
	return s
}

func (e *Etcd) unsubscribe(s *subscription) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.watchers, s)
}

// publish sends the events of the newest revision to all who watch it.
func (e *Etcd) publish(events []*mvccpb.Event) {
	for s := range e.watchers {
		if s.start <= e.store.rev() {
			e.notify(s, events)
		}
	}
}

// notify sends to one watch, in one response, those of the events that it
// asked for.
func (e *Etcd) notify(s *subscription, events []*mvccpb.Event) {
	resp := &pb.WatchResponse{Header: e.header()}
	for _, ev := range events {
		put := ev.Type == mvccpb.Event_PUT
		if !s.span.contains(string(ev.Kv.Key)) || put && s.noPuts || !put && s.noDeletes {
			continue
		}
		wanted := &mvccpb.Event{Type: ev.Type, Kv: ev.Kv}
		if created := put && ev.Kv.CreateRevision == ev.Kv.ModRevision; s.prevKV && !created {
			if t, ok := e.store.at(ev.Kv.ModRevision - 1); ok {
				wanted.PrevKv = t.at(string(ev.Kv.Key))
			}
		}
		resp.Events = append(resp.Events, wanted)
	}
	if len(resp.Events) > 0 {
		s.send(resp)
	}
}

// progress tells all subscriptions of one stream how far they have come, if
// each of them has.
func (e *Etcd) progress(stream []*subscription) {
	waits := func(s *subscription) bool { return !e.watchers[s] || e.store.rev() < s.start }
	if slices.ContainsFunc(stream, waits) {
		return
	}
	for _, s := range stream {
		s.send(&pb.WatchResponse{Header: e.header(), WatchId: clientv3.InvalidWatchID})
	}
}
