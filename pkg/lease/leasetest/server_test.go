package leasetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A lease dies at the first look of the server after its time: TTL to TTL
// plus half a second after the last renewal that the server got.
func TestExpiry(t *testing.T) {
	for _, offset := range []time.Duration{0, 1, 250 * time.Millisecond, 499 * time.Millisecond} {
		bubble(t, func(s scene, e *Etcd) {
			time.Sleep(offset)
			granted := time.Now()
			id := s.grant(5)
			s.put("l", "", clientv3.WithLease(id))
			w := s.watch("l", clientv3.WithFilterPut())
			entries := e.RaftEntries()
			time.Sleep(2 * time.Second)
			_, err := s.KeepAliveOnce(s.ctx, id)
			s.must(err)
			equal(s, "raft entries of a renewal", e.RaftEntries()-entries, 0)
			equal(s, "event", s.seen(<-w), "-l")
			late := time.Since(granted) - 7*time.Second
			if late < 0 || late > 500*time.Millisecond {
				t.Errorf("offset %v: expired %v late", offset, late)
			}
			equal(s, "raft entries of an expiry", e.RaftEntries()-entries, 1)
		})
	}
}

// Once a lease's time has passed, a renewal waits and then learns that it
// came too late, though the lease was still there when it arrived.
func TestRenewalAfterTheTime(t *testing.T) {
	bubble(t, func(s scene, _ *Etcd) {
		time.Sleep(200 * time.Millisecond)
		id := s.grant(2)
		time.Sleep(2*time.Second + 100*time.Millisecond)
		start := time.Now()
		_, err := s.KeepAliveOnce(s.ctx, id)
		s.refused("renewal", err, rpctypes.ErrLeaseNotFound)
		equal(s, "waited", time.Since(start), 200*time.Millisecond)
	})
}

func TestFreeze(t *testing.T) {
	bubble(t, func(s scene, e *Etcd) {
		id := s.grant(2)
		s.put("l", "", clientv3.WithLease(id))
		revision := e.Revision()
		e.FreezeAll()
		s.refused("put", s.try("1"), context.DeadlineExceeded)
		time.Sleep(time.Minute)
		equal(s, "revision while frozen", e.Revision(), revision)
		e.ThawAll()
		synctest.Wait()
		equal(s, "revision after the late put", e.Revision(), revision+1)
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		equal(s, "revision after the late expiry", e.Revision(), revision+2)
	})
}

func TestElect(t *testing.T) {
	bubble(t, func(s scene, e *Etcd) {
		id := s.grant(2)
		term := s.get("k").Header.RaftTerm
		e.FreezeAll()
		time.Sleep(time.Minute)
		e.Elect()
		e.ThawAll()
		time.Sleep(2900 * time.Millisecond)
		_, err := s.KeepAliveOnce(s.ctx, id)
		s.must(err)
		equal(s, "term", s.get("k").Header.RaftTerm, term+1)
	})
}

// Nothing hangs on a closed client or a closed etcd, and no goroutine is
// left: the bubble would not end.
func TestClose(t *testing.T) {
	bubble(t, func(s scene, e *Etcd) {
		w := s.watch("k")
		renewals, err := s.KeepAlive(s.ctx, s.grant(60))
		s.must(err)
		<-renewals
		e.Cut("a")
		result := make(chan error)
		go func() {
			_, err := s.Client.Get(s.ctx, "k")
			result <- err
		}()
		synctest.Wait()
		_ = s.Client.Close()
		if err := <-result; status.Code(err) != codes.Canceled {
			t.Errorf("got %v, want code Canceled", err)
		}
		if _, open := <-w; open {
			t.Error("the watch is open")
		}
		if resp, open := <-s.watch("k"); open {
			t.Errorf("a new watch got %v", resp)
		}
		b := e.Client("b")
		e.Close()
		ctx, cancel := context.WithTimeout(s.ctx, time.Minute)
		defer cancel()
		_, err = b.KeepAliveOnce(ctx, 1)
		if err == nil || errors.Is(err, rpctypes.ErrLeaseNotFound) {
			t.Errorf("a closed etcd answered %v", err)
		}
	})
}

// What no fake etcd knows is refused, not a panic.
func TestUnimplemented(t *testing.T) {
	bubble(t, func(s scene, _ *Etcd) {
		_, err := s.UserAdd(s.ctx, "u", "p")
		equal(s, "code", status.Code(err), codes.Unimplemented)
		list, err := s.MemberList(s.ctx)
		s.must(err)
		equal(s, "members", len(list.Members), 1)
	})
}

// A transaction that crashes a real etcd is refused and leaves no trace.
func TestCrash(t *testing.T) {
	bubble(t, func(s scene, e *Etcd) {
		before := e.Revision()
		_, err := s.Client.Txn(s.ctx).Then(s.opDelete("k", clientv3.WithFromKey()), s.opPut("k", "", clientv3.WithIgnoreValue())).Commit()
		equal(s, "code", status.Code(err), codes.Internal)
		equal(s, "revision", e.Revision(), before)
	})
}

func TestStreamedRange(t *testing.T) {
	bubble(t, func(s scene, _ *Etcd) {
		for i := range 30 {
			s.put(fmt.Sprintf("r/%02d", i), "v")
		}
		stream, err := s.GetStream(s.ctx, "r/", clientv3.WithPrefix(), clientv3.WithLimit(25))
		s.must(err)
		resp, err := clientv3.GetStreamToGetResponse(stream)
		s.must(err)
		equal(s, "keys", len(resp.Kvs), 25)
		equal(s, "count", resp.Count, 30)
		equal(s, "more", resp.More, true)
	})
}
