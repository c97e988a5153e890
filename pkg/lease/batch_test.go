package lease_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
)

// company runs a test in which the operations of session a that begin during one request travel
// together behind it: hold begins such a request, which takes a second.
func company(t *testing.T, test func(b *lab, a *lease.Session, hold func())) {
	defer lease.SetFlights(1)()
	inLab(t, func(b *lab) {
		a := b.session("a")
		test(b, a, func() {
			var once sync.Once
			b.etcd.SetNetwork("a", leasetest.Network{Request: func(c leasetest.Call) (f leasetest.Fate) {
				if c.Method == "Txn" {
					once.Do(func() { f.Delay = time.Second })
				}
				return f
			}})
			go func() {
				l := b.acquire(a, lease.Request{Name: fmt.Sprint("first", b.etcd.Revision())})
				_ = l.Release(b.Context(), lease.Write{}) // the test may spoil it
			}()
			synctest.Wait()
		})
	})
}

// together runs them at the same time and waits for all.
func together(fs ...func()) {
	var wg sync.WaitGroup
	for _, f := range fs {
		wg.Go(f)
	}
	wg.Wait()
}

func TestBatchIsOneRaftEntry(t *testing.T) {
	company(t, func(b *lab, a *lease.Session, hold func()) {
		const n = 20
		var ls [n]*lease.Lock
		acquire, release := make([]func(), n), make([]func(), n)
		for i := range n {
			acquire[i] = func() { ls[i] = b.acquire(a, lease.Request{Name: fmt.Sprint("n", i), Purpose: "x"}) }
			release[i] = func() {
				b.want(ls[i].Release(b.Context(), b.put(fmt.Sprint("nodes/n", i), "v")), nil)
			}
		}
		for _, step := range [][]func(){acquire, release} {
			hold()
			before := b.etcd.RaftEntries()
			together(step...)
			synctest.Wait()
			if got := b.etcd.RaftEntries() - before; got > 3 { // the held one, its release, and theirs
				b.Errorf("%d raft entries for %d operations that were ready at once", got, n)
			}
		}
		for i := range n {
			if got := b.get(b.root + fmt.Sprint("nodes/n", i)); got != "v" {
				b.Errorf("record of n%d = %q", i, got)
			}
			b.clean(fmt.Sprint("n", i))
		}
	})
}

// Each member of a batch has its own answer.
func TestBatchRefusesOnlyTheRefused(t *testing.T) {
	company(t, func(b *lab, a *lease.Session, hold func()) {
		other := b.acquire(b.session("b"), lease.Request{Name: "taken"})
		mine := b.acquire(a, lease.Request{Name: "mine"})
		stale := b.acquire(a, lease.Request{Name: "stale"})
		b.queued("taken", 1)
		hold()
		together(
			func() { b.acquire(a, lease.Request{Name: "free"}) },
			func() {
				_, err := a.Acquire(b.Context(), lease.Request{Name: "gone", Require: b.root + "nodes/gone"})
				b.want(err, lease.ErrMissing)
			},
			func() { b.want(mine.Release(b.Context(), b.put("nodes/mine", "v")), nil) },
			func() {
				w := b.put("nodes/stale", "v")
				w.If = []clientv3.Cmp{clientv3.Compare(clientv3.Version(b.root+"nodes/stale"), "=", 7)}
				_, err := stale.Commit(b.Context(), w)
				if _, ok := errors.AsType[*lease.ConflictError](err); !ok {
					b.Errorf("stale write: %v", err)
				}
			},
			func() {
				_, err := a.Acquire(b.Context(), lease.Request{Name: "taken", Wait: time.Minute})
				b.want(err, nil)
			},
			func() {
				b.queued("taken", 2)
				b.release(other)
			},
		)
		if got := b.get(b.root + "nodes/mine"); got != "v" {
			b.Errorf("record = %q", got)
		}
	})
}

// A batch that etcd refuses as a whole has a member that is to blame. The others do not notice.
func TestBatchRefusedAsAWhole(t *testing.T) {
	company(t, func(b *lab, a *lease.Session, hold func()) {
		bad, good := b.acquire(a, lease.Request{Name: "bad"}), b.acquire(a, lease.Request{Name: "good"})
		hold()
		together(
			func() {
				w := b.put("nodes/bad", "v")
				w.Then = append(w.Then, w.Then...) // etcd: duplicate key given in txn request
				_, err := bad.Commit(b.Context(), w)
				b.want(err, rpctypes.ErrDuplicateKey)
			},
			func() { b.want(good.Release(b.Context(), b.put("nodes/good", "v")), nil) },
			func() { b.acquire(a, lease.Request{Name: "n"}) },
		)
		b.want(bad.Check(), nil)
		if got := b.get(b.root + "nodes/good"); got != "v" {
			b.Errorf("record = %q", got)
		}
	})
}

// An overload is no reason to send sixty requests in place of one.
func TestBatchMeetsAnOverload(t *testing.T) {
	company(t, func(b *lab, a *lease.Session, hold func()) {
		hold()
		var txns atomic.Int64
		b.etcd.SetNetwork("a", leasetest.Network{Request: func(c leasetest.Call) leasetest.Fate {
			if c.Method != "Txn" {
				return leasetest.Fate{}
			}
			txns.Add(1)
			return leasetest.Fate{Lost: true, Err: rpctypes.ErrGRPCRequestTooManyRequests}
		}})
		fs := make([]func(), 10)
		for i := range fs {
			fs[i] = func() {
				_, err := a.Acquire(b.Context(), lease.Request{Name: fmt.Sprint("n", i)})
				b.want(err, rpctypes.ErrTooManyRequests)
			}
		}
		together(fs...)
		if n := txns.Load(); n > 3 {
			b.Errorf("%d requests", n)
		}
		b.etcd.SetNetwork("a", leasetest.Network{})
	})
}

