package lease_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
)

// One test for each hazard that locks on etcd are known for. The numbers are those of the list in
// the design notes. H1, H2, H17, H20 and H21 are in outage_test.go and trust_test.go, late copies
// of requests (H6, H13) in late_test.go, H14 in model_test.go.

// counter reads a counter of the metrics of a session.
func counter(t *testing.T, reg *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func measured(reg *prometheus.Registry) func(*lease.Config) {
	return func(c *lease.Config) { c.Metrics = lease.NewMetrics(reg) }
}

// H3: a write that was sent in time and arrives when another owns the lock changes nothing.
func TestH3LateWriteOfADeadHolder(t *testing.T) {
	inLab(t, func(b *lab) {
		a, next := b.session("a"), b.session("b")
		l := b.acquire(a, lease.Request{Name: "n"})
		waiter := b.later(next, lease.Request{Name: "n", Wait: lease.Patient})
		b.queued("n", 2)
		b.etcd.SetNetwork("a", leasetest.Network{Request: func(leasetest.Call) leasetest.Fate {
			return leasetest.Fate{Delay: 25 * time.Second}
		}})
		_, err := l.Commit(b.Context(), b.put("nodes/n", "late"))
		b.want(err, lease.ErrLost)
		o := <-waiter
		if o.err != nil {
			b.Fatal(o.err)
		}
		if _, err := o.lock.Commit(b.Context(), b.put("nodes/n", "by the owner")); err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := b.get(b.root + "nodes/n"); got != "by the owner" {
			b.Errorf("record = %q", got)
		}
	})
}

// H3: so does a release with a final write.
func TestH3LateReleaseOfADeadHolder(t *testing.T) {
	inLab(t, func(b *lab) {
		a, next := b.session("a"), b.session("b")
		l := b.acquire(a, lease.Request{Name: "n"})
		waiter := b.later(next, lease.Request{Name: "n", Wait: lease.Patient})
		b.queued("n", 2)
		b.etcd.SetNetwork("a", leasetest.Network{Request: func(leasetest.Call) leasetest.Fate {
			return leasetest.Fate{Delay: 25 * time.Second}
		}})
		b.want(l.Release(b.Context(), b.put("nodes/n", "late")), lease.ErrLost)
		o := <-waiter
		b.want(o.err, nil)
		_, err := o.lock.Commit(b.Context(), b.put("nodes/n", "by the owner"))
		b.want(err, nil)
		time.Sleep(time.Minute)
		b.want(o.lock.Check(), nil)
		if got := b.get(b.root + "nodes/n"); got != "by the owner" {
			b.Errorf("record = %q", got)
		}
	})
}

// H4: an upgrade that is asked for and not granted is no right to write.
func TestH4NoWriteWhileWaiting(t *testing.T) {
	inLab(t, func(b *lab) {
		a, other := b.session("a"), b.session("b")
		l := b.acquire(a, lease.Request{Name: "n", Mode: lease.Shared})
		r := b.acquire(other, lease.Request{Name: "n", Mode: lease.Shared})
		done := make(chan error, 1)
		go func() { done <- l.Upgrade(b.Context(), "up", lease.Patient) }()
		b.until(time.Second, "the slot stands", func() bool { return b.queued("n", 2).Upgrade != nil })
		if l.Mode() != lease.Shared {
			b.Errorf("mode = %s", l.Mode())
		}
		b.release(r)
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		if _, err := l.Commit(b.Context(), b.put("nodes/n", "x")); err != nil {
			b.Error(err)
		}
	})
}

// H5: a waiter that came before an upgrade is granted after it, with a greater token.
func TestH5TokensFollowTheGrants(t *testing.T) {
	inLab(t, func(b *lab) {
		a, other := b.session("a"), b.session("b")
		l := b.acquire(a, lease.Request{Name: "n", Mode: lease.Shared})
		waiter := b.later(other, lease.Request{Name: "n", Wait: lease.Patient})
		b.queued("n", 2)
		if err := l.Upgrade(b.Context(), "", 0); err != nil {
			b.Fatal(err)
		}
		slot := b.queued("n", 2).Upgrade.Create
		if l.Token() < lease.Token(slot) {
			b.Errorf("token %d of the upgrade of revision %d", l.Token(), slot)
		}
		b.release(l)
		if o := <-waiter; o.err != nil || o.lock.Token() <= l.Token() {
			b.Errorf("waiter: %v, after token %d", o, l.Token())
		}
	})
}

// H7: tasks of one session exclude each other, and one's try does not disturb another's waiting.
func TestH7TasksOfOneSession(t *testing.T) {
	inLab(t, func(b *lab) {
		a := b.session("a")
		l := b.acquire(a, lease.Request{Name: "n"})
		waiter := b.later(a, lease.Request{Name: "n", Wait: lease.Patient})
		b.queued("n", 2)
		_, err := a.Acquire(b.Context(), lease.Request{Name: "n"})
		b.want(err, lease.ErrHeld)
		b.queued("n", 2)
		b.release(l)
		o := <-waiter
		if o.err != nil {
			b.Fatal(o.err)
		}
		b.queued("n", 1)
		b.want(l.Release(b.Context(), lease.Write{}), nil) // once more
		b.queued("n", 1)
		b.want(o.lock.Check(), nil)
	})
}

// H8: who waits hears of the loss of its session, its lease or its entry.
func TestH8LossWhileWaiting(t *testing.T) {
	for name, harm := range map[string]func(b *lab, e lease.Entry) error{
		"lease revoked": func(b *lab, e lease.Entry) error {
			_, err := b.client().Revoke(b.Context(), e.Lease)
			return err
		},
		"entry deleted": func(b *lab, e lease.Entry) error {
			_, err := b.client().Delete(b.Context(), e.Key)
			return err
		},
		"cut off": func(b *lab, _ lease.Entry) error { b.etcd.Cut("b"); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(b *lab) {
				l := b.acquire(b.session("a"), lease.Request{Name: "n"})
				waiter := b.later(b.session("b"), lease.Request{Name: "n", Wait: lease.Patient})
				if err := harm(b, b.queued("n", 2).Entries[1]); err != nil {
					b.Fatal(err)
				}
				b.want((<-waiter).err, lease.ErrLost)
				time.Sleep(20 * time.Second)
				b.queued("n", 1)
				b.want(l.Check(), nil)
			})
		})
	}
}

