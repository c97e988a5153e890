package e2e

import (
	"context"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A holder is told that its lock has ended before etcd lets it go, however late
// the answers of etcd are: trust counts from before a renewal was sent. The answers
// are delayed, some renewals are let pass, and then the network is cut. What the
// holder noted as the end of its context is compared with the moment at which
// somebody who sits next to etcd saw the entry vanish.
func TestToldBeforeOthers(t *testing.T) {
	need(t)
	t.Parallel()
	e := startEtcd(t, 1)
	const ttl = 5 * time.Second
	for _, delay := range []time.Duration{0, 100, 500, 1000, 1500, 2000, 2400, 3000} {
		delay *= time.Millisecond
		t.Run(delay.String(), func(t *testing.T) {
			t.Parallel()
			name := "n" + delay.String()
			p := startProxy(t, e.members[0].url)
			h := startHolder(t, p.url, "h-"+delay.String(), "-ttl", ttl.String())
			got := h.lock(name, "exclusive")

			// Next to etcd.
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			vanished := make(chan time.Time, 1)
			events := e.client().Watch(ctx, got.Key, clientv3.WithFilterPut(), clientv3.WithCreatedNotify())
			if w := <-events; !w.Created {
				t.Fatal("no watch on the entry")
			}
			go func() {
				if w, ok := <-events; ok && len(w.Events) > 0 {
					vanished <- time.Now()
				}
			}()

			p.slow(delay)
			// Cut after two renewals more, as far as their answers can still come in time; with
			// slower answers than the session allows, it is the delay that ends it.
			renewed := h.metrics()["conductor_lease_renewals_total"]
			eventually(t, 3*ttl, "renewals or the end", func() error {
				if h.metrics()["conductor_lease_renewals_total"] >= renewed+4 || h.metrics()["conductor_lock_lost_total"] > 0 {
					return nil
				}
				return errNotYet
			})
			close(p.cut)
			ended := h.hear("ended", 3*ttl)
			var gone time.Time
			select {
			case gone = <-vanished:
			case <-time.After(3 * ttl):
				t.Fatal("the entry stands")
			}
			lead := gone.Sub(ended.At)
			t.Logf("answers late by %s: the holder was told %s before the entry was gone", delay, lead.Round(time.Millisecond))
			if lead <= 0 || !ended.Lost {
				t.Errorf("told %s after the entry was gone: %s", -lead, ended.Err)
			}
			h.kill()
		})
	}
	t.Cleanup(e.audit)
}
