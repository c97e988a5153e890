package lease_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
)

// H6 and H13: requests whose answers are lost, and copies of requests that arrive when their
// callers have long gone on.

// spoil gives the writing transactions of a session their fates, in order: one for the request and
// one for the answer of each. All else arrives at once.
func (b *lab) spoil(name string, fates ...[2]leasetest.Fate) {
	var mu sync.Mutex
	answers := map[*pb.TxnRequest]leasetest.Fate{}
	b.etcd.SetNetwork(name, leasetest.Network{
		Request: func(c leasetest.Call) leasetest.Fate {
			mu.Lock()
			defer mu.Unlock()
			r, ok := c.Request.(*pb.TxnRequest)
			if !ok || len(r.Compare) == 0 || len(fates) == 0 {
				return leasetest.Fate{}
			}
			f := fates[0]
			fates, answers[r] = fates[1:], f[1]
			return f[0]
		},
		Answer: func(c leasetest.Call) leasetest.Fate {
			mu.Lock()
			defer mu.Unlock()
			if r, ok := c.Request.(*pb.TxnRequest); ok {
				return answers[r]
			}
			return leasetest.Fate{}
		},
	})
}

var (
	arrives    = leasetest.Fate{}
	lost       = leasetest.Fate{Lost: true}
	reset      = leasetest.Fate{Err: leasetest.ErrUnavailable} // and the request arrives
	tenSeconds = leasetest.Fate{Delay: 10 * time.Second}

	permissionDenied = status.Error(codes.PermissionDenied, "etcdserver: permission denied")

	answerLost = [2]leasetest.Fate{arrives, lost}
	answerCut  = [2]leasetest.Fate{reset, lost}
	late       = [2]leasetest.Fate{tenSeconds, lost}
)

// clean fails if anything is left of a name a while after all has been released.
func (b *lab) clean(name string) {
	b.Helper()
	time.Sleep(30 * time.Second) // shorter than the time to the next listing
	b.queued(name, 0)
	for _, key := range []string{"locks/" + name + "/upgrade", "intents/" + name} {
		if got := b.get(b.root + key); got != "" {
			b.Errorf("left: %s = %s", key, got)
		}
	}
}

// H6: a release that is sent again, since its answer was lost, finds the next holder and leaves it alone.
func TestH6ReleaseSentAgain(t *testing.T) {
	for name, fate := range map[string][2]leasetest.Fate{"answer lost": answerLost, "connection cut": answerCut} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(b *lab) {
				a, other := b.session("a"), b.session("b")
				l := b.acquire(a, lease.Request{Name: "n"})
				waiter := b.later(other, lease.Request{Name: "n", Wait: lease.Patient})
				b.queued("n", 2)
				b.spoil("a", fate)
				err := l.Release(b.Context(), b.put("nodes/n", "by a"))
				b.want(err, nil)
				o := <-waiter
				b.want(o.err, nil)
				_, err = o.lock.Commit(b.Context(), b.put("nodes/n", "by b"))
				b.want(err, nil)
				time.Sleep(time.Minute)
				b.want(o.lock.Check(), nil)
				b.queued("n", 1)
				b.release(o.lock)
				b.clean("n")
			})
		})
	}
}

// A wait that is over before etcd has answered names who has the lock, if that is known, and what
// etcd did of it nevertheless goes away.
func TestWaitOverBeforeTheAnswer(t *testing.T) {
	inLab(t, func(b *lab) {
		a, other := b.session("a"), b.session("b")
		b.spoil("b", answerLost)
		_, err := other.Acquire(b.Context(), lease.Request{Name: "free", Wait: 200 * time.Millisecond})
		b.want(err, context.DeadlineExceeded)
		l := b.acquire(a, lease.Request{Name: "n", Purpose: "clean"})
		time.Sleep(time.Second) // the other session has heard of it
		b.spoil("b", answerLost)
		_, err = other.Acquire(b.Context(), lease.Request{Name: "n", Wait: 200 * time.Millisecond})
		held, ok := errors.AsType[*lease.HeldError](err)
		if !ok || held.Holder().Purpose != "clean" || len(held.Queue.Entries) != 1 || held.Waited < 200*time.Millisecond {
			b.Errorf("got %v, want who has the lock", err)
		}
		time.Sleep(time.Minute)
		b.queued("n", 1)
		b.release(l)
		b.clean("n")
	})
}