// H9, H10, H11: events that are late cost their lateness, events that never come cost the safety
// timer, and nothing else.
func TestH11EventsLateAndLost(t *testing.T) {
	for _, tt := range []struct {
		name          string
		fate          leasetest.Fate
		atLeast, most time.Duration
		rescues       bool
	}{
		{"late", leasetest.Fate{Delay: 3 * time.Second}, 0, 3 * time.Second, false},
		{"lost", leasetest.Fate{Lost: true}, time.Second, 40 * time.Second, true},
		{"broken off", leasetest.Fate{Err: leasetest.ErrUnavailable}, 0, 5 * time.Second, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inLab(t, func(b *lab) {
				reg := prometheus.NewRegistry()
				l := b.acquire(b.session("a"), lease.Request{Name: "n"})
				w := b.session("b", measured(reg))
				first := b.later(w, lease.Request{Name: "n", Mode: lease.Shared, Wait: lease.Patient})
				second := b.later(w, lease.Request{Name: "n", Mode: lease.Shared, Wait: lease.Patient})
				b.queued("n", 3)
				once := true
				b.etcd.SetNetwork("b", leasetest.Network{Answer: func(c leasetest.Call) leasetest.Fate {
					if r, ok := c.Answer.(*pb.WatchResponse); ok && len(r.Events) > 0 && (once || !tt.rescues && tt.fate.Err == nil) {
						once = tt.rescues
						return tt.fate
					}
					return leasetest.Fate{}
				}})
				start := time.Now()
				b.release(l)
				for _, c := range []<-chan outcome{first, second} {
					if o := <-c; o.err != nil {
						b.Fatal(o.err)
					}
				}
				if took := time.Since(start); took < tt.atLeast || took > tt.most {
					b.Errorf("took %s", took)
				}
				if n := counter(b.T, reg, "conductor_lock_safety_timer_rescues_total"); (n > 0) != tt.rescues {
					b.Errorf("%v rescues counted", n)
				}
			})
		})
	}
}

