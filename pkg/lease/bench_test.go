package lease_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// The two benchmarks do equal work with etcd's own concurrency.Mutex and with this package, in
// turns on one etcd, and report how many times as fast this package was. Quote the ratio: the
// absolute times are those of the machine.

const benchRecords = 8

func benchStore(b *testing.B) (*clientv3.Client, *concurrency.Session, *lease.Session) {
	b.Helper()
	c := dial(b)
	for i := range benchRecords {
		if _, err := c.Put(b.Context(), fmt.Sprint("/bench/nodes/n/", i), fmt.Sprintf("%0256d", i)); err != nil {
			b.Fatal(err)
		}
	}
	cs, err := concurrency.NewSession(c, concurrency.WithTTL(60))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { cs.Close() })
	return c, cs, open(b, c, lease.Config{Root: "/bench/", Holder: b.Name(), Client: true, TTL: 30 * time.Second})
}

// BenchmarkCycle takes a lock, reads the records, writes one of them so that only the owner can,
// and releases.
func BenchmarkCycle(b *testing.B) {
	c, cs, s := benchStore(b)
	mutex := func(ctx context.Context) error {
		m := concurrency.NewMutex(cs, "/bench/mutex/n")
		if err := m.Lock(ctx); err != nil {
			return err
		}
		if _, err := c.Get(ctx, "/bench/nodes/n/", clientv3.WithPrefix()); err != nil {
			return err
		}
		if _, err := c.Txn(ctx).If(m.IsOwner()).Then(clientv3.OpPut("/bench/nodes/n/0", "x")).Commit(); err != nil {
			return err
		}
		return m.Unlock(ctx)
	}
	own := func(ctx context.Context) error {
		l, err := s.Acquire(ctx, lease.Request{Name: "n", Read: []string{"/bench/nodes/n/"}, Wait: lease.Patient})
		if err != nil {
			return err
		}
		return l.Release(ctx, lease.Write{Then: []clientv3.Op{clientv3.OpPut("/bench/nodes/n/0", "x")}})
	}
	var times [2]time.Duration
	for b.Loop() {
		for i, f := range []func(context.Context) error{mutex, own} {
			start := time.Now()
			for range 5 {
				if err := f(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			times[i] += time.Since(start)
		}
	}
	b.ReportMetric(float64(times[0])/float64(times[1]), "x-mutex")
}

// BenchmarkHandoff passes one lock through 16 waiters that queue up again at once.
func BenchmarkHandoff(b *testing.B) {
	const waiters, rounds = 16, 8
	c, _, s := benchStore(b) // a mutex session for each waiter: with one, all would get the lock
	crowd := func(pass func(ctx context.Context, i int) error) time.Duration {
		var wg sync.WaitGroup
		start := time.Now()
		for i := range waiters {
			wg.Go(func() {
				for range rounds {
					if err := pass(b.Context(), i); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		return time.Since(start)
	}
	sessions := make([]*concurrency.Session, waiters)
	for i := range sessions {
		var err error
		if sessions[i], err = concurrency.NewSession(c, concurrency.WithTTL(60)); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { sessions[i].Close() })
	}
	var times [2]time.Duration
	for b.Loop() {
		times[0] += crowd(func(ctx context.Context, i int) error {
			m := concurrency.NewMutex(sessions[i], "/bench/mutex/h")
			if err := m.Lock(ctx); err != nil {
				return err
			}
			return m.Unlock(ctx)
		})
		times[1] += crowd(func(ctx context.Context, _ int) error {
			l, err := s.Acquire(ctx, lease.Request{Name: "h", Wait: lease.Patient})
			if err != nil {
				return err
			}
			return l.Release(ctx, lease.Write{})
		})
	}
	b.ReportMetric(float64(times[0])/float64(times[1]), "x-mutex")
	b.ReportMetric(float64(times[1])/float64(b.N*waiters*rounds)/1e6, "ms/handoff")
}
