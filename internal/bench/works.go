package bench

import (
	"context"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// What the works of a cycle do.
const (
	alone       = "lock alone"
	withRecords = "with records"
	withIntent  = "with records and intent"
)

// turn answers which of n nodes a worker takes: each has nodes of its own, near and far.
func turn(n, workers, worker, i int) int {
	per := n / workers
	return worker*per + i*7919%max(per, 1)
}

// puts is the measure: each operation is one put.
func (r *run) puts(workers, nodes int) work {
	value := strings.Repeat("p", rawSize)
	return work{what: "put", workers: workers, begin: func(context.Context) (operation, func(), error) {
		return timed(func(ctx context.Context, worker, i int) error {
			_, err := r.client.Put(ctx, r.putKey(turn(nodes, workers, worker, i)), value)
			return err
		}), func() {}, nil
	}}
}

// mutexes takes and gives back etcd's own mutex; with records it reads the node's, in one range,
// and writes one so that only the owner can.
func (r *run) mutexes(workers int, doing string) work {
	value := strings.Repeat("m", recordSize)
	return work{what: "mutex", doing: doing, workers: workers, begin: func(context.Context) (operation, func(), error) {
		ss, end, err := r.mutexSessions(1)
		if err != nil {
			return nil, nil, err
		}
		return timed(func(ctx context.Context, worker, i int) error {
			n := turn(r.o.pool(), workers, worker, i)
			m := concurrency.NewMutex(ss[0], r.mutexKey(n))
			if err := m.Lock(ctx); err != nil {
				return err
			}
			if doing == withRecords {
				if err := r.mutexRecords(ctx, m, n, value); err != nil {
					return err
				}
			}
			return m.Unlock(ctx)
		}), end, nil
	}}
}

func (r *run) mutexRecords(ctx context.Context, m *concurrency.Mutex, n int, value string) error {
	got, err := r.client.Get(ctx, r.mutexNode(n), clientv3.WithPrefix())
	if err != nil {
		return err
	}
	if len(got.Kvs) != records {
		return fmt.Errorf("read %d records: want %d", len(got.Kvs), records)
	}
	w, err := r.client.Txn(ctx).If(m.IsOwner()).Then(clientv3.OpPut(string(got.Kvs[0].Key), value)).Commit()
	if err == nil && !w.Succeeded {
		err = fmt.Errorf("mutex %s was lost", m.Key())
	}
	return err
}

// mutexSessions opens sessions of the mutex. One serves many keys; on one key each waiter needs its own.
func (r *run) mutexSessions(n int) (ss []*concurrency.Session, end func(), err error) {
	end = func() {
		for _, s := range ss {
			_ = s.Close() // else its lease runs out
		}
	}
	for range n {
		s, err := concurrency.NewSession(r.client, concurrency.WithTTL(60))
		if err != nil {
			end()
			return nil, nil, err
		}
		ss = append(ss, s)
	}
	return ss, end, nil
}

// session opens a session as a conductor has one; what is "unbatched" sends each operation by itself.
func (r *run) session(ctx context.Context, what string) (*lease.Session, func(), error) {
	s, err := lease.Open(ctx, r.client, lease.Config{
		Root: r.root, Holder: "bench", Client: true, TTL: 30 * time.Second, Unbatched: what == "unbatched",
	})
	if err != nil {
		return nil, nil, err
	}
	return s, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_ = s.Close(ctx) // else its leases run out
	}, nil
}

// locks takes and gives back the locks of nodes.
func (r *run) locks(workers, nodes int, what, doing string) work {
	return work{what: what, doing: doing, workers: workers, begin: func(ctx context.Context) (operation, func(), error) {
		s, end, err := r.session(ctx, what)
		if err != nil {
			return nil, nil, err
		}
		return r.cycle(s, workers, nodes, doing), end, nil
	}}
}

// cycle takes a node's lock and releases it. With records it does what a task does: the acquire
// reads all of the node, and the release writes one record if that is still as it was read. With
// intent it notes for a successor what it is about, as a task does that commands the machine.
func (r *run) cycle(s *lease.Session, workers, nodes int, doing string) operation {
	keys, filler := r.keys(), strings.Repeat("l", recordSize)
	return timed(func(ctx context.Context, worker, i int) error {
		name := id(turn(nodes, workers, worker, i))
		req := lease.Request{Name: string(name), Purpose: "bench", Wait: lease.Patient, Brief: doing != withIntent}
		if doing == alone {
			l, err := s.Acquire(ctx, req)
			if err != nil {
				return err
			}
			return l.Release(ctx, lease.Write{})
		}
		req.Read, req.Require = keys.Read(name), keys.Node(name)
		l, err := s.Acquire(ctx, req)
		if err != nil {
			return err
		}
		got := l.Records().KVs
		if len(got) != records {
			return fmt.Errorf("read %d records: want %d", len(got), records)
		}
		value := l.Ticket() + filler[len(l.Ticket()):] // as records do, it names its writer
		return l.Release(ctx, lease.Write{
			If:   []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(req.Require), "=", got[0].ModRevision)},
			Then: []clientv3.Op{clientv3.OpPut(req.Require, value)},
		})
	})
}