// H12: waiters keep their places while history is compacted under broken watches.
func TestH12CompactionWhileWaiting(t *testing.T) {
	inLab(t, func(b *lab) {
		holder, s := b.session("a"), b.session("b")
		l := b.acquire(holder, lease.Request{Name: "n"})
		var waiters []<-chan outcome
		for i := range 3 {
			waiters = append(waiters, b.later(s, lease.Request{Name: "n", Wait: lease.Patient}))
			b.queued("n", i+2)
		}
		for i := range 600 { // a minute
			if _, err := b.client().Put(b.Context(), b.root+"elsewhere", fmt.Sprint(i)); err != nil {
				b.Fatal(err)
			}
			if _, err := b.client().Compact(b.Context(), b.etcd.Revision()); err != nil {
				b.Fatal(err)
			}
			if i%7 == 0 {
				b.etcd.Break("b")
			}
			time.Sleep(100 * time.Millisecond)
			if i%200 == 199 {
				b.release(l)
				o := <-waiters[i/200]
				if o.err != nil {
					b.Fatal(o.err)
				}
				l = o.lock
			}
		}
	})
}

// H14: an upgrade that was asked for when a writer waited arrives when the reader behind it holds.
func TestH14UpgradeFromAStaleView(t *testing.T) {
	inLab(t, func(b *lab) {
		h := follow(b, b.etcd.Client("history"), b.root, nil)
		a, writer, reader := b.session("a"), b.session("b"), b.session("c")
		l := b.acquire(a, lease.Request{Name: "n", Mode: lease.Shared})
		gone := b.later(writer, lease.Request{Name: "n", Wait: 3 * time.Second})
		b.queued("n", 2)
		behind := b.later(reader, lease.Request{Name: "n", Mode: lease.Shared, Wait: lease.Patient})
		b.queued("n", 3)
		b.etcd.SetNetwork("a", leasetest.Network{Request: func(c leasetest.Call) leasetest.Fate {
			if r, ok := c.Request.(*pb.TxnRequest); ok && len(r.Compare) > 0 {
				return leasetest.Fate{Delay: 4 * time.Second}
			}
			return leasetest.Fate{}
		}})
		up := make(chan error, 1)
		go func() { up <- l.Upgrade(b.Context(), "up", lease.Patient) }()
		b.want((<-gone).err, lease.ErrHeld)
		r := <-behind
		b.want(r.err, nil)
		time.Sleep(20 * time.Second)
		b.want(r.lock.Check(), nil)
		b.release(r.lock)
		b.want(<-up, nil)
		b.release(l)
		for _, w := range h.finish(b.Context()) {
			b.Error(w)
		}
	})
}

// H14: a wake-up that is left over from an earlier upgrade proves nothing for the next one.
func TestH14WakeUpOfAnEarlierUpgrade(t *testing.T) {
	inLab(t, func(b *lab) {
		shared := lease.Request{Name: "n", Mode: lease.Shared, Wait: lease.Patient}
		a, other := b.session("a"), b.session("b")
		l, r := b.acquire(a, shared), b.acquire(other, shared)
		up := make(chan error, 1)
		upgrade := func() { up <- l.Upgrade(b.Context(), "up", lease.Patient) }
		go upgrade()
		b.until(time.Second, "the slot stands", func() bool { return b.queued("n", 2).Upgrade != nil })
		b.etcd.SetNetwork("a", leasetest.Network{Request: func(c leasetest.Call) leasetest.Fate {
			return leasetest.Fate{Delay: time.Second} // the proof takes its time
		}})
		b.release(r)
		behind := b.later(other, shared) // an event while the proof is under way
		b.want(<-up, nil)
		b.etcd.SetNetwork("a", leasetest.Network{})
		b.want(l.Downgrade(b.Context(), lease.Write{}), nil)
		next := <-behind
		b.want(next.err, nil)
		go upgrade()
		time.Sleep(10 * time.Second)
		select {
		case err := <-up:
			b.Errorf("upgraded beside a reader: %v", err)
		default:
			b.release(next.lock)
			b.want(<-up, nil)
		}
	})
}

// H15: of two upgraders one wins, in whatever order their requests arrive, and nobody waits for ever.
func TestH15TwoUpgraders(t *testing.T) {
	delays := []time.Duration{0, 10, 20, 30}
	for _, d1 := range delays {
		for _, d2 := range delays {
			for _, e1 := range delays {
				t.Run(fmt.Sprint(d1, d2, e1), func(t *testing.T) {
					inLab(t, func(b *lab) { twoUpgraders(b, []time.Duration{d1, d2}, []time.Duration{e1, 15}) })
				})
			}
		}
	}
}

