package e2e

import (
	"fmt"
	"testing"
	"time"
)

// One process with 10,000 locks: what they cost to take, to hold and to lose.
// This test is not parallel: it would disturb the others, and they it.
func TestTenThousandLocks(t *testing.T) {
	need(t)
	const n = 10_000
	ttl := 8 * time.Second
	e := startEtcd(t, 1)
	m := e.members[0]
	h := startHolder(t, e.endpoints(), "h", "-ttl", ttl.String())
	h.tell("many n %d", n)
	s := h.hear("many", 3*time.Minute)
	t.Logf("took %d locks in %.1f s: %.0f a second; %d bytes of heap and stack each, %.0f MB resident",
		s.N, s.Seconds, float64(s.N)/s.Seconds, s.Bytes, s.Values["resident"]/1e6)
	if s.N != n || len(e.keys("locks/")) != n {
		t.Fatalf("%d locks are held, %d entries are in etcd, want %d", s.N, len(e.keys("locks/")), n)
	}

	// Two and a half TTLs: ten renewals of each lease.
	before, renewed := m.entries(t), h.metrics()["conductor_lease_renewals_total"]
	<-time.After(20 * time.Second)
	entries, renewals := m.entries(t)-before, h.metrics()["conductor_lease_renewals_total"]-renewed
	t.Logf("held for 20 s: %.0f renewals of %.0f leases, %.0f entries in etcd's log", renewals, h.metrics()["conductor_lease_shards"], entries)
	if entries != 0 {
		t.Errorf("held locks cost %.0f entries", entries)
	}
	if got := len(e.keys("locks/")); got != n {
		t.Errorf("%d entries after 20 s", got)
	}

	o := startHolder(t, e.endpoints(), "o", "-ttl", ttl.String())
	o.tell("lock n%d exclusive -1 next", n/2)
	e.queued(fmt.Sprint("n", n/2), 2)
	killed := h.kill()
	// While etcd takes 10,000 entries away, others must be served.
	slowest := time.Duration(0)
	gone := eventually(t, ttl+20*time.Second, "all entries but one are gone", func() error {
		o.tell("cycles other 1")
		c := o.hear("cycles", 10*time.Second)
		slowest = max(slowest, time.Duration(c.Seconds*float64(time.Second)))
		if got := len(e.keys("locks/")); got != 1 {
			return fmt.Errorf("%d are left", got)
		}
		return nil
	})
	next := o.hear("acquired", 10*time.Second).At.Sub(killed)
	t.Logf("kill -9: the next one held its lock after %s, all %d were gone after %s; meanwhile another's lock and release took at most %s",
		next.Round(time.Millisecond), n, gone.Round(time.Millisecond), slowest.Round(time.Millisecond))
	if limit := ttl + election; next > limit+n/1000*time.Second/2 || gone > limit+n/1000*time.Second {
		t.Errorf("too slow: TTL %s, an election, and etcd ends 1000 leases a second", ttl)
	}
	if slowest > 5*time.Second { // as a rule a tenth of a second: a slow disk may have a second of its own
		t.Errorf("etcd was busy for %s", slowest)
	}
	o.tell("settle n%d", n/2)
	o.tell("release n%d", n/2)
	o.hear("released", 5*time.Second)
	o.close()
	e.audit()
}