// The answer of a batch is lost: each member finds out for itself that it was carried out.
func TestBatchAnswerIsLost(t *testing.T) {
	company(t, func(b *lab, a *lease.Session, hold func()) {
		held := b.acquire(a, lease.Request{Name: "held"})
		hold()
		var lost atomic.Bool
		network := leasetest.Network{Answer: func(c leasetest.Call) (f leasetest.Fate) {
			if r, ok := c.Request.(*pb.TxnRequest); ok && len(r.Compare) == 0 && len(r.Success) > 2 {
				f.Lost = lost.CompareAndSwap(false, true)
			}
			return f
		}}
		go func() {
			time.Sleep(500 * time.Millisecond) // what held it up is on its way, they are not
			b.etcd.SetNetwork("a", network)
		}()
		fs := []func(){func() { b.want(held.Release(b.Context(), b.put("nodes/held", "v")), nil) }}
		for i := range 5 {
			fs = append(fs, func() { b.release(b.acquire(a, lease.Request{Name: fmt.Sprint("n", i)})) })
		}
		together(fs...)
		if !lost.Load() {
			b.Error("no batch has lost its answer")
		}
		for _, name := range []string{"held", "n0", "n1", "n2", "n3", "n4"} {
			b.clean(name)
		}
	})
}

// Who gives up before his batch leaves, leaves nothing behind, and costs nothing.
func TestBatchWithoutThoseWhoLeft(t *testing.T) {
	company(t, func(b *lab, a *lease.Session, hold func()) {
		hold()
		ctx, cancel := context.WithTimeout(b.Context(), 100*time.Millisecond)
		defer cancel()
		before := b.etcd.RaftEntries()
		together(
			func() {
				_, err := a.Acquire(ctx, lease.Request{Name: "n", Wait: lease.Patient})
				b.want(err, context.DeadlineExceeded)
			},
			func() { b.release(b.acquire(a, lease.Request{Name: "other"})) },
		)
		time.Sleep(5 * time.Second)
		b.clean("n")
		if got := b.etcd.RaftEntries() - before; got > 4 { // two cycles
			b.Errorf("%d raft entries", got)
		}
	})
}

// Who gives up while his batch is under way, cannot know what becomes of it, and sees to it that
// nothing does.
func TestBatchGoesOnWithoutOne(t *testing.T) {
	company(t, func(b *lab, a *lease.Session, hold func()) {
		hold()
		time.AfterFunc(500*time.Millisecond, func() {
			b.etcd.SetNetwork("a", leasetest.Network{Request: func(c leasetest.Call) (f leasetest.Fate) {
				if r, ok := c.Request.(*pb.TxnRequest); ok && len(r.Success) > 1 && len(r.Compare) == 0 {
					f.Delay = 2 * time.Second
				}
				return f
			}})
		})
		ctx, cancel := context.WithTimeout(b.Context(), 2*time.Second)
		defer cancel()
		together(
			func() {
				_, err := a.Acquire(ctx, lease.Request{Name: "n", Wait: lease.Patient})
				b.want(err, context.DeadlineExceeded)
			},
			func() { b.release(b.acquire(a, lease.Request{Name: "other"})) },
		)
		time.Sleep(5 * time.Second)
		b.clean("n")
	})
}

// etcd evaluates all compares of a transaction before its first write. Two operations that would
// both find a place free must therefore not share one. (etcd itself refuses two puts of one key.)
func TestBatchKeepsRivalsApart(t *testing.T) {
	defer lease.SetFlights(1)()
	contract(t, func(w *world) {
		const n = 30
		s := w.open("a")
		var ls [n]*lease.Lock
		for i := range n {
			ls[i] = w.acquire(s, lease.Request{Name: fmt.Sprint("n", i)})
		}
		var won, refused atomic.Int64
		fs := make([]func(), n)
		for i, l := range ls {
			fs[i] = func() {
				place := fmt.Sprint(w.root, "index/place/", i%3, "/")
				_, err := l.Commit(w.Context(), lease.Write{
					If:   []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(place), "=", 0).WithPrefix()},
					Then: []clientv3.Op{clientv3.OpPut(place+l.Name(), l.Name())},
				})
				var conflict *lease.ConflictError
				switch {
				case err == nil:
					won.Add(1)
				case errors.As(err, &conflict):
					refused.Add(1)
				default:
					w.Error(err)
				}
			}
		}
		together(fs...)
		if won.Load() != 3 || refused.Load() != n-3 {
			w.Errorf("%d took a place and %d were refused, want 3 and %d", won.Load(), refused.Load(), n-3)
		}
	})
}

// Many and large operations at once stay within what etcd takes in one request.
func TestBatchWithinTheLimitsOfEtcd(t *testing.T) {
	defer lease.SetFlights(1)()
	contract(t, func(w *world) {
		s, large := w.open("a"), strings.Repeat("x", 200<<10)
		fs := make([]func(), 200)
		for i := range fs {
			fs[i] = func() {
				l := w.acquire(s, lease.Request{Name: fmt.Sprint("n", i)})
				wr := w.put(fmt.Sprint("nodes/n", i), "v")
				switch {
				case i%20 == 0:
					wr = w.put(fmt.Sprint("nodes/n", i), large)
				case i%20 == 1:
					for j := range 100 {
						wr.Then = append(wr.Then, w.put(fmt.Sprint("ports/n", i, "/", j), "v").Then...)
					}
				}
				w.want(l.Release(w.Context(), wr), nil)
			}
		}
		together(fs...)
		for i := range fs {
			if w.get(fmt.Sprint(w.root, "nodes/n", i)) == "" {
				w.Errorf("record %d is missing", i)
			}
		}
	})
}
