package lease_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
)

// sameQueues compares what a session lists, which must not be from before the call, with what
// etcd holds.
func (w *world) sameQueues(s *lease.Session) {
	w.Helper()
	got, err := s.Queues(w.Context(), 0)
	if err != nil {
		w.Fatal(err)
	}
	want, err := w.locks().List(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(lease.Queue{}, "Revision"), cmpopts.EquateEmpty()); diff != "" {
		w.Error(diff)
	}
}

// What another session was granted or has released shows at once.
func TestQueuesShowWhatWasAnswered(t *testing.T) {
	contract(t, func(w *world) {
		a, b := w.open("a"), w.open("b")
		w.sameQueues(a)
		var held []*lease.Lock
		for i := range 20 {
			held = append(held, w.acquire(b, lease.Request{Name: fmt.Sprint("n", i), Mode: lease.Shared}))
			w.sameQueues(a)
		}
		waiter := w.later(a, lease.Request{Name: "n3", Wait: lease.Patient})
		w.queued("n3", 2)
		w.sameQueues(a)
		for _, l := range held {
			w.want(l.Release(w.Context(), lease.Write{}), nil)
			w.sameQueues(a)
		}
		o := <-waiter
		w.want(o.err, nil)
		w.sameQueues(a)
		w.sameQueues(b)
	})
}

// A revision that nothing about locks has come to is waited for, and no longer than the caller or
// the session lives.
func TestQueuesWait(t *testing.T) {
	inLab(t, func(b *lab) {
		s := b.session("a")
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		_, err := s.Queues(ctx, b.etcd.Revision()+1)
		b.want(err, context.DeadlineExceeded)
		failed := make(chan error)
		go func() {
			_, err := s.Queues(b.Context(), b.etcd.Revision()+100)
			failed <- err
		}()
		time.Sleep(time.Second)
		_ = s.Close(b.Context())
		b.want(<-failed, lease.ErrClosed)
	})
}

// A watch that says nothing costs a listing.
func TestQueuesOfASilentWatch(t *testing.T) {
	inLab(t, func(b *lab) {
		s, other := b.session("a"), b.session("b")
		synctest.Wait() // both have a watch
		b.etcd.SetNetwork("a", leasetest.Network{Answer: func(c leasetest.Call) leasetest.Fate {
			return leasetest.Fate{Lost: c.Method == "Watch"}
		}})
		b.acquire(other, lease.Request{Name: "n"})
		start := time.Now()
		b.sameQueues(s)
		if took := time.Since(start); took > time.Second {
			b.Errorf("took %s", took)
		}
		if err := context.Cause(s.Context()); errors.Is(err, lease.ErrLost) {
			b.Error(err)
		}
	})
}
