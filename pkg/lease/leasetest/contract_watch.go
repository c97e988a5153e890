package leasetest

import (
	"context"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// seen describes a response: "+key" and "-key" for its events, with the
// previous value in parentheses.
func (s scene) seen(resp clientv3.WatchResponse) string {
	var all []string
	for _, ev := range resp.Events {
		sign := "+"
		if ev.Type == clientv3.EventTypeDelete {
			sign = "-"
		}
		was := ""
		if ev.PrevKv != nil {
			was = fmt.Sprintf("(%s)", ev.PrevKv.Value)
		}
		all = append(all, sign+strings.TrimPrefix(string(ev.Kv.Key), s.prefix)+was)
	}
	return strings.Join(all, " ")
}

func (s scene) watch(key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	return s.Watch(s.ctx, s.prefix+key, opts...)
}

var watchCases = []Case{
	{"a watch from now", act(func(s scene) {
		rev := s.put("k", "0").Header.Revision
		w := s.watch("", clientv3.WithPrefix(), clientv3.WithCreatedNotify(), clientv3.WithPrevKV())
		created := <-w
		equal(s, "created", created.Created, true)
		equal(s, "created at", created.Header.Revision, rev)
		s.put("k", "1")
		resp := <-w
		equal(s, "put", s.seen(resp), "+k(0)")
		equal(s, "revision", resp.Header.Revision, rev+1)
		s.delete("k")
		equal(s, "delete", s.seen(<-w), "-k(1)")
		s.put("k", "2")
		equal(s, "create", s.seen(<-w), "+k")
	})},
	{"one response for one revision", act(func(s scene) {
		s.put("c", "old")
		w := s.watch("", clientv3.WithPrefix(), clientv3.WithPrevKV())
		s.txn(s.opPut("b", ""), s.opDelete("c"), s.opPut("a", ""))
		equal(s, "events", s.seen(<-w), "+b -c(old) +a")
	})},
	{"a watch from the past", act(func(s scene) {
		first := s.put("a", "1").Header.Revision
		s.put("b", "1")
		s.put("a", "2")
		s.delete("b")
		w := s.watch("", clientv3.WithPrefix(), clientv3.WithRev(first+1), clientv3.WithPrevKV())
		got := s.seen(<-w)
		s.put("c", "")
		got += " " + s.seen(<-w)
		equal(s, "events", got, "+b +a(1) -b(1) +c")
	})},
	{"a watch from the future", act(func(s scene) {
		now := s.put("k", "").Header.Revision
		w := s.watch("k", clientv3.WithRev(now+2))
		s.put("k", "missed")
		rev := s.put("k", "seen").Header.Revision
		equal(s, "revision", (<-w).Events[0].Kv.ModRevision, rev)
	})},
	{"filters", act(func(s scene) {
		deletes := s.watch("k", clientv3.WithFilterPut())
		puts := s.watch("k", clientv3.WithFilterDelete())
		s.put("k", "")
		s.delete("k")
		s.put("k", "")
		equal(s, "without puts", s.seen(<-deletes), "-k")
		equal(s, "without deletes", s.seen(<-puts), "+k")
		equal(s, "without deletes", s.seen(<-puts), "+k")
	})},
	{"a watch that begins before the compaction", act(func(s scene) {
		old := s.put("k", "1").Header.Revision
		now := s.put("k", "2").Header.Revision
		live := s.watch("k")
		_, err := s.Compact(s.ctx, now)
		s.must(err)
		w := s.watch("k", clientv3.WithRev(old))
		resp := <-w
		equal(s, "canceled", resp.Canceled, true)
		equal(s, "compact revision", resp.CompactRevision, now)
		s.refused("watch", resp.Err(), rpctypes.ErrCompacted)
		_, open := <-w
		equal(s, "open", open, false)
		at := s.watch("k", clientv3.WithRev(now))
		equal(s, "from the compaction", s.seen(<-at), "+k")
		s.put("k", "3")
		equal(s, "live", s.seen(<-live), "+k")
	})},
	{"a canceled watch", act(func(s scene) {
		ctx, cancel := context.WithCancel(s.ctx)
		w := s.Watch(ctx, s.prefix+"k")
		cancel()
		resp, open := <-w
		equal(s, "open", open, false)
		equal(s, "canceled", resp.Canceled, false)
		w = s.Watch(ctx, s.prefix+"k")
		_, open = <-w
		equal(s, "open after the context", open, false)
	})},
	{"an impossible range", act(func(s scene) {
		resp, open := <-s.watch("k", clientv3.WithRange("!"))
		equal(s, "open", open, true)
		equal(s, "canceled", resp.Canceled, true)
		if resp.Err() == nil {
			s.Error("no error")
		}
	})},
	{"progress on request", act(func(s scene) {
		w := s.watch("k")
		rev := s.put("other", "").Header.Revision
		s.must(s.RequestProgress(s.ctx))
		resp := <-w
		equal(s, "progress", resp.IsProgressNotify(), true)
		equal(s, "revision", resp.Header.Revision, rev)
	})},
}
