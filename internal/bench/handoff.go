package bench

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// handoffs measures one lock that many want. The time of a handoff is from the moment at which its
// owner begins to release it until the next one has it.
func (r *run) handoffs(ctx context.Context) error {
	for _, n := range r.o.Waiters {
		works := []work{
			r.putAndRead(), r.mutexQueue(n), r.lockQueue(n, 1, "unbatched"), r.lockQueue(n, 1, "locks"), r.lockQueue(n, 4, "locks"),
		}
		rows, err := r.turns(ctx, "handoff", 0, works)
		if err != nil {
			return err
		}
		for _, row := range rows[1:] {
			row.Handoff.P50Puts = row.P50 / max(rows[0].P50, 1e-9)
		}
	}
	return nil
}

// putAndRead is the least that a handoff could cost: a put, and a read that any member answers.
func (r *run) putAndRead() work {
	key := r.putKey(0)
	return work{what: "put", workers: 1, begin: func(context.Context) (operation, func(), error) {
		return timed(func(ctx context.Context, _, _ int) error {
			if _, err := r.client.Put(ctx, key, "handed over"); err != nil {
				return err
			}
			_, err := r.client.Get(ctx, key, clientv3.WithSerializable())
			return err
		}), func() {}, nil
	}}
}

// baton times handoffs.
type baton struct {
	mu   sync.Mutex
	left time.Time // when the last owner began to release
}

// taken answers how long the handoff took that ends now; 0 for the first.
func (b *baton) taken() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left.IsZero() {
		return 0
	}
	return time.Since(b.left)
}

func (b *baton) leaving() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = time.Now()
}

func (r *run) mutexQueue(n int) work {
	prefix := r.root + "mutex/hot"
	return r.watched(prefix+"/", work{what: "mutex", workers: n, begin: func(context.Context) (operation, func(), error) {
		ss, end, err := r.mutexSessions(n)
		if err != nil {
			return nil, nil, err
		}
		var b baton
		return func(ctx context.Context, worker, _ int) (time.Duration, error) {
			m := concurrency.NewMutex(ss[worker], prefix)
			if err := m.Lock(ctx); err != nil {
				return 0, err
			}
			d := b.taken()
			b.leaving()
			return d, m.Unlock(ctx)
		}, end, nil
	}})
}

// lockQueue spreads the waiters over conductors, each a session with a watch of its own; several
// are four, if there are as many waiters.
func (r *run) lockQueue(n, conductors int, what string) work {
	doing := map[bool]string{true: "one conductor", false: "several conductors"}[conductors == 1]
	conductors = min(n, conductors)
	return r.watched(r.root+"locks/hot/", work{what: what, doing: doing, workers: n, begin: func(ctx context.Context) (operation, func(), error) {
		var ss []*lease.Session
		var ends []func()
		end := func() {
			for _, end := range ends {
				end()
			}
		}
		for range conductors {
			s, one, err := r.session(ctx, what)
			if err != nil {
				end()
				return nil, nil, err
			}
			ss, ends = append(ss, s), append(ends, one)
		}
		var b baton
		return func(ctx context.Context, worker, _ int) (time.Duration, error) {
			l, err := ss[worker%conductors].Acquire(ctx, lease.Request{Name: "hot", Purpose: "bench", Wait: lease.Patient})
			if err != nil {
				return 0, err
			}
			d := b.taken()
			b.leaving()
			return d, l.Release(ctx, lease.Write{})
		}, end, nil
	}})
}

// watched adds to a work that its handoffs are looked at afterwards, in etcd's history.
func (r *run) watched(prefix string, w work) work {
	begin, from := w.begin, int64(0)
	w.begin = func(ctx context.Context) (operation, func(), error) {
		now, err := r.client.Get(ctx, prefix, clientv3.WithCountOnly())
		if err != nil {
			return nil, nil, err
		}
		from = now.Header.Revision + 1
		return begin(ctx)
	}
	w.after = func(ctx context.Context, row *Row, s *slice) error {
		if row.Handoff == nil {
			row.Handoff = &Handoff{}
		}
		for _, t := range s.parts[0].times {
			if t >= 50*time.Millisecond && t <= 100*time.Millisecond {
				row.Handoff.Late++
			}
		}
		served, wrong, err := r.order(ctx, prefix, from, s.total+w.workers)
		row.Handoff.Of += served
		row.Handoff.OutOfOrder += wrong
		return err
	}
	return w
}

// order reads the history of a queue until n of its entries have gone, and counts those that had
// not been the oldest.
func (r *run) order(ctx context.Context, prefix string, from int64, n int) (served, wrong int, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var queue []string
	for w := range r.client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(from)) {
		if err := w.Err(); err != nil {
			return served, wrong, fmt.Errorf("history of %s: %w", prefix, err)
		}
		for _, e := range w.Events {
			switch key := string(e.Kv.Key); {
			case e.Type == mvccpb.Event_PUT && e.IsCreate():
				queue = append(queue, key)
			case e.Type == mvccpb.Event_DELETE:
				served++
				if len(queue) == 0 || queue[0] != key {
					wrong++
				}
				queue = without(queue, key)
			}
		}
		if served >= n {
			return served, wrong, nil
		}
	}
	return served, wrong, fmt.Errorf("history of %s: %d of %d handoffs in it", strings.TrimSuffix(prefix, "/"), served, n)
}

func without(queue []string, key string) []string {
	for i, k := range queue {
		if k == key {
			return append(queue[:i:i], queue[i+1:]...)
		}
	}
	return queue
}
