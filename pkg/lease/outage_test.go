package lease_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
)

// lab is an etcd in memory whose network to each session can be spoiled. The world's own clients
// have a perfect one.
type lab struct {
	*world
	etcd *leasetest.Etcd
}

func inLab(t *testing.T, test func(b *lab)) {
	synctest.Test(t, func(t *testing.T) {
		e := leasetest.New()
		t.Cleanup(e.Close)
		probe := e.Client("probe")
		test(&lab{&world{T: t, root: "/lab/", client: func() *clientv3.Client { return probe }}, e})
	})
}

// queued is also the moment at which every session has heard of the queue.
func (b *lab) queued(name string, n int) lease.Queue {
	b.Helper()
	q := b.world.queued(name, n)
	synctest.Wait()
	return q
}

// session opens a session whose network has its name.
func (b *lab) session(name string, edit ...func(*lease.Config)) *lease.Session {
	b.Helper()
	cfg := lease.Config{Root: b.root, Holder: name}
	for _, f := range edit {
		f(&cfg)
	}
	s := open(b, b.etcd.Client(name), cfg)
	b.Cleanup(func() { // before the session is closed
		b.etcd.SetNetwork(name, leasetest.Network{})
		b.etcd.Heal(name)
	})
	return s
}

// keeper keeps a session whose network has its name.
func (b *lab) keeper(name string) *lease.Keeper {
	b.Helper()
	k, err := lease.Keep(b.Context(), b.etcd.Client(name), lease.Config{Root: b.root, Holder: name})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = k.Close(context.Background()) })
	return k
}

// until waits for something to become true, and fails after d.
func (b *lab) until(d time.Duration, what string, cond func() bool) {
	b.Helper()
	for start := time.Now(); !cond(); time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > d {
			b.Fatalf("not within %s: %s", d, what)
		}
	}
	synctest.Wait() // whoever made it so has done what else he does about it
}

// deletedAt waits for a key to be deleted and returns when that was.
func (b *lab) deletedAt(key string, rev int64) <-chan time.Time {
	at := make(chan time.Time, 1)
	events := b.client().Watch(b.Context(), key, clientv3.WithRev(rev), clientv3.WithFilterPut(), clientv3.WithCreatedNotify())
	<-events
	go func() {
		if w, ok := <-events; ok && len(w.Events) > 0 {
			at <- time.Now()
		}
	}()
	return at
}

func cause(l *lease.Lock) error { return context.Cause(l.Context()) }

// TestToldBeforeEtcdLetsGo is P3: however slow the answers were before the network broke, and
// whichever half of it broke, the holder is told before its entry vanishes.
func TestToldBeforeEtcdLetsGo(t *testing.T) {
	var mu sync.Mutex
	closest := time.Hour
	delays := []time.Duration{0, 200, 500, 1000, 1500, 2000, 2500, 3000, 3500, 4000, 5000} // ms
	cuts := []string{"both ways", "requests are lost", "answers are lost"}
	for i, delay := range delays {
		for j, cut := range cuts {
			t.Run(fmt.Sprintf("%dms, then %s", delay, cut), func(t *testing.T) {
				inLab(t, func(b *lab) {
					delay := delay * time.Millisecond
					network := leasetest.Network{Answer: func(leasetest.Call) leasetest.Fate { return leasetest.Fate{Delay: delay} }}
					if i%2 == 1 { // every other renewal is lost on top of it
						n := map[int64]int{}
						network.Request = func(c leasetest.Call) leasetest.Fate {
							r, ok := c.Request.(*pb.LeaseKeepAliveRequest)
							if !ok {
								return leasetest.Fate{}
							}
							mu.Lock()
							defer mu.Unlock()
							n[r.ID]++
							return leasetest.Fate{Lost: n[r.ID]%2 == 1}
						}
					}
					s := b.session("a")
					first, second := b.acquire(s, lease.Request{Name: "n1"}), b.acquire(s, lease.Request{Name: "n2", Mode: lease.Shared})
					b.etcd.SetNetwork("a", network)
					time.Sleep(40*time.Second + time.Duration(3*i+j)*371*time.Millisecond)
					if err := first.Check(); err != nil && !errors.Is(err, lease.ErrSuspect) {
						b.Fatalf("lost while only slow: %v", err)
					}
					gone := b.deletedAt(first.Key(), b.etcd.Revision())
					lost := func(leasetest.Call) leasetest.Fate { return leasetest.Fate{Lost: true} }
					switch cut {
					case "both ways":
						b.etcd.Cut("a")
					case "requests are lost":
						b.etcd.SetNetwork("a", leasetest.Network{Request: lost, Answer: network.Answer})
					default:
						b.etcd.SetNetwork("a", leasetest.Network{Request: network.Request, Answer: lost})
					}
					<-first.Context().Done()
					<-second.Context().Done()
					told := time.Now()
					margin := (<-gone).Sub(told)
					if margin <= 0 {
						b.Errorf("told %s after etcd had let go", -margin)
					}
					b.want(cause(first), lease.ErrLost)
					b.want(first.Check(), lease.ErrLost)
					mu.Lock()
					closest = min(closest, margin)
					mu.Unlock()
				})
			})
		}
	}
	t.Logf("the closest of %d: told %s before", len(delays)*len(cuts), closest)
}

