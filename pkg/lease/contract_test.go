package lease_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
)

// world is an etcd, real or in memory, as a contract test sees it.
type world struct {
	*testing.T
	root   string
	client func() *clientv3.Client
}

var roots atomic.Int64

// contract runs a test on both etcds: what holds on one holds on the other.
func contract(t *testing.T, test func(w *world)) {
	root := fmt.Sprintf("/contract/%d/", roots.Add(1))
	t.Run("memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := leasetest.New()
			t.Cleanup(e.Close)
			n := 0
			test(&world{T: t, root: root, client: func() *clientv3.Client {
				n++
				c := e.Client(fmt.Sprint("c", n))
				t.Cleanup(func() { c.Close() })
				return c
			}})
		})
	})
	t.Run("etcd", func(t *testing.T) {
		test(&world{T: t, root: root, client: func() *clientv3.Client { return dial(t) }})
	})
}

func tempDir(t testing.TB) string {
	dir, err := os.MkdirTemp("", "lease-etcd-")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func (w *world) open(holder string) *lease.Session {
	w.Helper()
	return open(w, w.client(), lease.Config{Root: w.root, Holder: holder, TTL: 10 * time.Second})
}

func (w *world) locks() lease.Locks { return lease.Locks{Client: w.client(), Root: w.root} }

func (w *world) get(key string) string {
	w.Helper()
	r, err := w.client().Get(w.Context(), key)
	if err != nil {
		w.Fatal(err)
	}
	if len(r.Kvs) == 0 {
		return ""
	}
	return string(r.Kvs[0].Value)
}

func (w *world) acquire(s *lease.Session, r lease.Request) *lease.Lock {
	w.Helper()
	l, err := s.Acquire(w.Context(), r)
	if err != nil {
		w.Fatal(err)
	}
	return l
}

func (w *world) release(l *lease.Lock) {
	w.Helper()
	if err := l.Release(w.Context(), lease.Write{}); err != nil {
		w.Fatal(err)
	}
}

// queued waits until a queue has n entries.
func (w *world) queued(name string, n int) lease.Queue {
	w.Helper()
	locks := w.locks()
	for {
		q, err := locks.Queue(w.Context(), name)
		if err != nil {
			w.Fatal(err)
		}
		if len(q.Entries) == n {
			return q
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-w.Context().Done():
			w.Fatalf("queue of %s has %d entries, want %d", name, len(q.Entries), n)
		}
	}
}

// later acquires in the background.
func (w *world) later(s *lease.Session, r lease.Request) <-chan outcome {
	c := make(chan outcome, 1)
	go func() {
		l, err := s.Acquire(w.Context(), r)
		c <- outcome{l, err}
	}()
	return c
}

type outcome struct {
	lock *lease.Lock
	err  error
}

func (w *world) want(err, want error) {
	w.Helper()
	if !errors.Is(err, want) {
		w.Fatalf("got error %v, want %v", err, want)
	}
}

func TestExclusiveExcludes(t *testing.T) {
	contract(t, func(w *world) {
		a, b := w.open("a"), w.open("b")
		l := w.acquire(a, lease.Request{Name: "n1", Purpose: "deploy", User: "ann", Task: "t1"})
		for _, s := range []*lease.Session{a, b} { // not even the same session gets it again
			for _, mode := range []lease.Mode{lease.Exclusive, lease.Shared} {
				_, err := s.Acquire(w.Context(), lease.Request{Name: "n1", Mode: mode})
				held, ok := errors.AsType[*lease.HeldError](err)
				if !ok || !errors.Is(err, lease.ErrHeld) {
					w.Fatalf("got %v, want a HeldError", err)
				}
				h := held.Holder()
				if h.Holder != "a" || h.Purpose != "deploy" || h.User != "ann" || h.Task != "t1" || h.Since.IsZero() || held.FreeBy() < 3*time.Second {
					w.Errorf("holder = %+v, free by %s", h, held.FreeBy())
				}
			}
		}
		if got := w.acquire(b, lease.Request{Name: "n2"}); got.Mode() != lease.Exclusive {
			w.Errorf("mode = %s", got.Mode())
		}
		w.release(l)
		if err := l.Check(); !errors.Is(err, lease.ErrReleased) {
			w.Errorf("Check after release = %v", err)
		}
		m := w.acquire(b, lease.Request{Name: "n1"})
		if m.Token() <= l.Token() {
			w.Errorf("token %d after %d", m.Token(), l.Token())
		}
	})
}

func TestReadersShareAndDoNotOvertakeAWriter(t *testing.T) {
	contract(t, func(w *world) {
		a, b := w.open("a"), w.open("b")
		r1 := w.acquire(a, lease.Request{Name: "n", Mode: lease.Shared})
		r2 := w.acquire(b, lease.Request{Name: "n", Mode: lease.Shared})
		writer := w.later(b, lease.Request{Name: "n", Wait: lease.Patient})
		w.queued("n", 3)
		_, err := a.Acquire(w.Context(), lease.Request{Name: "n", Mode: lease.Shared})
		w.want(err, lease.ErrHeld)
		reader := w.later(a, lease.Request{Name: "n", Mode: lease.Shared, Wait: lease.Patient})
		w.queued("n", 4)
		w.release(r1)
		w.release(r2)
		got := <-writer
		if got.err != nil {
			w.Fatal(got.err)
		}
		select {
		case o := <-reader:
			w.Fatalf("reader got %v beside the writer", o)
		default:
		}
		w.release(got.lock)
		if o := <-reader; o.err != nil {
			w.Fatal(o.err)
		}
	})
}

func TestFirstComeFirstServed(t *testing.T) {
	contract(t, func(w *world) {
		ss := []*lease.Session{w.open("a"), w.open("b"), w.open("c")}
		first := w.acquire(ss[0], lease.Request{Name: "n"})
		order := make(chan int, 20)
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				l, err := ss[i%3].Acquire(w.Context(), lease.Request{Name: "n", Purpose: fmt.Sprint(i), Wait: lease.Patient})
				if err != nil {
					w.Errorf("waiter %d: %v", i, err)
					order <- -1
					return
				}
				order <- i
				if err := l.Release(w.Context(), lease.Write{}); err != nil {
					w.Error(err)
				}
			})
			w.queued("n", i+2)
		}
		w.release(first)
		for i := range 20 {
			if got := <-order; got != i {
				w.Fatalf("served %d, want %d", got, i)
			}
		}
		wg.Wait()
	})
}

