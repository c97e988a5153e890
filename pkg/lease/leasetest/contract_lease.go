package leasetest

import (
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

var leaseCases = []Case{
	{"leases", act(func(s scene) {
		resp, err := s.Grant(s.ctx, 1)
		s.must(err)
		equal(s, "minimum TTL", resp.TTL, 2)
		id := s.grant(60)
		if id == 0 || id == resp.ID {
			s.Errorf("got lease %x after %x", id, resp.ID)
		}
		list, err := s.Leases(s.ctx)
		s.must(err)
		if !slices.Contains(list.Leases, clientv3.LeaseStatus{ID: id}) {
			s.Errorf("lease %x is not listed", id)
		}
		_, err = s.Grant(s.ctx, 1<<40)
		s.refused("huge TTL", err, rpctypes.ErrLeaseTTLTooLarge)
	})},
	{"a lease knows its keys", act(func(s scene) {
		id, other := s.grant(60), s.grant(60)
		for _, key := range []string{"a", "b", "c", "d"} {
			s.put(key, "", clientv3.WithLease(id))
		}
		s.put("b", "")                            // to no lease
		s.put("c", "", clientv3.WithLease(other)) // to another
		s.delete("d")
		resp, err := s.TimeToLive(s.ctx, id, clientv3.WithAttachedKeys())
		s.must(err)
		equal(s, "granted TTL", resp.GrantedTTL, 60)
		if resp.TTL < 50 || resp.TTL > 60 {
			s.Errorf("got TTL %d", resp.TTL)
		}
		if len(resp.Keys) != 1 || string(resp.Keys[0]) != s.prefix+"a" {
			s.Errorf("got keys %q, want a", resp.Keys)
		}
	})},
	{"unknown leases", act(func(s scene) {
		const unknown = 0x7fff1234
		resp, err := s.TimeToLive(s.ctx, unknown)
		s.must(err)
		equal(s, "TTL", resp.TTL, -1)
		_, err = s.KeepAliveOnce(s.ctx, unknown)
		s.refused("renewal", err, rpctypes.ErrLeaseNotFound)
		_, err = s.Revoke(s.ctx, unknown)
		s.refused("revocation", err, rpctypes.ErrLeaseNotFound)
		_, err = s.Put(s.ctx, s.prefix+"k", "", clientv3.WithLease(unknown))
		s.refused("put", err, rpctypes.ErrLeaseNotFound)
	})},
	{"revocation deletes in one revision", act(func(s scene) {
		id := s.grant(60)
		s.put("b", "", clientv3.WithLease(id))
		before := s.put("a", "", clientv3.WithLease(id)).Header.Revision
		resp, err := s.Revoke(s.ctx, id)
		s.must(err)
		equal(s, "revision", resp.Header.Revision, before+1)
		equal(s, "keys left", s.get("", clientv3.WithPrefix()).Count, 0)
		empty := s.grant(60)
		resp, err = s.Revoke(s.ctx, empty)
		s.must(err)
		equal(s, "revision after a lease without keys", resp.Header.Revision, before+1)
	})},
	{"a lease expires", act(func(s scene) {
		start := time.Now()
		id := s.grant(2)
		s.put("b", "", clientv3.WithLease(id))
		before := s.put("a", "", clientv3.WithLease(id)).Header.Revision
		w := s.Watch(s.ctx, s.prefix, clientv3.WithPrefix(), clientv3.WithRev(before+1))
		resp := <-w
		took := time.Since(start)
		equal(s, "events", len(resp.Events), 2)
		if took < 1900*time.Millisecond || took > 15*time.Second {
			s.Errorf("a lease of 2 s expired after %v", took)
		}
		for _, ev := range resp.Events {
			equal(s, "revision", ev.Kv.ModRevision, before+1)
			equal(s, "type", ev.Type, clientv3.EventTypeDelete)
		}
		_, err := s.KeepAliveOnce(s.ctx, id)
		s.refused("renewal", err, rpctypes.ErrLeaseNotFound)
	})},
	{"renewals keep a lease", act(func(s scene) {
		kept, lost := s.grant(4), s.grant(5)
		s.put("kept", "", clientv3.WithLease(kept))
		s.put("lost", "", clientv3.WithLease(lost))
		resp, err := s.KeepAliveOnce(s.ctx, kept)
		s.must(err)
		equal(s, "TTL", resp.TTL, 4)
		renewals, err := s.KeepAlive(s.ctx, kept)
		s.must(err)
		w := s.Watch(s.ctx, s.prefix, clientv3.WithPrefix(), clientv3.WithFilterPut())
		gone := <-w
		equal(s, "expired key", string(gone.Events[0].Kv.Key), s.prefix+"lost")
		equal(s, "kept key", s.get("kept").Count, 1)
		if renewal := <-renewals; renewal == nil || renewal.TTL != 4 {
			s.Errorf("got renewal %v", renewal)
		}
		_, err = s.Revoke(s.ctx, kept)
		s.must(err)
		for open := true; open; { // until the server says that the lease is gone
			_, open = <-renewals
		}
	})},
}
