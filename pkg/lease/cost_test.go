package lease_test

import (
	"fmt"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// TestRaftEntries holds the promise of P7 against etcd's own count of its log.
func TestRaftEntries(t *testing.T) {
	server, endpoint, err := startEtcd(tempDir(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	w := &world{T: t, root: "/cost/", client: func() *clientv3.Client { return c }}
	index := func() uint64 {
		t.Helper()
		st, err := c.Status(t.Context(), endpoint)
		if err != nil {
			t.Fatal(err)
		}
		return st.RaftIndex
	}
	for i := range 12 {
		kind := []string{"nodes/n", "ports/n/", "portgroups/n/", "volume-connectors/n/", "volume-targets/n/"}[i%5]
		key := w.root + kind
		if i%5 > 0 {
			key += fmt.Sprint(i)
		}
		if _, err := c.Put(t.Context(), key, "record"); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, c, lease.Config{Root: w.root, Holder: "a", TTL: time.Minute}) // no request is sent twice because a disk is slow
	req := lease.Request{Name: "n", Wait: lease.Patient, Require: w.root + "nodes/n"}
	for _, k := range []string{"nodes/n", "ports/n/", "portgroups/n/", "volume-connectors/n/", "volume-targets/n/"} {
		req.Read = append(req.Read, w.root+k)
	}
	shared := req
	shared.Mode = lease.Shared
	measure := func(what string, n int, want float64, f func()) {
		t.Helper()
		before := index()
		for range n {
			f()
		}
		if got := float64(index()-before) / float64(n); got != want {
			t.Errorf("%s: %.2f raft entries, want %.2f", what, got, want)
		}
	}
	measure("acquire with records, release with a write", 50, 2, func() {
		l := w.acquire(s, req)
		if len(l.Records().KVs) != 10 {
			t.Fatalf("%d records", len(l.Records().KVs))
		}
		if err := l.Release(t.Context(), w.put("nodes/n", "new")); err != nil {
			t.Fatal(err)
		}
	})
	measure("write without a lock", 50, 1, func() {
		f := w.free(s)
		if _, err := f.Write(t.Context(), w.edit(f, "edited")); err != nil {
			t.Fatal(err)
		}
	})
	var l *lease.Lock
	measure("acquire shared", 1, 1, func() { l = w.acquire(s, shared) })
	measure("upgrade", 1, 1, func() {
		if err := l.Upgrade(t.Context(), "up", 0); err != nil {
			t.Fatal(err)
		}
	})
	measure("downgrade with a write", 1, 1, func() {
		if err := l.Downgrade(t.Context(), w.put("nodes/n", "down")); err != nil {
			t.Fatal(err)
		}
	})
	w.release(l)
	l = w.acquire(s, req)
	measure("downgrade of an entry", 1, 1, func() {
		if err := l.Downgrade(t.Context(), lease.Write{}); err != nil {
			t.Fatal(err)
		}
	})
	w.release(l)
	l = w.acquire(s, req)
	for before := index(); ; before = index() { // until the session's watch has told of the lock
		if _, err := s.Acquire(t.Context(), lease.Request{Name: "n"}); err == nil {
			t.Fatal("got a held lock")
		}
		if index() == before {
			break
		}
	}
	measure("refused try", 20, 0, func() {
		if _, err := s.Acquire(t.Context(), lease.Request{Name: "n"}); err == nil {
			t.Fatal("got a held lock")
		}
	})
	waiters := make([]<-chan outcome, 20)
	for i := range waiters {
		waiters[i] = w.later(s, req)
		w.queued("n", i+2)
	}
	next := 0
	measure("handoff", 20, 1, func() {
		w.release(l)
		o := <-waiters[next]
		if o.err != nil {
			t.Fatal(o.err)
		}
		l = o.lock
		next++
	})
	w.release(l)
	s = open(t, c, lease.Config{Root: w.root, Holder: "b", TTL: 4 * time.Second})
	for i := range 200 {
		w.acquire(s, lease.Request{Name: fmt.Sprint("held", i)})
	}
	measure("200 held locks through five renewals", 1, 0, func() { <-time.After(5 * time.Second) })
}