func TestBoundedWaitLeavesNothing(t *testing.T) {
	contract(t, func(w *world) {
		a, b := w.open("a"), w.open("b")
		l := w.acquire(a, lease.Request{Name: "n", Purpose: "clean"})
		_, err := b.Acquire(w.Context(), lease.Request{Name: "n", Wait: 300 * time.Millisecond})
		held, ok := errors.AsType[*lease.HeldError](err)
		if !ok || held.Waited < 300*time.Millisecond || held.Holder().Purpose != "clean" {
			w.Fatalf("got %v", err)
		}
		w.queued("n", 1)
		ctx, cancel := context.WithCancelCause(w.Context())
		done := make(chan error, 1)
		go func() {
			_, err := b.Acquire(ctx, lease.Request{Name: "n", Wait: lease.Patient})
			done <- err
		}()
		w.queued("n", 2)
		why := errors.New("the user went away")
		cancel(why)
		w.want(<-done, why)
		w.queued("n", 1)
		w.release(l)
		w.queued("n", 0)
	})
}

func TestRecordsComeWithTheLock(t *testing.T) {
	contract(t, func(w *world) {
		c := w.client()
		for _, k := range []string{"nodes/n", "ports/n/1", "ports/n/2", "ports/nn/3"} {
			if _, err := c.Put(w.Context(), w.root+k, k); err != nil {
				w.Fatal(err)
			}
		}
		a, b := w.open("a"), w.open("b")
		req := lease.Request{
			Name: "n", Require: w.root + "nodes/n", Read: []string{w.root + "nodes/n", w.root + "ports/n/"}, Wait: lease.Patient,
		}
		l := w.acquire(a, req)
		check := func(l *lease.Lock, want ...string) {
			w.Helper()
			var got []string
			for _, kv := range l.Records().KVs {
				got = append(got, string(kv.Value))
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				w.Errorf("records = %v, want %v", got, want)
			}
		}
		check(l, "nodes/n", "ports/n/1", "ports/n/2")
		waiter := w.later(b, req)
		w.queued("n", 2)
		if _, err := l.Commit(w.Context(), lease.Write{Then: []clientv3.Op{clientv3.OpPut(w.root+"nodes/n", "changed")}}); err != nil {
			w.Fatal(err)
		}
		err := l.Release(w.Context(), lease.Write{Then: []clientv3.Op{clientv3.OpDelete(w.root + "ports/n/1")}})
		if err != nil {
			w.Fatal(err)
		}
		o := <-waiter
		if o.err != nil {
			w.Fatal(o.err)
		}
		check(o.lock, "changed", "ports/n/2")
		_, err = a.Acquire(w.Context(), lease.Request{Name: "x", Require: w.root + "nodes/x", Wait: lease.Patient})
		w.want(err, lease.ErrMissing)
		w.queued("x", 0)
		if got := w.get(w.root + "intents/x"); got != "" {
			w.Errorf("intent of a name that does not exist: %s", got)
		}
	})
}