func twoUpgraders(b *lab, reads, writes []time.Duration) {
	ls := make([]*lease.Lock, 2)
	errs := make([]chan error, 2)
	for i, name := range []string{"a", "b"} {
		ls[i] = b.acquire(b.session(name), lease.Request{Name: "n", Mode: lease.Shared, Purpose: name})
		b.etcd.SetNetwork(name, leasetest.Network{Request: func(c leasetest.Call) leasetest.Fate {
			if r, ok := c.Request.(*pb.TxnRequest); ok && len(r.Compare) > 0 {
				return leasetest.Fate{Delay: writes[i] * time.Millisecond}
			}
			return leasetest.Fate{Delay: reads[i] * time.Millisecond}
		}})
	}
	for i, l := range ls {
		errs[i] = make(chan error, 1)
		go func() { errs[i] <- l.Upgrade(b.Context(), "up "+l.Purpose(), lease.Patient) }()
	}
	loser := 0
	select {
	case err := <-errs[0]:
		b.conflict(err)
	case err := <-errs[1]:
		b.conflict(err)
		loser = 1
	}
	if ls[loser].Mode() != lease.Shared || ls[loser].Check() != nil {
		b.Errorf("the loser holds %q, %v", ls[loser].Mode(), ls[loser].Check())
	}
	b.release(ls[loser])
	if err := <-errs[1-loser]; err != nil || ls[1-loser].Mode() != lease.Exclusive {
		b.Errorf("the winner holds %q, %v", ls[1-loser].Mode(), err)
	}
}

func (b *lab) conflict(err error) {
	b.Helper()
	c, ok := errors.AsType[*lease.UpgradeConflictError](err)
	if !ok || c.Winner.Holder == "" {
		b.Fatalf("got %v, want a conflict that names the winner", err)
	}
}

// H16: taking several names in one call cannot deadlock, whatever their order.
func TestH16ManyNamesInOppositeOrders(t *testing.T) {
	inLab(t, func(b *lab) {
		done := make(chan error)
		for i, name := range []string{"a", "b", "c"} {
			s := b.session(name)
			b.etcd.SetNetwork(name, leasetest.Seeded(uint64(i), leasetest.Faults{MaxDelay: 50 * time.Millisecond}))
			go func() {
				for round := range 20 {
					rs := make([]lease.Request, 3)
					for j := range rs {
						rs[j] = lease.Request{Name: fmt.Sprint("n", (i*(j+1)+round)%4)}
						if j > 0 && rs[j].Name == rs[0].Name || j == 2 && rs[2].Name == rs[1].Name {
							rs = rs[:j]
							break
						}
					}
					ls, err := s.AcquireAll(b.Context(), lease.Patient, rs...)
					if err != nil {
						done <- err
						return
					}
					time.Sleep(time.Duration(round) * time.Millisecond)
					for _, l := range ls {
						if err := l.Release(b.Context(), lease.Write{}); err != nil {
							done <- err
							return
						}
					}
				}
				done <- nil
			}()
		}
		for range 3 {
			select {
			case err := <-done:
				b.want(err, nil)
			case <-time.After(5 * time.Minute):
				b.Fatal("deadlock")
			}
		}
	})
}

// A lock that is lost while its sibling is still waited for takes the whole call with it.
func TestH16OneOfManyLostWhileWaiting(t *testing.T) {
	inLab(t, func(b *lab) {
		l := b.acquire(b.session("a"), lease.Request{Name: "n2"})
		done := make(chan error, 1)
		s := b.session("b")
		go func() {
			_, err := s.AcquireAll(b.Context(), lease.Patient, lease.Request{Name: "n1"}, lease.Request{Name: "n2"})
			done <- err
		}()
		b.queued("n2", 2)
		if _, err := b.client().Delete(b.Context(), b.queued("n1", 1).Entries[0].Key); err != nil {
			b.Fatal(err)
		}
		b.want(<-done, lease.ErrLost)
		b.queued("n2", 1)
		b.release(l)
	})
}