// An etcd that answers nothing for as long as the election of a leader takes, costs no final
// write: the release goes on while the session lives.
func TestReleaseOutlivesAnElection(t *testing.T) {
	inLab(t, func(b *lab) {
		a := b.session("a")
		l := b.acquire(a, lease.Request{Name: "n"})
		b.etcd.Cut("a")
		time.AfterFunc(8*time.Second, func() { b.etcd.Heal("a") })
		b.want(l.Release(b.Context(), b.put("nodes/n", "by a")), nil)
		if got := b.get(b.root + "nodes/n"); got != "by a" {
			b.Errorf("record = %q", got)
		}
		b.clean("n")
	})
}

// With a context that has ended, a release gives up soon; the lock goes in the background.
func TestReleaseInAHurry(t *testing.T) {
	inLab(t, func(b *lab) {
		a := b.session("a")
		l := b.acquire(a, lease.Request{Name: "n"})
		b.etcd.Cut("a")
		ctx, cancel := context.WithCancel(b.Context())
		cancel()
		start := time.Now()
		b.want(l.Release(ctx, b.put("nodes/n", "by a")), context.DeadlineExceeded)
		if took := time.Since(start); took > 11*time.Second {
			b.Errorf("took %s", took)
		}
		b.etcd.Heal("a")
		time.Sleep(time.Minute)
		b.queued("n", 0)
	})
}

// A release that landed is a success even if the next holder has written over the record by the
// time that it is sent again.
func TestReleaseLandedAndWrittenOver(t *testing.T) {
	inLab(t, func(b *lab) {
		a, other := b.session("a"), b.session("b")
		l := b.acquire(a, lease.Request{Name: "n"})
		next := make(chan error, 1)
		go func() {
			m, err := other.Acquire(b.Context(), lease.Request{Name: "n", Wait: lease.Patient})
			if err == nil {
				_, err = m.Commit(b.Context(), b.put("nodes/n", "by b"))
			}
			next <- err
		}()
		b.queued("n", 2)
		b.spoil("a", answerCut)
		b.want(l.Release(b.Context(), b.put("nodes/n", "by a")), nil)
		b.want(<-next, nil)
		if got := b.get(b.root + "nodes/n"); got != "by b" {
			b.Errorf("record = %q", got)
		}
	})
}

// H13: a request that arrives after its caller has given up leaves no entry and blocks nobody.
func TestH13RequestArrivesAfterItsCallerLeft(t *testing.T) {
	for _, delay := range []time.Duration{time.Second, 8 * time.Second, 30 * time.Second} {
		for _, wait := range []time.Duration{0, 20 * time.Second, lease.Patient} {
			t.Run(fmt.Sprint(delay, wait), func(t *testing.T) {
				inLab(t, func(b *lab) {
					a, other := b.session("a"), b.session("b")
					b.spoil("a", [2]leasetest.Fate{{Delay: delay}, {}})
					ctx, cancel := context.WithTimeout(b.Context(), 500*time.Millisecond)
					defer cancel()
					_, err := a.Acquire(ctx, lease.Request{Name: "n", Wait: wait})
					b.want(err, context.DeadlineExceeded)
					time.Sleep(time.Second)
					l := b.acquire(other, lease.Request{Name: "n", Wait: 2 * time.Second})
					time.Sleep(delay)
					b.queued("n", 1)
					b.release(l)
					b.clean("n")
				})
			})
		}
	}
}

// A try is sent twice. The second copy is refused; the first arrives when the lock is free.
func TestH13TryRefusedAndItsFirstCopyLate(t *testing.T) {
	inLab(t, func(b *lab) {
		a, other := b.session("a"), b.session("b")
		b.spoil("a", late)
		done := b.later(a, lease.Request{Name: "n"})
		time.Sleep(time.Second)
		l := b.acquire(other, lease.Request{Name: "n"})
		b.want((<-done).err, lease.ErrHeld)
		b.release(l)
		b.clean("n")
	})
}

