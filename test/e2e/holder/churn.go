package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// churn does everything that can be done with locks, at random and from several
// goroutines, on a session that is opened anew when it is lost, until the process
// is told to stop it. It tells how often each thing ended how.
type churn struct {
	*holder
	prefix string
	names  int

	mu     sync.Mutex
	counts map[string]float64
}

const churners = 8

func (h *holder) churn(ctx context.Context, prefix string, n int) error {
	c := &churn{holder: h, prefix: prefix, names: n, counts: map[string]float64{}}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	keeper, err := lease.Keep(ctx, h.client, lease.Config{
		Root: h.root, Holder: h.session.Holder() + "-churn", TTL: h.ttl,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)), Metrics: lease.NewMetrics(nil),
	})
	if err != nil {
		return err
	}
	h.tell(event{Event: "churning"})
	go func() {
		<-h.stop
		cancel()
	}()
	var wg sync.WaitGroup
	for range churners {
		wg.Go(func() {
			for ctx.Err() == nil {
				s, err := keeper.Current()
				if err != nil {
					c.count("session", err)
					select {
					case <-time.After(50 * time.Millisecond):
					case <-ctx.Done():
					}
					continue
				}
				c.once(ctx, s)
			}
		})
	}
	wg.Wait()
	closing, done := context.WithTimeout(context.Background(), 10*time.Second)
	defer done()
	err = keeper.Close(closing)
	h.tell(event{Event: "churned", Values: c.counts, Err: text(err)})
	return nil
}

// count sorts an outcome. What no caller should ever see counts as unexpected.
func (c *churn) count(what string, err error) {
	kind := "ok"
	for _, k := range []error{
		lease.ErrHeld, lease.ErrUpgradeConflict, lease.ErrLost, lease.ErrSuspect, lease.ErrReleased, lease.ErrClosed,
		lease.ErrForeignWaiter, lease.ErrTaken, lease.ErrNotExclusive, context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, k) {
			kind = k.Error()
			break
		}
	}
	if etcd, ok := errors.AsType[rpctypes.EtcdError](err); ok && etcd.Code() == codes.Unavailable || status.Code(err) == codes.Unavailable {
		kind = "etcd is away"
	}
	if err != nil && kind == "ok" {
		kind = "unexpected: " + err.Error()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[what+": "+kind]++
}

// once takes one lock, does something with it, and gives it back.
func (c *churn) once(ctx context.Context, s *lease.Session) {
	r := lease.Request{Name: fmt.Sprint(c.prefix, rand.IntN(c.names)), Mode: lease.Exclusive, Purpose: "churn", Wait: lease.Patient}
	if rand.IntN(3) == 0 {
		r.Mode = lease.Shared
	}
	switch rand.IntN(4) {
	case 0:
		r.Wait = 0
	case 1:
		r.Wait = time.Duration(1+rand.IntN(300)) * time.Millisecond
	}
	wait, cancel := context.WithTimeout(ctx, time.Duration(1+rand.IntN(3000))*time.Millisecond)
	l, err := s.Acquire(wait, r)
	cancel()
	c.count("acquire", err)
	if err != nil {
		return
	}
	if l.Abandoned() != nil {
		c.count("abandoned", nil)
		l.Settle()
	}
	// What follows is bound to the lock, as a task is.
	work, free := l.Bind(ctx)
	defer free()
	for range rand.IntN(4) {
		switch {
		case rand.IntN(4) == 0 && l.Mode() == lease.Shared:
			c.count("upgrade", l.Upgrade(work, "", time.Duration(rand.IntN(200))*time.Millisecond))
		case rand.IntN(4) == 0 && l.Mode() == lease.Exclusive:
			c.count("downgrade", l.Downgrade(work, c.write(l)))
		case l.Mode() == lease.Exclusive:
			_, err := l.Commit(work, c.write(l))
			c.count("commit", err)
		}
		select {
		case <-time.After(time.Duration(rand.IntN(10)) * time.Millisecond):
		case <-work.Done():
		}
	}
	c.count("release", l.Release(ctx, c.write(l)))
}

// write is nothing at all half the time, and always for a shared lock.
func (c *churn) write(l *lease.Lock) lease.Write {
	if l.Mode() == lease.Shared || rand.IntN(2) == 0 {
		return lease.Write{Then: []clientv3.Op{}}
	}
	return c.record(l, "churned")
}