func TestShortOutageCostsNothing(t *testing.T) {
	inLab(t, func(b *lab) {
		a, other := b.session("a"), b.session("b")
		l := b.acquire(a, lease.Request{Name: "n"})
		waiter := b.later(other, lease.Request{Name: "n", Wait: lease.Patient})
		b.queued("n", 2)
		for range 3 {
			time.Sleep(7 * time.Second)
			b.etcd.CutAll()
			time.Sleep(5 * time.Second)
			b.etcd.HealAll()
			time.Sleep(time.Second)
			b.want(l.Check(), nil)
		}
		if _, err := l.Commit(b.Context(), b.put("nodes/n", "x")); err != nil {
			b.Error(err)
		}
		b.release(l)
		if o := <-waiter; o.err != nil {
			b.Error(o.err)
		}
	})
}

func TestSuspectTakesNothingNewAndRecovers(t *testing.T) {
	inLab(t, func(b *lab) {
		a := b.session("a")
		l := b.acquire(a, lease.Request{Name: "n"})
		time.Sleep(time.Minute)
		b.etcd.Cut("a")
		b.until(13*time.Second, "suspect", func() bool { return a.State() == lease.Suspect })
		b.want(l.Check(), lease.ErrSuspect)
		_, err := a.Acquire(b.Context(), lease.Request{Name: "m"})
		b.want(err, lease.ErrSuspect)
		if err := l.Context().Err(); err != nil {
			b.Errorf("a suspect holder's context has ended: %v", cause(l))
		}
		b.etcd.Heal("a")
		b.until(time.Second, "live again", func() bool { return a.State() == lease.Live })
		b.want(l.Check(), nil)
		if _, err := l.Commit(b.Context(), b.put("nodes/n", "x")); err != nil {
			b.Error(err)
		}
	})
}

// A holder whose entry was deleted while nobody could tell it learns of it when it is back.
func TestEntryGoneDuringAnOutage(t *testing.T) {
	inLab(t, func(b *lab) {
		a := b.session("a")
		l := b.acquire(a, lease.Request{Name: "n"})
		b.etcd.Cut("a")
		time.Sleep(4 * time.Second)
		if _, err := b.client().Delete(b.Context(), l.Key()); err != nil {
			b.Fatal(err)
		}
		b.etcd.Heal("a")
		b.until(time.Second, "told", func() bool { return l.Context().Err() != nil })
		b.want(cause(l), lease.ErrLost)
	})
}

