package lease_test

import (
	"math"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
)

// metric reads the series of a name that has a value of a label.
func metric(t *testing.T, reg *prometheus.Registry, name, label string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("there is no %s of %q", name, label)
	return 0
}

func TestOldestWaitAndHold(t *testing.T) {
	inLab(t, func(b *lab) {
		reg := prometheus.NewRegistry()
		a, other := b.session("a", measured(reg)), b.session("b")
		want := func(when string, mode lease.Mode, wait, hold float64) {
			b.Helper()
			if got := math.Round(metric(b.T, reg, "conductor_lock_oldest_wait_seconds", string(mode))); got != wait {
				b.Errorf("%s: the oldest %s wait is %v s, want %v", when, mode, got, wait)
			}
			if got := math.Round(metric(b.T, reg, "conductor_lock_oldest_hold_seconds", string(mode))); got != hold {
				b.Errorf("%s: the oldest %s hold is %v s, want %v", when, mode, got, hold)
			}
		}
		want("at first", lease.Exclusive, 0, 0)
		l := b.acquire(a, lease.Request{Name: "n"})
		time.Sleep(time.Minute)
		b.acquire(a, lease.Request{Name: "younger"})
		want("held for a minute", lease.Exclusive, 0, 60)

		r := b.acquire(a, lease.Request{Name: "shared", Mode: lease.Shared})
		beside := b.acquire(other, lease.Request{Name: "shared", Mode: lease.Shared})
		waiter := b.later(a, lease.Request{Name: "n", Wait: lease.Patient})
		b.queued("n", 2)
		time.Sleep(time.Minute)
		upgraded := make(chan error, 1)
		go func() { upgraded <- r.Upgrade(b.Context(), "", lease.Patient) }() // ends with the release below
		time.Sleep(30 * time.Second)
		want("waited for", lease.Exclusive, 90, 150)
		want("waited for", lease.Shared, 0, 90)

		b.release(l)
		next := <-waiter
		b.want(next.err, nil)
		want("an upgrade waits since it was asked for", lease.Exclusive, 30, 90)
		b.release(beside)
		b.want(<-upgraded, nil)
		want("upgraded", lease.Shared, 0, 0)
		want("upgraded", lease.Exclusive, 0, 90)
	})
}

func TestSessionsLost(t *testing.T) {
	for reason, spoil := range map[string]func(b *lab, s *lease.Session, l *lease.Lock){
		"no_renewal": func(b *lab, _ *lease.Session, _ *lease.Lock) {
			b.etcd.SetNetwork("a", leasetest.Network{Request: func(leasetest.Call) leasetest.Fate { return leasetest.Fate{Lost: true} }})
		},
		"lease_gone": func(b *lab, _ *lease.Session, l *lease.Lock) {
			if _, err := b.client().Revoke(b.Context(), b.queued(l.Name(), 1).Entries[0].Lease); err != nil {
				b.Fatal(err)
			}
		},
		"key_gone": func(b *lab, s *lease.Session, l *lease.Lock) {
			if _, err := b.client().Delete(b.Context(), b.root+"conductors/a"); err != nil {
				b.Fatal(err)
			}
			_ = s.SetState(b.Context(), "draining")
		},
	} {
		t.Run(reason, func(t *testing.T) {
			inLab(t, func(b *lab) {
				reg := prometheus.NewRegistry()
				s := b.session("a", measured(reg))
				l := b.acquire(s, lease.Request{Name: "n"})
				for _, r := range []string{"no_renewal", "lease_gone", "key_gone", "other_etcd"} {
					if got := metric(t, reg, "conductor_sessions_lost_total", r); got != 0 {
						t.Errorf("%v sessions lost for %s at first, want 0", got, r)
					}
				}
				spoil(b, s, l)
				b.until(time.Minute, "the session is lost", func() bool { return s.Context().Err() != nil })
				if got := metric(t, reg, "conductor_sessions_lost_total", reason); got != 1 {
					t.Errorf("%v sessions lost for %s, want 1", got, reason)
				}
				if got := counter(t, reg, "conductor_sessions_lost_total"); got != 1 {
					t.Errorf("%v sessions lost, want 1", got)
				}
			})
		})
	}
}
