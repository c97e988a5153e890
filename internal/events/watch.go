package events

import (
	"context"
	"sync"
	"sync/atomic"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// What may wait for a reader, for each of whom it is held in memory.
const (
	queueBatches = 8192
	queueBytes   = 4 << 20
)

// watch tells what comes, until the watch breaks.
func (w *follower) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	var pump sync.WaitGroup
	defer pump.Wait()
	defer cancel()
	responses := w.Client.Watch(ctx, w.places(Filter{})[0], clientv3.WithPrefix(), clientv3.WithRev(w.last+1),
		clientv3.WithFilterDelete(), clientv3.WithProgressNotify())
	q := &queue{batches: make(chan Batch, queueBatches), slow: make(chan struct{})}
	pump.Go(func() {
		defer close(q.batches)
		q.err = q.fill(responses, w.Feed, w.want)
	})
	for b := range q.batches {
		select {
		case <-q.slow: // what waits is not of use to one who cannot keep up
			return ErrSlow
		default:
		}
		q.size.Add(-b.size())
		if w.tell(b); w.stopped {
			return nil
		}
	}
	return q.err
}

// queue holds what etcd has told and the reader has not taken.
type queue struct {
	batches chan Batch
	size    atomic.Int64
	slow    chan struct{} // closed when there is too much
	err     error         // why it ended, once batches is closed
}

// fill takes what etcd tells as it comes, for etcd's client would buffer it
// without a bound.
func (q *queue) fill(responses clientv3.WatchChan, f Feed, want Filter) error {
	for resp := range responses {
		if err := resp.Err(); err != nil {
			return err
		}
		kvs := make([]*mvccpb.KeyValue, len(resp.Events))
		for i, ev := range resp.Events {
			kvs[i] = ev.Kv
		}
		all := f.batches(want, kvs)
		if resp.IsProgressNotify() {
			all = []Batch{{Revision: resp.Header.Revision}}
		}
		for _, b := range all {
			if q.size.Add(b.size()) > queueBytes {
				close(q.slow)
				return ErrSlow
			}
			select {
			case q.batches <- b:
			default:
				close(q.slow)
				return ErrSlow
			}
		}
	}
	return nil
}

// size is about what a batch takes in memory.
func (b Batch) size() int64 {
	n := 64
	for _, e := range b.Events {
		n += len(e.JSON) + 256
	}
	return int64(n)
}