// The second copy of a request takes the lock, which is released before the first arrives.
func TestH13AcquiredBySecondCopy(t *testing.T) {
	for name, use := range map[string]func(b *lab, l *lease.Lock){
		"released": func(b *lab, l *lease.Lock) { b.release(l) },
		"downgraded": func(b *lab, l *lease.Lock) {
			b.want(l.Downgrade(b.Context(), lease.Write{}), nil)
			time.Sleep(6 * time.Second)
			b.want(l.Check(), nil)
			b.queued("n", 1)
			b.release(l)
		},
		"broken": func(b *lab, l *lease.Lock) {
			_, err := b.locks().Break(b.Context(), "n", b.queued("n", 1).Entries[0].Create, "op", "test")
			b.want(err, nil)
			<-l.Context().Done()
			b.want(l.Release(b.Context(), lease.Write{}), lease.ErrLost)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(b *lab) {
				a := b.session("a")
				b.spoil("a", late)
				l := b.acquire(a, lease.Request{Name: "n"})
				use(b, l)
				if name == "broken" { // its intent stays
					time.Sleep(30 * time.Second)
					b.queued("n", 0)
					return
				}
				b.clean("n")
			})
		})
	}
}

// A request that got no answer and is then refused by etcd itself may still have left an entry.
func TestH13RefusedAfterAnUnknownOutcome(t *testing.T) {
	inLab(t, func(b *lab) {
		a := b.session("a")
		refused := [2]leasetest.Fate{{Lost: true, Err: permissionDenied}, {}}
		b.spoil("a", answerCut, refused)
		_, err := a.Acquire(b.Context(), lease.Request{Name: "n"})
		if err == nil {
			b.Fatal("the refusal was not reported")
		}
		b.clean("n")
	})
}

// An upgrade fails while copies of its request are under way; none of them becomes a slot later.
func TestH13LateSlot(t *testing.T) {
	for name, after := range map[string]func(b *lab, l *lease.Lock){
		"held on": func(b *lab, l *lease.Lock) {
			time.Sleep(20 * time.Second)
			if u := b.queued("n", 1).Upgrade; u != nil {
				b.Errorf("a slot stands: %+v", u)
			}
			b.want(l.Upgrade(b.Context(), "again", 0), nil)
			_, err := l.Commit(b.Context(), b.put("nodes/n", "x"))
			b.want(err, nil)
		},
		"released": func(*lab, *lease.Lock) {},
	} {
		for _, fate := range [][2]leasetest.Fate{late, answerLost} {
			t.Run(fmt.Sprint(name, fate), func(t *testing.T) {
				inLab(t, func(b *lab) {
					l := b.acquire(b.session("a"), lease.Request{Name: "n", Mode: lease.Shared})
					b.spoil("a", fate)
					ctx, cancel := context.WithTimeout(b.Context(), time.Second)
					defer cancel()
					b.want(l.Upgrade(ctx, "up", 0), context.DeadlineExceeded)
					b.want(l.Check(), nil)
					after(b, l)
					b.release(l)
					b.clean("n")
				})
			})
		}
	}
}

// The second copy of an upgrade wins; the first arrives after the downgrade.
func TestH13LateSlotAfterTheDowngrade(t *testing.T) {
	inLab(t, func(b *lab) {
		l := b.acquire(b.session("a"), lease.Request{Name: "n", Mode: lease.Shared})
		b.spoil("a", late)
		b.want(l.Upgrade(b.Context(), "up", 0), nil)
		b.want(l.Downgrade(b.Context(), b.put("nodes/n", "x")), nil)
		time.Sleep(20 * time.Second)
		if u := b.queued("n", 1).Upgrade; u != nil {
			b.Errorf("a slot stands: %+v", u)
		}
		b.acquire(b.session("b"), lease.Request{Name: "n", Mode: lease.Shared})
		b.release(l)
	})
}