// H18: the loss of one lease of many is the loss of all.
func TestH18OneShardLost(t *testing.T) {
	inLab(t, func(b *lab) {
		a := b.session("a", func(c *lease.Config) { c.ShardKeys = 2 })
		var ls []*lease.Lock
		for i := range 4 {
			ls = append(ls, b.acquire(a, lease.Request{Name: fmt.Sprint("n", i)}))
		}
		if _, err := b.client().Revoke(b.Context(), b.queued("n2", 1).Entries[0].Lease); err != nil {
			b.Fatal(err)
		}
		for _, l := range ls {
			b.until(5*time.Second, "all are lost", func() bool { return l.Context().Err() != nil })
			b.want(cause(l), lease.ErrLost)
		}
	})
}

// H21: a session lives on when the context under which it was opened ends.
func TestH21OpenUnderATimeout(t *testing.T) {
	inLab(t, func(b *lab) {
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		s, err := lease.Open(ctx, b.etcd.Client("a"), lease.Config{Root: b.root, Holder: "a"})
		if err != nil {
			b.Fatal(err)
		}
		l := b.acquire(s, lease.Request{Name: "n"})
		cancel()
		time.Sleep(5 * time.Minute)
		b.want(l.Check(), nil)
		b.want(s.Close(b.Context()), nil)
	})
}

// H23: a name cannot reach into another's queue.
func TestH23Names(t *testing.T) {
	inLab(t, func(b *lab) {
		a := b.session("a")
		for _, name := range []string{"", "/", "n/", "n/exclusive", "n\x00"} {
			if _, err := a.Acquire(b.Context(), lease.Request{Name: name}); err == nil {
				b.Errorf("%q was accepted", name)
			}
		}
		l, m := b.acquire(a, lease.Request{Name: "n"}), b.acquire(a, lease.Request{Name: "n1"})
		b.release(l)
		b.want(m.Check(), nil)
		b.queued("n1", 1)
	})
}

// H24, H25: no transaction that writes has a range at a revision, and etcd accepts each.
func TestH24NoPinnedReadInAWrite(t *testing.T) {
	inLab(t, func(b *lab) {
		a := b.session("a")
		txns := 0
		b.etcd.SetNetwork("a", leasetest.Network{Request: func(c leasetest.Call) leasetest.Fate {
			if r, ok := c.Request.(*pb.TxnRequest); ok {
				txns++
				if writes, pinned := inside(r); writes && pinned {
					b.Errorf("a range at a revision in %v", r)
				}
			}
			return leasetest.Fate{}
		}})
		l := b.acquire(a, lease.Request{Name: "n", Mode: lease.Shared, Read: []string{b.root + "nodes/n"}})
		b.want(l.Upgrade(b.Context(), "up", 0), nil)
		b.want(l.Upgrade(b.Context(), "renamed", 0), nil)
		b.want(l.Downgrade(b.Context(), b.put("nodes/n", "1")), nil)
		b.release(l)
		l = b.acquire(a, lease.Request{Name: "n"})
		_, err := l.Commit(b.Context(), lease.Write{Then: b.put("nodes/n", "2").Then, Detail: "step"})
		b.want(err, nil)
		b.want(l.Downgrade(b.Context(), b.put("nodes/n", "3")), nil)
		waiter := b.later(a, lease.Request{Name: "n", Wait: lease.Patient})
		b.queued("n", 2)
		b.release(l)
		if o := <-waiter; o.err != nil || o.lock.Destroy(b.Context(), lease.Write{}) != nil {
			b.Error(o.err)
		}
		if txns < 12 {
			b.Errorf("only %d transactions seen", txns)
		}
	})
}

func inside(r *pb.TxnRequest) (writes, pinned bool) {
	for _, ops := range [][]*pb.RequestOp{r.Success, r.Failure} {
		for _, op := range ops {
			if x := op.GetRequestRange(); x != nil {
				pinned = pinned || x.Revision != 0
			} else if x := op.GetRequestTxn(); x != nil {
				w, p := inside(x)
				writes, pinned = writes || w, pinned || p
			} else {
				writes = true
			}
		}
	}
	return writes, pinned
}

