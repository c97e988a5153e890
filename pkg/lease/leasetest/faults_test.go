package leasetest

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// bubble runs f with a new etcd by the clock of a bubble. Key k exists.
func bubble(t *testing.T, f func(s scene, e *Etcd)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := New()
		defer e.Close()
		s := scene{T: t, Client: e.Client("a"), ctx: t.Context()}
		s.put("k", "0")
		f(s, e)
	})
}

// first applies a fate to the first message of a method, and none to others.
func first(method string, fate Fate) func(Call) Fate {
	done := make(chan struct{}, 1)
	return func(c Call) Fate {
		if c.Method == method {
			select {
			case done <- struct{}{}:
				return fate
			default:
			}
		}
		return Fate{}
	}
}

// try puts a value of k for at most a second.
func (s scene) try(value string) error {
	ctx, cancel := context.WithTimeout(s.ctx, time.Second)
	defer cancel()
	_, err := s.Client.Put(ctx, "k", value)
	return err
}

func TestFates(t *testing.T) {
	for _, c := range []struct {
		name         string
		network      Network
		err          error
		code         codes.Code
		took         time.Duration
		version      int64 // of k when the call returned; 1 before it
		versionLater int64
	}{
		{name: "perfect", version: 2, versionLater: 2},
		{name: "slow there", network: Network{Request: first("Put", Fate{Delay: 300 * time.Millisecond})}, took: 300 * time.Millisecond, version: 2, versionLater: 2},
		{name: "slow back", network: Network{Answer: first("Put", Fate{Delay: 300 * time.Millisecond})}, took: 300 * time.Millisecond, version: 2, versionLater: 2},
		{name: "lost request", network: Network{Request: first("Put", Fate{Lost: true})}, err: context.DeadlineExceeded, took: time.Second, version: 1, versionLater: 1},
		{name: "lost answer", network: Network{Answer: first("Put", Fate{Lost: true})}, err: context.DeadlineExceeded, took: time.Second, version: 2, versionLater: 2},
		{name: "late delivery", network: Network{Request: first("Put", Fate{Delay: 30 * time.Second})}, err: context.DeadlineExceeded, took: time.Second, version: 1, versionLater: 2},
		{name: "refused", network: Network{Request: first("Put", Fate{Err: ErrUnavailable, Lost: true})}, code: codes.Unavailable, took: refusal, version: 1, versionLater: 1},
		{name: "reset, and yet delivered", network: Network{Request: first("Put", Fate{Err: ErrUnavailable, Delay: 30 * time.Second})}, code: codes.Unavailable, took: refusal, version: 1, versionLater: 2},
		{name: "reset on the way back", network: Network{Answer: first("Put", Fate{Err: ErrUnavailable})}, code: codes.Unavailable, took: refusal, version: 2, versionLater: 2},
		{name: "twice", network: Network{Request: first("Put", Fate{Again: 5 * time.Second})}, version: 2, versionLater: 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(s scene, e *Etcd) {
				e.SetNetwork("a", c.network)
				start := time.Now()
				err := s.try("1")
				equal(s, "took", time.Since(start), c.took)
				if c.code != codes.OK {
					equal(s, "code", status.Code(err), c.code)
				} else {
					s.refused("put", err, c.err)
				}
				equal(s, "version", s.get("k").Kvs[0].Version, c.version)
				time.Sleep(time.Minute)
				equal(s, "version a minute later", s.get("k").Kvs[0].Version, c.versionLater)
			})
		})
	}
}

// Reads, grants and revocations are sent again when the connection breaks.
func TestRepeatableCallsAreSentAgain(t *testing.T) {
	bubble(t, func(s scene, e *Etcd) {
		e.SetNetwork("a", Network{Request: first("Range", Fate{Err: ErrUnavailable, Lost: true})})
		equal(s, "value", string(s.get("k").Kvs[0].Value), "0")
		e.SetNetwork("a", Network{Answer: first("LeaseGrant", Fate{Err: ErrUnavailable})})
		s.grant(60)
		list, err := s.Leases(s.ctx)
		s.must(err)
		equal(s, "leases of one grant", len(list.Leases), 2)
	})
}