func TestSessionEnds(t *testing.T) {
	contract(t, func(w *world) {
		a, b := w.open("a"), w.open("b")
		_, err := lease.Open(w.Context(), w.client(), lease.Config{Root: w.root, Holder: "a"})
		w.want(err, lease.ErrTaken)
		l := w.acquire(a, lease.Request{Name: "n"})
		waiter := w.later(b, lease.Request{Name: "n", Wait: lease.Patient})
		w.queued("n", 2)
		if err := a.Close(w.Context()); err != nil {
			w.Fatal(err)
		}
		w.want(context.Cause(l.Context()), lease.ErrClosed)
		w.want(l.Check(), lease.ErrClosed)
		if o := <-waiter; o.err != nil {
			w.Fatal(o.err)
		}
		_, err = a.Acquire(w.Context(), lease.Request{Name: "m"})
		w.want(err, lease.ErrClosed)
	})
}

func TestProofOfDeathEndsTheOldLocksAtOnce(t *testing.T) {
	contract(t, func(w *world) {
		old := w.open("a")
		l := w.acquire(old, lease.Request{Name: "n", Purpose: "deploy"})
		s := open(w, w.client(), lease.Config{Root: w.root, Holder: "a", OldIsGone: true})
		m := w.acquire(s, lease.Request{Name: "n"})
		if i := m.Abandoned(); i == nil || i.Purpose != "deploy" || i.Ticket != l.Ticket() {
			w.Errorf("abandoned = %+v", i)
		}
		<-l.Context().Done()
		w.want(context.Cause(l.Context()), lease.ErrLost)
	})
}

func TestManyNamesAllOrNone(t *testing.T) {
	contract(t, func(w *world) {
		a, b := w.open("a"), w.open("b")
		var rs []lease.Request
		for i := range 40 {
			rs = append(rs, lease.Request{Name: fmt.Sprint("n", i), Read: []string{w.root + "nodes/", w.root + "ports/", w.root + "x/"}})
		}
		ls, err := a.AcquireAll(w.Context(), 0, rs...)
		if err != nil {
			w.Fatal(err)
		}
		_, err = b.AcquireAll(w.Context(), 0, lease.Request{Name: "free"}, lease.Request{Name: "n7"})
		w.want(err, lease.ErrHeld)
		w.queued("free", 0)
		_, err = b.AcquireAll(w.Context(), 300*time.Millisecond, lease.Request{Name: "free"}, lease.Request{Name: "n7"})
		w.want(err, lease.ErrHeld)
		w.queued("free", 0)
		w.queued("n7", 1)
		for _, l := range ls {
			w.release(l)
		}
		if _, err := b.AcquireAll(w.Context(), 0, lease.Request{Name: "n1"}, lease.Request{Name: "n1"}); err == nil {
			w.Error("the same name twice was accepted")
		}
	})
}

func TestShardsOfTheLease(t *testing.T) {
	contract(t, func(w *world) {
		s := open(w, w.client(), lease.Config{Root: w.root, Holder: "a", ShardKeys: 6, TTL: 10 * time.Second})
		leases := map[clientv3.LeaseID]int{}
		for i := range 10 {
			w.acquire(s, lease.Request{Name: fmt.Sprint("n", i)})
		}
		qs, err := w.locks().List(w.Context())
		if err != nil {
			w.Fatal(err)
		}
		for _, q := range qs {
			leases[q.Entries[0].Lease]++
		}
		if len(qs) != 10 || len(leases) != 4 {
			w.Errorf("%d queues on leases %v, want 10 on 4", len(qs), leases)
		}
	})
}

func TestTextsAreBounded(t *testing.T) {
	contract(t, func(w *world) {
		s := w.open("a")
		for _, r := range []lease.Request{{Purpose: strings.Repeat("x", 1025)}, {User: strings.Repeat("x", 1025)}, {Detail: strings.Repeat("x", 1025)}} {
			r.Name = "n"
			if _, err := s.Acquire(w.Context(), r); err == nil || !strings.Contains(err.Error(), "1025 bytes") {
				w.Errorf("got %v, want a refusal", err)
			}
		}
		w.queued("n", 0)
	})
}
