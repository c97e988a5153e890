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

// Requests that reach etcd when their sender has long lost everything change
// nothing: the write is refused, and no entry comes to stand that nobody owns.
func TestRequestsThatComeLate(t *testing.T) {
	need(t)
	t.Parallel()
	e := startEtcd(t, 1)
	p := startProxy(t, e.members[0].url)
	a := startHolder(t, p.url, "a", "-ttl", shortTTL.String())
	b := startHolder(t, e.endpoints(), "b")
	old := a.lock("n", "exclusive")
	a.lock("up", "shared")
	a.lock("down", "exclusive")
	b.tell("lock n exclusive -1 next")
	e.queued("n", 2)
	release := p.hold()
	at := time.Now()
	a.tell("write n late")
	a.tell("lock m exclusive -1 late")
	a.tell("upgrade up 0s")
	a.tell("downgrade down")
	ended := a.hear("ended", 10*time.Second)
	got := b.hear("acquired", 20*time.Second)
	b.tell("write n mine")
	b.hear("wrote", 5*time.Second)
	t.Logf("requests were held back: a was told after %s, b had the lock after %s",
		ended.At.Sub(at).Round(time.Millisecond), got.At.Sub(at).Round(time.Millisecond))
	if !ended.Lost || !ended.At.Before(got.At) {
		t.Errorf("a was told %q after b had the lock", ended.Err)
	}
	release()
	if w := a.hear("wrote", 10*time.Second); !w.Lost {
		t.Errorf("the late write: %q", w.Err)
	}
	if r := a.hear("refused", 10*time.Second); !r.Lost {
		t.Errorf("the late request: %q", r.Err)
	}
	// Behind all of them on the same way, so that they have arrived.
	c := startHolder(t, p.url, "c")
	c.lock("behind", "exclusive")
	c.close()
	b.tell("release n")
	b.hear("released", 5*time.Second)
	e.none("locks/", shortTTL+election)
	if n := e.writers("n"); n[old.Ticket] != 0 || n[got.Ticket] != 1 {
		t.Errorf("writes by ticket: %v", n)
	}
	b.close()
	e.audit()
}
