package leasetest

import (
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

var kvCases = []Case{
	{"put counts revisions and versions", act(func(s scene) {
		first := s.put("k", "1").Header.Revision
		second := s.put("k", "2").Header.Revision
		equal(s, "second revision", second, first+1)
		kv := s.get("k").Kvs[0]
		equal(s, "create revision", kv.CreateRevision, first)
		equal(s, "mod revision", kv.ModRevision, second)
		equal(s, "version", kv.Version, 2)
		equal(s, "value", string(kv.Value), "2")
		s.delete("k")
		third := s.put("k", "3").Header.Revision
		kv = s.get("k").Kvs[0]
		equal(s, "create revision after delete", kv.CreateRevision, third)
		equal(s, "version after delete", kv.Version, 1)
	})},
	{"headers name cluster and member", act(func(s scene) {
		h := s.get("k").Header
		if h.ClusterId == 0 || h.MemberId == 0 || h.RaftTerm == 0 || h.Revision == 0 {
			s.Errorf("incomplete header %v", h)
		}
		equal(s, "cluster id of a put", s.put("k", "").Header.ClusterId, h.ClusterId)
	})},
	{"delete of nothing leaves the revision", act(func(s scene) {
		before := s.put("k", "").Header.Revision
		resp := s.delete("absent")
		equal(s, "deleted", resp.Deleted, 0)
		equal(s, "revision", resp.Header.Revision, before)
	})},
	{"delete of a range is one revision", act(func(s scene) {
		s.put("d/a", "1")
		before := s.put("d/b", "2").Header.Revision
		resp := s.delete("d/", clientv3.WithPrefix(), clientv3.WithPrevKV())
		equal(s, "deleted", resp.Deleted, 2)
		equal(s, "previous pairs", len(resp.PrevKvs), 2)
		equal(s, "revision", resp.Header.Revision, before+1)
	})},
	{"put returns the previous pair", act(func(s scene) {
		if resp := s.put("k", "1", clientv3.WithPrevKV()); resp.PrevKv != nil {
			s.Errorf("first put returned %v", resp.PrevKv)
		}
		resp := s.put("k", "2", clientv3.WithPrevKV())
		equal(s, "previous value", string(resp.PrevKv.GetValue()), "1")
	})},
	{"put keeps value or lease if told", act(func(s scene) {
		_, err := s.Put(s.ctx, s.prefix+"k", "", clientv3.WithIgnoreValue())
		s.refused("ignore value of an absent key", err, rpctypes.ErrKeyNotFound)
		id := s.grant(60)
		s.put("k", "v", clientv3.WithLease(id))
		s.put("k", "", clientv3.WithIgnoreValue())
		kv := s.get("k").Kvs[0]
		equal(s, "kept value", string(kv.Value), "v")
		equal(s, "dropped lease", kv.Lease, 0)
		s.put("k", "v", clientv3.WithLease(id))
		s.put("k", "w", clientv3.WithIgnoreLease())
		kv = s.get("k").Kvs[0]
		equal(s, "new value", string(kv.Value), "w")
		equal(s, "kept lease", kv.Lease, int64(id))
	})},
	{"reads see the past", act(func(s scene) {
		old := s.put("k", "1").Header.Revision
		s.put("k", "2")
		now := s.delete("k").Header.Revision
		resp := s.get("k", clientv3.WithRev(old))
		equal(s, "old value", string(resp.Kvs[0].Value), "1")
		equal(s, "header revision", resp.Header.Revision, now)
		_, err := s.Get(s.ctx, s.prefix+"k", clientv3.WithRev(now+1000), clientv3.WithSerializable())
		s.refused("read of the future", err, rpctypes.ErrFutureRev)
	})},
	{"compaction forgets", act(func(s scene) {
		old := s.put("k", "1").Header.Revision
		now := s.put("k", "2").Header.Revision
		_, err := s.Compact(s.ctx, now+1000)
		s.refused("compaction of the future", err, rpctypes.ErrFutureRev)
		_, err = s.Compact(s.ctx, now)
		s.must(err)
		_, err = s.Get(s.ctx, s.prefix+"k", clientv3.WithRev(old))
		s.refused("read before the compaction", err, rpctypes.ErrCompacted)
		equal(s, "read at the compaction", s.get("k", clientv3.WithRev(now)).Count, 1)
		_, err = s.Compact(s.ctx, now)
		s.refused("second compaction", err, rpctypes.ErrCompacted)
	})},
	{"ranges", act(func(s scene) {
		for _, key := range []string{"a", "b", "c", "d"} {
			s.put(key, strings.ToUpper(key))
		}
		s.put("b", "Z")
		all := func(opts ...clientv3.OpOption) *clientv3.GetResponse {
			return s.get("", append(opts, clientv3.WithPrefix())...)
		}
		equal(s, "prefix", s.names(all()), "a b c d")
		equal(s, "range", s.names(s.get("b", clientv3.WithRange(s.prefix+"d"))), "b c")
		equal(s, "limit", s.names(all(clientv3.WithLimit(2))), "a b")
		equal(s, "limit: more", all(clientv3.WithLimit(2)).More, true)
		equal(s, "limit: count", all(clientv3.WithLimit(2)).Count, 4)
		equal(s, "full limit: more", all(clientv3.WithLimit(4)).More, false)
		equal(s, "count only", all(clientv3.WithCountOnly()).Count, 4)
		equal(s, "count only: keys", s.names(all(clientv3.WithCountOnly())), "")
		equal(s, "keys only: value", len(all(clientv3.WithKeysOnly()).Kvs[0].Value), 0)
		equal(s, "by key, last first", s.names(all(clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend))), "d c b a")
		equal(s, "by value", s.names(all(clientv3.WithSort(clientv3.SortByValue, clientv3.SortAscend))), "a c d b")
		equal(s, "by version", s.names(all(clientv3.WithSort(clientv3.SortByVersion, clientv3.SortDescend), clientv3.WithLimit(1))), "b")
		equal(s, "by modification", s.names(all(clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortAscend))), "a c d b")
		equal(s, "oldest", s.names(s.get("", clientv3.WithFirstCreate()...)), "a")
		created := s.get("c").Kvs[0].CreateRevision
		equal(s, "min create", s.names(all(clientv3.WithMinCreateRev(created))), "c d")
		equal(s, "max create", s.names(all(clientv3.WithMaxCreateRev(created))), "a b c")
		equal(s, "min mod", s.names(all(clientv3.WithMinModRev(created))), "b c d")
		equal(s, "max mod", s.names(all(clientv3.WithMaxModRev(created))), "a c")
		equal(s, "filtered count", all(clientv3.WithMaxModRev(created)).Count, 4)
	})},
	{"bad requests", act(func(s scene) {
		_, err := s.Put(s.ctx, "", "v")
		s.refused("empty key", err, rpctypes.ErrEmptyKey)
		_, err = s.Put(s.ctx, s.prefix+"k", strings.Repeat("x", 3<<19))
		s.refused("1.5 MiB", err, rpctypes.ErrRequestTooLarge)
		s.put("k", strings.Repeat("x", 3<<19-1000))
	})},
}