func TestCut(t *testing.T) {
	bubble(t, func(s scene, e *Etcd) {
		other := s
		other.Client = e.Client("b")
		w := s.watch("k")
		e.Cut("a")
		s.refused("put during the cut", s.try("1"), context.DeadlineExceeded)
		other.put("k", "2")
		synctest.Wait()
		select {
		case resp := <-w:
			t.Errorf("got %v through the cut", resp)
		default:
		}
		result := make(chan error)
		go func() {
			_, err := s.Client.Put(s.ctx, "k", "3")
			result <- err
		}()
		synctest.Wait()
		e.Heal("a")
		if err := <-result; status.Code(err) != codes.Unavailable {
			t.Errorf("caught in the cut: got %v, want code Unavailable", err)
		}
		// The watch had seen nothing when it broke; as with clientv3 it
		// resumes at the revision where it was created, inclusive.
		equal(s, "events", s.seen(<-w), "+k +k")
		s.put("k", "4")
		equal(s, "events after", s.seen(<-w), "+k")
	})
}

func TestOneWay(t *testing.T) {
	bubble(t, func(s scene, e *Etcd) {
		e.SetNetwork("a", Network{Answer: func(Call) Fate { return Fate{Lost: true} }})
		s.refused("put", s.try("1"), context.DeadlineExceeded)
		equal(s, "revision", e.Revision(), 3)
	})
}

func TestWatchFaults(t *testing.T) {
	bubble(t, func(s scene, e *Etcd) {
		w := s.watch("k")
		s.put("k", "1")
		<-w
		e.SetNetwork("a", Network{Answer: first("Watch", Fate{Delay: 3 * time.Second})})
		start := time.Now()
		s.put("k", "2")
		s.put("k", "3")
		equal(s, "revision", (<-w).Events[0].Kv.Version, 3)
		equal(s, "no overtaking", (<-w).Events[0].Kv.Version, 4)
		equal(s, "delay", time.Since(start), 3*time.Second)

		e.SetNetwork("a", Network{Answer: first("Watch", Fate{Err: ErrUnavailable})})
		s.put("k", "4")
		equal(s, "after a broken stream", (<-w).Events[0].Kv.Version, 5)

		e.SetNetwork("a", Network{Answer: first("Watch", Fate{Lost: true})})
		s.put("k", "5")
		s.put("k", "6")
		equal(s, "after a forgotten event", (<-w).Events[0].Kv.Version, 7)

		e.SetNetwork("a", Network{Answer: first("Watch", Fate{Err: rpctypes.ErrGRPCNoLeader})})
		s.put("k", "7")
		resp := <-w
		s.refused("without a leader", resp.Err(), rpctypes.ErrNoLeader)
		if _, open := <-w; open {
			t.Error("the watch goes on")
		}
	})
}

// A watch that was away while history was compacted says so.
func TestCompactedWhileCut(t *testing.T) {
	bubble(t, func(s scene, e *Etcd) {
		other := s
		other.Client = e.Client("b")
		w := s.watch("k")
		e.Cut("a")
		other.put("k", "1")
		_, err := other.Compact(s.ctx, other.put("k", "2").Header.Revision)
		s.must(err)
		e.Heal("a")
		resp := <-w
		s.refused("watch", resp.Err(), rpctypes.ErrCompacted)
	})
}

// The whole client goes on under a bad network, and what it was told is
// true: a put that succeeded is in the history.
func TestSeeded(t *testing.T) {
	for seed := range uint64(50) {
		bubble(t, func(s scene, e *Etcd) {
			e.SetNetwork("a", Seeded(seed, Faults{
				MaxDelay: 50 * time.Millisecond, MaxLate: 10 * time.Second,
				LoseRequest: .1, LoseAnswer: .1, Reset: .1, Repeat: .1, Late: .1, BreakWatch: .2,
			}))
			w := s.Watch(s.ctx, "k", clientv3.WithRev(1))
			acknowledged := make(map[string]bool)
			for i := range 40 {
				value := fmt.Sprint(i)
				if s.try(value) == nil {
					acknowledged[value] = true
				}
			}
			time.Sleep(time.Minute)
			last := e.Revision()
			for rev := int64(0); rev < last; {
				for _, ev := range (<-w).Events {
					if ev.Kv.ModRevision <= rev {
						t.Errorf("seed %d: revision %d after %d", seed, ev.Kv.ModRevision, rev)
					}
					rev = ev.Kv.ModRevision
					delete(acknowledged, string(ev.Kv.Value))
				}
			}
			if len(acknowledged) > 0 {
				t.Errorf("seed %d: acknowledged and gone: %v", seed, acknowledged)
			}
		})
	}
}