// A pending upgrade is given up, and etcd does not answer for a while. The next upgrade must not
// take the old slot for its own.
func TestUpgradeWhileTheOldSlotIsBeingDropped(t *testing.T) {
	inLab(t, func(b *lab) {
		h := follow(b, b.etcd.Client("history"), b.root, nil)
		a, other := b.session("a"), b.session("b")
		l := b.acquire(a, lease.Request{Name: "n", Mode: lease.Shared})
		r := b.acquire(other, lease.Request{Name: "n", Mode: lease.Shared})
		b.spoil("a", [2]leasetest.Fate{}, [2]leasetest.Fate{lost, lost}, [2]leasetest.Fate{{Delay: 12 * time.Second}, {}})
		b.want(l.Upgrade(b.Context(), "one", time.Second), lease.ErrHeld) // and the drop is lost
		time.Sleep(100 * time.Millisecond)                                // the next drop is on its way
		b.release(r)
		b.want(l.Upgrade(b.Context(), "two", lease.Patient), nil)
		for i := range 30 {
			_, err := l.Commit(b.Context(), b.put("nodes/n", record{i + 1, l.Ticket(), l.Token()}.String()))
			b.want(err, nil)
			time.Sleep(time.Second)
		}
		b.release(l)
		for _, w := range h.finish(b.Context()) {
			b.Error(w)
		}
		b.clean("n")
	})
}

// Answers to downgrades are lost; the lock is shared all the same, and stays so.
func TestDowngradeSentAgain(t *testing.T) {
	for _, upgraded := range []bool{false, true} {
		for name, fate := range map[string][2]leasetest.Fate{"answer lost": answerLost, "connection cut": answerCut} {
			t.Run(fmt.Sprint(name, upgraded), func(t *testing.T) {
				inLab(t, func(b *lab) {
					mode := lease.Exclusive
					if upgraded {
						mode = lease.Shared
					}
					l := b.acquire(b.session("a"), lease.Request{Name: "n", Mode: mode})
					if upgraded {
						b.want(l.Upgrade(b.Context(), "", 0), nil)
					}
					b.spoil("a", fate)
					b.want(l.Downgrade(b.Context(), b.put("nodes/n", "x")), nil)
					if l.Mode() != lease.Shared {
						b.Errorf("mode = %s", l.Mode())
					}
					r := b.acquire(b.session("b"), lease.Request{Name: "n", Mode: lease.Shared})
					time.Sleep(2 * time.Minute)
					b.want(l.Check(), nil)
					b.release(r)
					b.want(l.Upgrade(b.Context(), "", 0), nil)
					b.release(l)
					b.clean("n")
				})
			})
		}
	}
}

// The caller gives a downgrade up before its outcome is known. When it has landed, the lock is
// shared and not lost.
func TestDowngradeOfUnknownOutcome(t *testing.T) {
	for _, upgraded := range []bool{false, true} {
		t.Run(fmt.Sprint(upgraded), func(t *testing.T) {
			inLab(t, func(b *lab) {
				mode := lease.Exclusive
				if upgraded {
					mode = lease.Shared
				}
				l := b.acquire(b.session("a"), lease.Request{Name: "n", Mode: mode})
				if upgraded {
					b.want(l.Upgrade(b.Context(), "", 0), nil)
				}
				b.spoil("a", [2]leasetest.Fate{{Delay: 3 * time.Second}, lost})
				ctx, cancel := context.WithTimeout(b.Context(), time.Second)
				defer cancel()
				b.want(l.Downgrade(ctx, lease.Write{}), context.DeadlineExceeded)
				time.Sleep(5 * time.Second)
				b.want(l.Check(), nil)
				if l.Mode() != lease.Shared {
					b.Errorf("mode = %s", l.Mode())
				}
				b.release(l)
				b.clean("n")
			})
		})
	}
}

