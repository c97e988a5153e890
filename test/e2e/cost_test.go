package e2e

import (
	"testing"
	"time"
)

// What locks cost etcd, in entries of its raft log, by etcd's own count.
func TestRaftEntries(t *testing.T) {
	need(t)
	t.Parallel()
	const n = 100
	e := startEtcd(t, 1)
	m := e.members[0]
	h := startHolder(t, e.endpoints(), "h", "-ttl", "60s") // no request is sent twice because a disk is slow
	h.tell("cycles warm 1")
	h.hear("cycles", 5*time.Second)
	measure := func(what string, want float64, per int, f func() said) {
		t.Helper()
		before := m.entries(t)
		s := f()
		cost := (m.entries(t) - before) / float64(per)
		t.Logf("%s: %.2f entries, %.2f ms", what, cost, 1000*s.Seconds/float64(per))
		if cost != want {
			t.Errorf("%s: %.2f entries, want %.2f", what, cost, want)
		}
	}
	measure("lock with the record read, release with a write", 2, n, func() said {
		h.tell("cycles cycle %d", n)
		return h.hear("cycles", 2*time.Minute)
	})
	h.tell("handoffs hand %d", n)
	h.hear("first", 5*time.Second)
	e.queued("hand", n+1)
	// The release of the first, and of each of the others with its write: the next one costs nothing.
	measure("handoff with a write", 1, n+1, func() said {
		h.tell("release hand")
		return h.hear("handoffs", 2*time.Minute)
	})
	h.lock("conv", "shared")
	measure("upgrade, or downgrade with a write", 1, 2*n, func() said {
		h.tell("conversions conv %d", n)
		return h.hear("conversions", 2*time.Minute)
	})
	h.close()
	e.audit()
}
