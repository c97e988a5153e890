package node

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// retryWatch is the pause before a watch that broke is opened again.
const retryWatch = 500 * time.Millisecond

// WatchType says what a WatchEvent tells.
type WatchType int

// What a WatchEvent can tell.
const (
	WatchPut    WatchType = iota // a record was written; Record or Err is set
	WatchDelete                  // a record is gone
	WatchReset                   // forget everything: all records follow as puts
	WatchSynced                  // all records that existed at Revision have been told
)

// WatchEvent is one thing that happened to a record.
type WatchEvent struct {
	Type     WatchType
	Key      string
	Kind     Kind
	Node     ID            // the node, or the one that the record belongs to
	UUID     string        // the record's own uuid
	Record   Record        // nil unless put and readable
	Err      *CorruptError // set when a put record cannot be understood
	Revision int64
}

// Watch tells every change of every node and of what belongs to one, in order, starting
// with those at revision from. From 0 it begins with WatchReset, one WatchPut
// for each record and WatchSynced, and goes on from there; it does the same
// in the middle when a compaction has taken away what it still had to tell.
// To resume, pass the last revision told: its events come again. The sequence
// waits for events while ctx lives. It ends with one error: the cause of ctx,
// or a refusal of etcd that trying again does not cure; a connection that
// broke is opened again without a word.
func (s *Store) Watch(ctx context.Context, from int64) iter.Seq2[WatchEvent, error] {
	return func(yield func(WatchEvent, error) bool) {
		w := &watch{store: s, next: from, yield: yield}
		for ctx.Err() == nil {
			err := w.run(ctx)
			switch {
			case w.stopped:
				return
			case errors.Is(err, rpctypes.ErrCompacted):
				w.next = 0
				continue
			case ctx.Err() == nil && err != nil && !transient(err):
				yield(WatchEvent{}, fmt.Errorf("watch records below key %s: %w", s.keys.Root, err))
				return
			}
			pause(ctx, retryWatch)
		}
		yield(WatchEvent{}, fmt.Errorf("watch records below key %s: %w", s.keys.Root, context.Cause(ctx)))
	}
}

// watch is the state of one Watch.
type watch struct {
	store   *Store
	next    int64 // the first revision that was not told yet; 0 means list first
	yield   func(WatchEvent, error) bool
	stopped bool // the consumer has had enough
}

func (w *watch) tell(e WatchEvent) {
	w.stopped = w.stopped || !w.yield(e, nil)
}

// run lists if it must, then follows one stream of etcd until it breaks.
func (w *watch) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	if w.next == 0 {
		if err := w.relist(ctx); err != nil || w.stopped {
			return err
		}
	}
	from, end := w.store.keys.span()
	stream := w.store.client.Watch(ctx, from, clientv3.WithRange(end), clientv3.WithRev(w.next),
		clientv3.WithProgressNotify())
	for resp := range stream {
		if err := resp.Err(); err != nil {
			return err
		}
		for _, e := range resp.Events {
			w.event(e)
			if w.stopped {
				return nil
			}
			w.next = max(w.next, e.Kv.ModRevision+1)
		}
		if resp.IsProgressNotify() {
			w.next = max(w.next, resp.Header.Revision+1)
		}
	}
	return nil
}

// event tells one event of the stream; keys that are not of a node or of what
// belongs to one are passed over.
func (w *watch) event(e *clientv3.Event) {
	key := string(e.Kv.Key)
	kind, parent, uuid, ok := w.store.keys.parse(key)
	if !ok || !kind.child() && kind != KindNode {
		return
	}
	out := WatchEvent{Type: WatchDelete, Key: key, Kind: kind, Node: parent, UUID: uuid, Revision: e.Kv.ModRevision}
	if e.Type == clientv3.EventTypePut {
		out.Type = WatchPut
		if r, err := w.store.keys.decode(e.Kv); err != nil {
			out.Err = err
		} else {
			out.Record = r
		}
	}
	w.tell(out)
}

// relist tells all records as they stand at one revision.
func (w *watch) relist(ctx context.Context) error {
	from, end := w.store.keys.span()
	var revision int64
	for {
		resp, err := w.store.client.Get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(batch),
			clientv3.WithRev(revision))
		if err != nil {
			return err
		}
		if revision == 0 {
			revision = resp.Header.Revision
			w.tell(WatchEvent{Type: WatchReset, Revision: revision})
		}
		for _, kv := range resp.Kvs {
			if w.stopped {
				return nil
			}
			w.event(&clientv3.Event{Type: clientv3.EventTypePut, Kv: kv})
		}
		if w.stopped {
			return nil
		}
		if !resp.More {
			break
		}
		from = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
	}
	w.next = revision + 1
	w.tell(WatchEvent{Type: WatchSynced, Revision: revision})
	return nil
}

// transient says whether opening the watch again may help.
func transient(err error) bool {
	if e, ok := errors.AsType[rpctypes.EtcdError](err); ok {
		return e.Code() == codes.Unavailable
	}
	return status.Code(err) == codes.Unavailable
}

// pause waits for a while, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
