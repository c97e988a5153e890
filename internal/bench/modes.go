package bench

import (
	"context"
	"time"

	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// readers measures one node with a writer and sixteen readers, who for a mutex exclude each other.
func (r *run) readers(ctx context.Context) error {
	const all = 17
	parts := []string{"a writer", "16 readers"}
	mutex := work{what: "mutex", workers: all, leaders: 1, parts: parts, begin: func(context.Context) (operation, func(), error) {
		ss, end, err := r.mutexSessions(all)
		if err != nil {
			return nil, nil, err
		}
		return timed(func(ctx context.Context, worker, _ int) error {
			m := concurrency.NewMutex(ss[worker], r.root+"mutex/read")
			if err := m.Lock(ctx); err != nil {
				return err
			}
			return m.Unlock(ctx)
		}), end, nil
	}}
	locks := work{what: "locks", workers: all, leaders: 1, parts: parts, begin: func(ctx context.Context) (operation, func(), error) {
		s, end, err := r.session(ctx, "locks")
		if err != nil {
			return nil, nil, err
		}
		return timed(func(ctx context.Context, worker, _ int) error {
			req := lease.Request{Name: "read", Purpose: "bench", Wait: lease.Patient, Mode: lease.Shared}
			if worker == 0 {
				req.Mode = lease.Exclusive
			}
			l, err := s.Acquire(ctx, req)
			if err != nil {
				return err
			}
			return l.Release(ctx, lease.Write{})
		}), end, nil
	}}
	_, err := r.turns(ctx, "readers", 0, []work{r.puts(all, r.o.pool()), mutex, locks})
	return err
}

// conversions measures the way up and down: each worker holds a shared lock of its own, upgrades it
// and downgrades it again.
func (r *run) conversions(ctx context.Context) error {
	for _, n := range []int{1, 16} {
		locks := work{what: "locks", doing: "upgrade + downgrade", workers: n, begin: func(ctx context.Context) (operation, func(), error) {
			s, end, err := r.session(ctx, "locks")
			if err != nil {
				return nil, nil, err
			}
			held := make([]*lease.Lock, n)
			for i := range held {
				req := lease.Request{Name: string(id(i)), Purpose: "bench", Mode: lease.Shared, Wait: 10 * time.Second}
				if held[i], err = s.Acquire(ctx, req); err != nil {
					end()
					return nil, nil, err
				}
			}
			return timed(func(ctx context.Context, worker, _ int) error {
				if err := held[worker].Upgrade(ctx, "bench", lease.Patient); err != nil {
					return err
				}
				return held[worker].Downgrade(ctx, lease.Write{})
			}), end, nil
		}}
		if _, err := r.turns(ctx, "convert", 0, []work{r.puts(n, r.o.pool()), locks}); err != nil {
			return err
		}
	}
	return nil
}