// A break is noticed after a downgrade that was refused.
func TestBrokenAfterARefusedDowngrade(t *testing.T) {
	inLab(t, func(b *lab) {
		l := b.acquire(b.session("a"), lease.Request{Name: "n"})
		if _, err := b.client().Put(b.Context(), b.root+"locks/n/foreign", ""); err != nil {
			b.Fatal(err)
		}
		b.want(l.Downgrade(b.Context(), lease.Write{}), lease.ErrForeignWaiter)
		w := lease.Write{If: []clientv3.Cmp{clientv3.Compare(clientv3.Version("x"), ">", 0)}}
		if _, err := b.client().Delete(b.Context(), b.root+"locks/n/foreign"); err != nil {
			b.Fatal(err)
		}
		b.want(l.Downgrade(b.Context(), w), lease.ErrConflict)
		if _, err := b.client().Delete(b.Context(), l.Key()); err != nil {
			b.Fatal(err)
		}
		b.until(time.Second, "told", func() bool { return l.Context().Err() != nil })
	})
}

// The events of a lock's own entry are lost. That is no reason to believe that the entry is gone.
func TestOwnEntryNeverSeen(t *testing.T) {
	inLab(t, func(b *lab) {
		a := b.session("a")
		time.Sleep(time.Millisecond) // it has read the queues, and follows them
		b.etcd.SetNetwork("a", leasetest.Network{Answer: func(c leasetest.Call) leasetest.Fate {
			r, ok := c.Answer.(*pb.WatchResponse)
			return leasetest.Fate{Lost: ok && len(r.Events) > 0}
		}})
		l := b.acquire(a, lease.Request{Name: "n"})
		time.Sleep(time.Millisecond) // the event has come and gone
		b.etcd.SetNetwork("a", leasetest.Network{})
		waiter := b.later(b.session("b"), lease.Request{Name: "n", Wait: lease.Patient})
		b.queued("n", 2)
		time.Sleep(5 * time.Second)
		b.want(l.Check(), nil)
		b.release(l)
		b.want((<-waiter).err, nil)
	})
}