// H26: a put on a dead lease fails as a whole and is the end of the session, not a reason to retry.
func TestH26DeadLease(t *testing.T) {
	inLab(t, func(b *lab) {
		a := b.session("a")
		b.acquire(a, lease.Request{Name: "n"})
		shard := b.queued("n", 1).Entries[0].Lease
		b.etcd.SetNetwork("a", leasetest.Network{Answer: func(c leasetest.Call) leasetest.Fate {
			return leasetest.Fate{Lost: c.Method == "Watch" || c.Method == "LeaseKeepAlive"}
		}})
		if _, err := b.client().Revoke(b.Context(), shard); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		_, err := a.Acquire(b.Context(), lease.Request{Name: "m", Wait: lease.Patient})
		b.want(err, lease.ErrLost)
		if took := time.Since(start); took > time.Second {
			b.Errorf("took %s", took)
		}
		b.queued("m", 0)
		if got := b.get(b.root + "intents/m"); got != "" {
			b.Errorf("intent %s", got)
		}
	})
}

// H28: a waiting writer holds later readers back, so does a pending upgrade, which waits for no
// more than the readers that are granted.
func TestH28NobodyStarves(t *testing.T) {
	inLab(t, func(b *lab) {
		a, other := b.session("a"), b.session("b")
		shared := lease.Request{Name: "n", Mode: lease.Shared}
		l, r := b.acquire(a, shared), b.acquire(other, shared)
		writer := b.later(other, lease.Request{Name: "n", Wait: lease.Patient})
		b.queued("n", 3)
		up := make(chan error, 1)
		go func() { up <- l.Upgrade(b.Context(), "up", lease.Patient) }()
		b.until(time.Second, "the slot stands", func() bool { return b.queued("n", 3).Upgrade != nil })
		_, err := other.Acquire(b.Context(), shared)
		b.want(err, lease.ErrHeld)
		b.release(r)
		b.want(<-up, nil)
		b.release(l)
		if o := <-writer; o.err != nil {
			b.Error(o.err)
		}
	})
}

// A slot whose entry was deleted by hand is in nobody's way.
func TestOrphanedSlot(t *testing.T) {
	inLab(t, func(b *lab) {
		a, other := b.session("a"), b.session("b")
		orphan := func() {
			l := b.acquire(a, lease.Request{Name: "n", Mode: lease.Shared})
			b.want(l.Upgrade(b.Context(), "up", 0), nil)
			if _, err := b.client().Delete(b.Context(), l.Key()); err != nil {
				b.Fatal(err)
			}
			<-l.Context().Done()
			if got := b.get(b.root + "locks/n/upgrade"); got == "" {
				b.Fatal("no slot is left")
			}
		}
		orphan()
		l := b.acquire(other, lease.Request{Name: "n"}) // a try
		b.release(l)
		orphan()
		l, err := other.Acquire(b.Context(), lease.Request{Name: "n", Mode: lease.Shared, Wait: lease.Patient})
		b.want(err, nil)
		b.want(l.Upgrade(b.Context(), "up", 0), nil)
		b.release(l)
		orphan()
		b.etcd.SetNetwork("b", leasetest.Network{Answer: func(c leasetest.Call) leasetest.Fate {
			if c.Method == "Watch" { // the entry is heard of after its request is answered
				return leasetest.Fate{Delay: 5 * time.Millisecond}
			}
			return leasetest.Fate{}
		}})
		start := time.Now()
		l, err = other.Acquire(b.Context(), lease.Request{Name: "n", Wait: lease.Patient})
		b.want(err, nil)
		if took := time.Since(start); took > time.Second {
			b.Errorf("waited %s behind a slot of nobody", took)
		}
		b.release(l)
		b.queued("n", 0)
	})
}

// A new purpose does not move the barrier of an upgrade.
func TestRenameKeepsTheBarrier(t *testing.T) {
	inLab(t, func(b *lab) {
		h := follow(b, b.etcd.Client("history"), b.root, nil)
		a, other := b.session("a"), b.session("b")
		l := b.acquire(a, lease.Request{Name: "n", Mode: lease.Shared})
		waiter := b.later(other, lease.Request{Name: "n", Wait: lease.Patient})
		b.queued("n", 2)
		b.want(l.Upgrade(b.Context(), "one", 0), nil)
		b.want(l.Upgrade(b.Context(), "two", 0), nil)
		if h := b.queued("n", 2).Holders(); len(h) != 1 || h[0].Mode != lease.Exclusive || h[0].Purpose != "two" {
			b.Errorf("holders = %+v", h)
		}
		b.release(l)
		b.want((<-waiter).err, nil)
		for _, w := range h.finish(b.Context()) {
			b.Error(w)
		}
	})
}