func TestLongOutageLosesAllAndTheKeeperRecovers(t *testing.T) {
	inLab(t, func(b *lab) {
		k := b.keeper("a")
		first, err := k.Current()
		if err != nil {
			b.Fatal(err)
		}
		l, m := b.acquire(first, lease.Request{Name: "n"}), b.acquire(first, lease.Request{Name: "m", Mode: lease.Shared})
		b.etcd.CutAll()
		time.Sleep(time.Minute)
		for _, l := range []*lease.Lock{l, m} {
			lost, ok := errors.AsType[*lease.LostError](cause(l))
			if !ok || lost.Reason != lease.Expired {
				b.Errorf("cause = %v", cause(l))
			}
		}
		if _, err := k.Current(); err == nil {
			b.Error("a session without etcd")
		}
		b.etcd.HealAll()
		b.until(5*time.Second, "a new session", func() bool { _, err := k.Current(); return err == nil })
		next, _ := k.Current()
		if next.ID() == first.ID() {
			b.Error("the lost session came back")
		}
		n := b.acquire(next, lease.Request{Name: "n"})
		if n.Token() <= l.Token() || n.Abandoned() == nil {
			b.Errorf("token %d after %d, abandoned %v", n.Token(), l.Token(), n.Abandoned())
		}
		b.want(l.Release(b.Context(), b.put("nodes/n", "late")), lease.ErrLost)
		if got := b.get(b.root + "nodes/n"); got != "" {
			b.Errorf("a late write landed: %s", got)
		}
	})
}

func TestLeaseRevokedBehindOurBack(t *testing.T) {
	inLab(t, func(b *lab) {
		a := b.session("a")
		l := b.acquire(a, lease.Request{Name: "n"})
		q := b.queued("n", 1)
		if _, err := b.client().Revoke(b.Context(), q.Entries[0].Lease); err != nil {
			b.Fatal(err)
		}
		b.until(time.Second, "the lock is lost", func() bool { return l.Context().Err() != nil })
		b.want(cause(l), lease.ErrLost)
		b.until(5*time.Second, "the session is lost", func() bool { return a.State() == lease.Lost })
	})
}

func TestSessionKeyDeleted(t *testing.T) {
	inLab(t, func(b *lab) {
		k := b.keeper("a")
		a, _ := k.Current()
		l := b.acquire(a, lease.Request{Name: "n"})
		if _, err := b.client().Delete(b.Context(), b.root+"conductors/a"); err != nil {
			b.Fatal(err)
		}
		_, err := a.Acquire(b.Context(), lease.Request{Name: "m"})
		b.want(err, lease.ErrLost)
		b.want(cause(l), lease.ErrLost)
		b.until(20*time.Second, "the next session", func() bool { s, err := k.Current(); return err == nil && s != a })
	})
}

func TestUnhealthyProcessLetsItsLocksGo(t *testing.T) {
	inLab(t, func(b *lab) {
		wedged := errors.New("the scheduler is stuck")
		var mu sync.Mutex
		var health error
		s, err := lease.Open(b.Context(), b.etcd.Client("a"), lease.Config{Root: b.root, Holder: "a", Healthy: func() error {
			mu.Lock()
			defer mu.Unlock()
			return health
		}})
		if err != nil {
			b.Fatal(err)
		}
		l := b.acquire(s, lease.Request{Name: "n"})
		waiter := b.later(b.session("b"), lease.Request{Name: "n", Wait: lease.Patient})
		time.Sleep(time.Minute)
		b.want(l.Check(), nil)
		mu.Lock()
		health = wedged
		mu.Unlock()
		start := time.Now()
		<-l.Context().Done()
		if o := <-waiter; o.err != nil || time.Since(start) > 20*time.Second {
			b.Errorf("the next got %v after %s", o.err, time.Since(start))
		}
		_ = s.Close(context.Background())
	})
}

// A leader of etcd that dies while the queue is read costs an upgrade and a downgrade time, and no more.
func TestReadsAreAskedAgain(t *testing.T) {
	inLab(t, func(b *lab) {
		l := b.acquire(b.session("a"), lease.Request{Name: "n", Mode: lease.Shared})
		failing := 3
		b.etcd.SetNetwork("a", leasetest.Network{Answer: func(c leasetest.Call) leasetest.Fate {
			if c.Method == "Txn" && failing > 0 {
				failing--
				return leasetest.Fate{Err: leasetest.ErrUnavailable}
			}
			return leasetest.Fate{}
		}})
		b.want(l.Upgrade(b.Context(), "up", 0), nil)
		failing = 3
		b.want(l.Downgrade(b.Context(), lease.Write{}), nil)
		b.release(l)
		x := b.acquire(b.session("c"), lease.Request{Name: "n"})
		b.release(x)
	})
}
