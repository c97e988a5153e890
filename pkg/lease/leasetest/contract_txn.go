package leasetest

import (
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

var txnCases = []Case{
	{"compares", act(func(s scene) {
		id := s.grant(60)
		s.put("k", "1")
		rev := s.put("k", "m", clientv3.WithLease(id)).Header.Revision
		k, absent := s.prefix+"k", s.prefix+"absent"
		for _, c := range []struct {
			name string
			cmp  clientv3.Cmp
			want bool
		}{
			{"value =", clientv3.Compare(clientv3.Value(k), "=", "m"), true},
			{"value !=", clientv3.Compare(clientv3.Value(k), "!=", "m"), false},
			{"value >", clientv3.Compare(clientv3.Value(k), ">", "a"), true},
			{"value <", clientv3.Compare(clientv3.Value(k), "<", "a"), false},
			{"create =", clientv3.Compare(clientv3.CreateRevision(k), "=", rev-1), true},
			{"mod =", clientv3.Compare(clientv3.ModRevision(k), "=", rev), true},
			{"mod <", clientv3.Compare(clientv3.ModRevision(k), "<", rev), false},
			{"mod < next", clientv3.Compare(clientv3.ModRevision(k), "<", rev+1), true},
			{"version >", clientv3.Compare(clientv3.Version(k), ">", 1), true},
			{"lease =", clientv3.Compare(clientv3.LeaseValue(k), "=", id), true},
			{"lease !=", clientv3.Compare(clientv3.LeaseValue(k), "!=", clientv3.NoLease), true},
			{"absent create = 0", clientv3.Compare(clientv3.CreateRevision(absent), "=", 0), true},
			{"absent mod < 1", clientv3.Compare(clientv3.ModRevision(absent), "<", 1), true},
			{"absent version != 0", clientv3.Compare(clientv3.Version(absent), "!=", 0), false},
			{"absent value = empty", clientv3.Compare(clientv3.Value(absent), "=", ""), false},
			{"absent value !=", clientv3.Compare(clientv3.Value(absent), "!=", "x"), false},
		} {
			resp, err := s.Client.Txn(s.ctx).If(c.cmp).Commit()
			s.must(err)
			equal(s, c.name, resp.Succeeded, c.want)
		}
	})},
	{"range compares", act(func(s scene) {
		over := func(key string, cmp func(string) clientv3.Cmp, op string, v any) clientv3.Cmp {
			return clientv3.Compare(cmp(s.prefix+key), op, v).WithPrefix()
		}
		s.put("r/a", "1")
		rev := s.put("r/b", "1").Header.Revision
		for _, c := range []struct {
			name string
			cmp  clientv3.Cmp
			want bool
		}{
			{"empty create = 0", over("e/", clientv3.CreateRevision, "=", 0), true},
			{"empty create > 0", over("e/", clientv3.CreateRevision, ">", 0), false},
			{"empty mod < 100", over("e/", clientv3.ModRevision, "<", 100), true},
			{"empty value", over("e/", clientv3.Value, "=", ""), false},
			{"some create = 0", over("r/", clientv3.CreateRevision, "=", 0), false},
			{"nothing new", over("r/", clientv3.ModRevision, "<", rev+1), true},
			{"something new", over("r/", clientv3.ModRevision, "<", rev), false},
			{"all values", over("r/", clientv3.Value, "=", "1"), true},
		} {
			resp, err := s.Client.Txn(s.ctx).If(c.cmp).Commit()
			s.must(err)
			equal(s, c.name, resp.Succeeded, c.want)
		}
	})},
	{"a transaction sees its own writes", act(func(s scene) {
		resp := s.txn(s.opPut("a", "1"), s.opGet("", clientv3.WithPrefix()), s.opPut("b", "2"), s.opGet("", clientv3.WithCountOnly(), clientv3.WithPrefix()))
		kv := resp.Responses[1].GetResponseRange().Kvs[0]
		equal(s, "create revision", kv.CreateRevision, resp.Header.Revision)
		equal(s, "count", resp.Responses[3].GetResponseRange().Count, 2)
	})},
	{"a transaction without changes leaves the revision", act(func(s scene) {
		before := s.put("k", "").Header.Revision
		equal(s, "revision", s.txn(s.opDelete("absent"), s.opGet("k")).Header.Revision, before)
		equal(s, "revision after a change", s.txn(s.opPut("a", ""), s.opPut("b", "")).Header.Revision, before+1)
	})},
	{"nested compares see the state before", act(func(s scene) {
		saw := func(key string) []clientv3.Op { return []clientv3.Op{s.opPut("saw", key)} }
		exists := []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(s.prefix+"p"), ">", 0)}
		resp := s.txn(s.opPut("p", "1"), clientv3.OpTxn(exists, saw("after"), saw("before")), s.opGet("saw"))
		equal(s, "saw", string(resp.Responses[2].GetResponseRange().Kvs[0].Value), "before")
		equal(s, "nested succeeded", resp.Responses[1].GetResponseTxn().Succeeded, false)
	})},
	{"a dead lease fails the whole transaction", act(func(s scene) {
		id := s.grant(60)
		_, err := s.Revoke(s.ctx, id)
		s.must(err)
		_, err = s.Client.Txn(s.ctx).Then(s.opPut("a", ""), s.opPut("b", "", clientv3.WithLease(id))).Commit()
		s.refused("put on a dead lease", err, rpctypes.ErrLeaseNotFound)
		equal(s, "the other put", s.get("a").Count, 0)
		_, err = s.Client.Txn(s.ctx).Then(s.opPut("a", ""), s.opPut("b", "", clientv3.WithIgnoreLease())).Commit()
		s.refused("ignore lease of an absent key", err, rpctypes.ErrKeyNotFound)
		_, err = s.Client.Txn(s.ctx).Then(s.opPut("a", ""), s.opGet("a", clientv3.WithRev(1<<40))).Commit()
		s.refused("read of the future", err, rpctypes.ErrFutureRev)
		equal(s, "the other put", s.get("a").Count, 0)
	})},
	{"no key twice", act(func(s scene) {
		nest := func(then, other []clientv3.Op) clientv3.Op { return clientv3.OpTxn(nil, then, other) }
		put, del := []clientv3.Op{s.opPut("k", "")}, []clientv3.Op{s.opDelete("k")}
		for _, c := range []struct {
			name string
			ops  []clientv3.Op
			ok   bool
		}{
			{"put put", []clientv3.Op{put[0], put[0]}, false},
			{"put delete", []clientv3.Op{put[0], del[0]}, false},
			{"delete put", []clientv3.Op{del[0], put[0]}, false},
			{"delete delete", []clientv3.Op{del[0], del[0]}, true},
			{"delete of a range, put in it", []clientv3.Op{s.opDelete("", clientv3.WithPrefix()), put[0]}, false},
			{"put, nested put", []clientv3.Op{put[0], nest(put, nil)}, false},
			{"put, nested delete", []clientv3.Op{put[0], nest(nil, del)}, false},
			{"delete, nested put", []clientv3.Op{del[0], nest(put, nil)}, false},
			{"put here, put there", []clientv3.Op{nest(put, nil), nest(nil, put)}, false},
			{"put or else put", []clientv3.Op{nest(put, put)}, true},
			{"put or else delete", []clientv3.Op{nest(put, del)}, true},
			{"nested delete, nested put", []clientv3.Op{nest(del, nil), nest(put, nil)}, false},
			{"nested put, nested delete", []clientv3.Op{nest(put, nil), nest(del, nil)}, true},
		} {
			_, err := s.Client.Txn(s.ctx).Then(c.ops...).Commit()
			want := error(nil)
			if !c.ok {
				want = rpctypes.ErrDuplicateKey
			}
			s.refused(c.name, err, want)
		}
	})},
	{"128 operations", act(func(s scene) {
		var ops []clientv3.Op
		for i := range 129 {
			ops = append(ops, s.opPut(fmt.Sprint(i), ""))
		}
		nest := func(from, to int) clientv3.Op { return clientv3.OpTxn(nil, ops[from:to], nil) }
		for _, c := range []struct {
			name string
			ops  []clientv3.Op
			want error
		}{
			{"128", ops[:128], nil},
			{"129", ops, rpctypes.ErrTooManyOps},
			{"64 and 64 nested", []clientv3.Op{nest(0, 64), nest(64, 128)}, nil},
			{"126 and 2 nested", []clientv3.Op{nest(0, 126), nest(126, 128)}, nil},
			{"127 and 1 nested", []clientv3.Op{nest(0, 127), nest(127, 128)}, rpctypes.ErrTooManyOps},
		} {
			_, err := s.Client.Txn(s.ctx).Then(c.ops...).Commit()
			s.refused(c.name, err, c.want)
		}
	})},
	{"raft entries", act(func(s scene) {
		fails := clientv3.Compare(clientv3.CreateRevision(s.prefix+"absent"), ">", 0)
		s.put("k", "")
		for _, c := range []struct {
			name string
			want uint64
			do   func() error
		}{
			{"range", 0, func() error { s.get("k"); return nil }},
			{"put", 1, func() error { s.put("k", ""); return nil }},
			{"delete of nothing", 1, func() error { s.delete("absent"); return nil }},
			{"reading transaction", 0, func() error { s.txn(s.opGet("k"), s.opGet("j")); return nil }},
			{"nested reading transaction", 1, func() error { s.txn(clientv3.OpTxn(nil, []clientv3.Op{s.opGet("k")}, nil)); return nil }},
			{"failed writing transaction", 1, func() error {
				_, err := s.Client.Txn(s.ctx).If(fails).Then(s.opPut("k", "")).Else(s.opGet("k")).Commit()
				return err
			}},
			{"grant", 1, func() error { _, err := s.Grant(s.ctx, 60); return err }},
			{"grant, renewal and revocation", 2, func() error {
				id := s.grant(60)
				if _, err := s.KeepAliveOnce(s.ctx, id); err != nil {
					return err
				}
				_, err := s.Revoke(s.ctx, id)
				return err
			}},
		} {
			const rounds = 20 // more than the server may add on its own
			before := s.raftIndex()
			for range rounds {
				s.must(c.do())
			}
			equal(s, c.name, (s.raftIndex()-before)/rounds, c.want)
		}
	})},
}

func (s scene) raftIndex() uint64 {
	s.Helper()
	endpoint := ""
	if all := s.Endpoints(); len(all) > 0 {
		endpoint = all[0]
	}
	resp, err := s.Status(s.ctx, endpoint)
	s.must(err)
	return resp.RaftIndex
}