// TestTenThousandWaiters holds the cost of one waiter, and that nothing is left of it.
func TestTenThousandWaiters(t *testing.T) {
	const names, each, bound = 1000, 10, 25 << 10
	synctest.Test(t, func(t *testing.T) {
		e := leasetest.New()
		t.Cleanup(e.Close)
		holder, s := open(t, e.Client("a"), lease.Config{Holder: "a"}), open(t, e.Client("b"), lease.Config{Holder: "b"})
		for i := range names {
			if _, err := holder.Acquire(t.Context(), lease.Request{Name: fmt.Sprint("n", i)}); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		before := settled()
		var wg sync.WaitGroup
		for i := range names * each {
			wg.Go(func() {
				_, err := s.Acquire(ctx, lease.Request{Name: fmt.Sprint("n", i%names), Wait: lease.Patient})
				if !errors.Is(err, context.Canceled) {
					t.Errorf("waiter got %v", err)
				}
			})
		}
		synctest.Wait()
		goroutines := runtime.NumGoroutine()
		waiting := settled()
		server := serverShare(t, e)
		per := (int64(waiting-before) - int64(server)) / (names * each)
		t.Logf("%d waiters: %d bytes each, and %d of the server in memory", names*each, per, server/(names*each))
		if per > bound {
			t.Errorf("a waiter takes %d bytes, want at most %d", per, bound)
		}
		cancel()
		wg.Wait()
		synctest.Wait()
		settled() // a collection under way has the ended goroutines in hand, and NumGoroutine counts those
		if left := runtime.NumGoroutine(); left > goroutines-names*each {
			t.Errorf("%d goroutines while waiting, %d after", goroutines, left)
		}
		qs, err := lease.Locks{Client: e.Client("a")}.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range qs {
			if len(q.Entries) != 1 {
				t.Fatalf("%d entries are left of %s", len(q.Entries), q.Name)
			}
		}
	})
}

func settled() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// serverShare puts the keys of e into another etcd, with nobody but itself to remember them, and
// returns what that took.
func serverShare(t *testing.T, e *leasetest.Etcd) uint64 {
	t.Helper()
	r, err := e.Client("a").Get(t.Context(), lease.DefaultRoot+"locks/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	before := settled()
	copied := leasetest.New()
	defer copied.Close()
	c := copied.Client("c")
	for _, kv := range r.Kvs {
		if _, err := c.Put(t.Context(), string(kv.Key), string(kv.Value)); err != nil {
			t.Fatal(err)
		}
	}
	share := settled() - before
	runtime.KeepAlive(copied)
	runtime.KeepAlive(r)
	return share
}

// A newcomer comes between the look and the downgrade, and is gone when it is looked for. The
// records have not changed, so this is no conflict.
func TestDowngradeBesideAFleetingNewcomer(t *testing.T) {
	inLab(t, func(b *lab) {
		l := b.acquire(b.session("a"), lease.Request{Name: "n"})
		other := b.session("b")
		b.etcd.SetNetwork("a", leasetest.Network{
			Request: func(c leasetest.Call) leasetest.Fate { return leasetest.Fate{Delay: time.Second} },
			Answer:  func(c leasetest.Call) leasetest.Fate { return leasetest.Fate{Delay: time.Second} },
		})
		go func() { // enters after the look at 1 s, leaves before the next
			time.Sleep(1500 * time.Millisecond)
			_, err := other.Acquire(b.Context(), lease.Request{Name: "n", Wait: 1700 * time.Millisecond})
			b.want(err, lease.ErrHeld)
		}()
		w := b.put("nodes/n", "x")
		w.If = []clientv3.Cmp{clientv3.Compare(clientv3.Version(b.root+"nodes/n"), "=", 0)}
		b.want(l.Downgrade(b.Context(), w), nil)
	})
}

// A waiter that gives up leaves the holder's intent alone.
func TestIntentOutlivesALeavingWaiter(t *testing.T) {
	inLab(t, func(b *lab) {
		l := b.acquire(b.session("a"), lease.Request{Name: "n", Purpose: "deploy"})
		_, err := b.session("b").Acquire(b.Context(), lease.Request{Name: "n", Wait: time.Second})
		b.want(err, lease.ErrHeld)
		if got := b.get(b.root + "intents/n"); got == "" {
			b.Error("the holder's intent is gone")
		}
		b.release(l)
		b.clean("n")
	})
}

// A try whose mirror has not heard of the holder yet is refused by etcd.
func TestTryAgainstAStaleView(t *testing.T) {
	inLab(t, func(b *lab) {
		a, other := b.session("a"), b.session("b")
		b.etcd.SetNetwork("b", leasetest.Network{Answer: func(c leasetest.Call) leasetest.Fate {
			if c.Method == "Watch" {
				return leasetest.Fate{Delay: time.Minute}
			}
			return leasetest.Fate{}
		}})
		for _, mode := range []lease.Mode{lease.Exclusive, lease.Shared} {
			l := b.acquire(a, lease.Request{Name: string(mode), Mode: mode})
			start := time.Now()
			_, err := other.Acquire(b.Context(), lease.Request{Name: string(mode)})
			b.want(err, lease.ErrHeld)
			if took := time.Since(start); took > time.Second {
				b.Errorf("a try took %s", took)
			}
			b.queued(string(mode), 1)
			b.release(l)
		}
	})
}

// One of two entries is deleted by hand before the request, whose answer was lost, is sent again:
// the whole is lost, and nothing is asked for without end.
func TestOneOfManyDeletedWhileUnderWay(t *testing.T) {
	inLab(t, func(b *lab) {
		a := b.session("a")
		b.spoil("a", answerLost)
		done := make(chan error, 1)
		go func() {
			_, err := a.AcquireAll(b.Context(), lease.Patient, lease.Request{Name: "n1"}, lease.Request{Name: "n2"})
			done <- err
		}()
		q := b.queued("n1", 1)
		if _, err := b.client().Delete(b.Context(), q.Entries[0].Key); err != nil {
			b.Fatal(err)
		}
		b.want(<-done, lease.ErrLost)
		b.clean("n1")
		b.clean("n2")
	})
}
