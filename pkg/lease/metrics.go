package lease

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"google.golang.org/grpc/status"
)

// Metrics counts what sessions do. One Metrics may serve all sessions of a process, one after the
// other. Labels are bounded: no name of a lock is among them, and purposes are those that
// NewMetrics was given.
type Metrics struct {
	acquisitions     *prometheus.CounterVec
	wait             *prometheus.HistogramVec
	hold             *prometheus.HistogramVec
	held             *prometheus.GaugeVec
	waiters          *prometheus.GaugeVec
	losses           *prometheus.CounterVec
	sessionsLost     *prometheus.CounterVec
	fenced           *prometheus.CounterVec
	upgradeConflicts prometheus.Counter
	renewals         *prometheus.CounterVec
	watchRestarts    prometheus.Counter
	rescues          prometheus.Counter
	ghosts           prometheus.Counter
	etcd             *prometheus.HistogramVec
	etcdUp           prometheus.Gauge

	purposes []string

	mu      sync.Mutex
	session *Session // the newest
}

var waitBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}

// NewMetrics registers the metrics of locks, leases and etcd requests. Purposes are the values
// that the label may take; any other purpose is counted as "other". A nil reg counts for nobody.
func NewMetrics(reg prometheus.Registerer, purposes ...string) *Metrics {
	f := promauto.With(reg)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return f.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return f.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	}
	m := &Metrics{
		acquisitions:     counter("conductor_lock_acquisitions_total", "Attempts to take a lock, by how they ended.", "mode", "result"),
		wait:             histogram("conductor_lock_wait_seconds", "Time from asking for a lock to its answer.", waitBuckets, "mode", "result"),
		hold:             histogram("conductor_lock_hold_seconds", "Time that locks were held.", append(slices.Clone(waitBuckets), 1800, 7200), "mode", "purpose"),
		held:             gauge("conductor_locks_held", "Locks that this process holds.", "mode"),
		waiters:          gauge("conductor_lock_waiters", "Requests of this process that wait for a lock now.", "mode"),
		losses:           counter("conductor_lock_lost_total", "Locks that ended without being released.", "reason"),
		sessionsLost:     counter("conductor_sessions_lost_total", "Sessions that ended without being closed, with or without locks.", "reason"),
		fenced:           counter("conductor_fence_rejections_total", "Writes that etcd refused because the lock was gone.", "operation"),
		upgradeConflicts: f.NewCounter(prometheus.CounterOpts{Name: "conductor_lock_upgrade_conflicts_total", Help: "Upgrades refused because another holder was upgrading."}),
		renewals:         counter("conductor_lease_renewals_total", "Lease renewals, by how they ended.", "result"),
		watchRestarts:    f.NewCounter(prometheus.CounterOpts{Name: "conductor_lock_watch_restarts_total", Help: "Times that the watch on the lock queues had to be opened again."}),
		rescues:          f.NewCounter(prometheus.CounterOpts{Name: "conductor_lock_safety_timer_rescues_total", Help: "Waiters that found their grant by the safety timer and not by an event."}),
		ghosts:           f.NewCounter(prometheus.CounterOpts{Name: "conductor_lock_ghosts_removed_total", Help: "Own entries in etcd that no request knew and that were removed."}),
		etcd:             histogram("conductor_etcd_request_duration_seconds", "Requests of locks to etcd.", waitBuckets[:14], "operation", "code"),
		etcdUp:           f.NewGauge(prometheus.GaugeOpts{Name: "conductor_etcd_up", Help: "Whether the last request of locks to etcd was answered."}),
		purposes:         purposes,
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "conductor_lease_trust_seconds", Help: "How long the session may still be relied on if no renewal succeeds; negative when overdue."},
		func() float64 { return m.current(func(s *Session) float64 { return s.Trust().Seconds() }) })
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "conductor_lease_ttl_seconds", Help: "TTL of the session's leases."},
		func() float64 { return m.current(func(s *Session) float64 { return s.cfg.TTL.Seconds() }) })
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "conductor_lease_shards", Help: "Leases that the session renews."},
		func() float64 {
			return m.current(func(s *Session) float64 {
				s.mu.Lock()
				defer s.mu.Unlock()
				return float64(len(s.shards))
			})
		})
	for _, mode := range []Mode{Shared, Exclusive} {
		labels := prometheus.Labels{"mode": string(mode)}
		f.NewGaugeFunc(prometheus.GaugeOpts{Name: "conductor_lock_oldest_wait_seconds", Help: "For how long the request of this process that has waited longest waits; 0 when none does.", ConstLabels: labels},
			func() float64 { return m.oldest(func(l *Lock) (Mode, time.Time) { return l.want, l.asked }, mode) })
		f.NewGaugeFunc(prometheus.GaugeOpts{Name: "conductor_lock_oldest_hold_seconds", Help: "For how long this process has had the lock that it has held longest; 0 when it holds none.", ConstLabels: labels},
			func() float64 { return m.oldest(func(l *Lock) (Mode, time.Time) { return l.mode, l.granted }, mode) })
	}
	m.zeroes()
	return m
}

// oldest is the age in seconds of the oldest that what tells of the session's locks in a mode.
func (m *Metrics) oldest(what func(*Lock) (Mode, time.Time), mode Mode) float64 {
	return m.current(func(s *Session) float64 {
		s.mu.Lock()
		locks := slices.Collect(maps.Values(s.locks))
		s.mu.Unlock()
		var age time.Duration
		for _, l := range locks {
			l.mu.Lock()
			if is, since := what(l); is == mode && !l.released && l.ctx.Err() == nil {
				age = max(age, time.Since(since))
			}
			l.mu.Unlock()
		}
		return age.Seconds()
	})
}

// zeroes makes the series exist before their first event, so that a rate sees it.
func (m *Metrics) zeroes() {
	for _, mode := range []Mode{Shared, Exclusive} {
		for _, r := range []string{"acquired", "busy", "timeout", "canceled", "lost", "error"} {
			m.acquisitions.WithLabelValues(string(mode), r)
			m.wait.WithLabelValues(string(mode), r)
		}
		m.held.WithLabelValues(string(mode))
		m.waiters.WithLabelValues(string(mode))
	}
	for _, r := range []Reason{Expired, Broken, Deleted} {
		m.losses.WithLabelValues(string(r))
	}
	for _, e := range []ending{leaseGone, keyGone, otherEtcd, noRenewal} {
		m.sessionsLost.WithLabelValues(e.reason)
	}
	for _, p := range append(slices.Clone(m.purposes), "other") { // shared, most of them are never held
		m.hold.WithLabelValues(string(Exclusive), p)
	}
	for _, op := range []string{"commit", "release", "downgrade", "rename"} {
		m.fenced.WithLabelValues(op)
	}
	for _, r := range []string{"ok", "error", "gone", "unhealthy"} {
		m.renewals.WithLabelValues(r)
	}
}

func (m *Metrics) current(f func(*Session) float64) float64 {
	m.mu.Lock()
	s := m.session
	m.mu.Unlock()
	if s == nil {
		return 0
	}
	return f(s)
}

func (m *Metrics) opened(s *Session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.session = s
}

// ended counts the locks that a lost session took with it.
func (m *Metrics) ended(s *Session, to State, locks []*Lock) {
	for _, l := range locks {
		// One that was lost by itself just before, has been counted.
		if to == Lost && l.Mode() != "" && errors.Is(context.Cause(l.ctx), context.Cause(s.ctx)) {
			m.losses.WithLabelValues(string(Expired)).Inc()
		}
	}
}

func (m *Metrics) lost(r Reason, mode Mode) {
	if mode != "" {
		m.losses.WithLabelValues(string(r)).Inc()
	}
}

func result(err error) string {
	held, _ := errors.AsType[*HeldError](err)
	switch {
	case err == nil:
		return "acquired"
	case held != nil && held.Waited > 0:
		return "timeout"
	case held != nil, errors.Is(err, ErrUpgradeConflict):
		return "busy"
	case errors.Is(err, ErrLost), errors.Is(err, ErrClosed), errors.Is(err, ErrSuspect):
		return "lost"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "canceled"
	}
	return "error"
}

func (m *Metrics) acquired(mode Mode, took time.Duration, err error) {
	r := result(err)
	m.acquisitions.WithLabelValues(string(mode), r).Inc()
	m.wait.WithLabelValues(string(mode), r).Observe(took.Seconds())
	if err == nil {
		m.held.WithLabelValues(string(mode)).Inc()
	}
}

// upgraded counts a finished upgrade as an exclusive acquisition.
func (m *Metrics) upgraded(took time.Duration, err error) {
	m.acquired(Exclusive, took, err)
	if err == nil {
		m.held.WithLabelValues(string(Shared)).Dec()
	}
}

func (m *Metrics) downgraded() {
	m.held.WithLabelValues(string(Exclusive)).Dec()
	m.held.WithLabelValues(string(Shared)).Inc()
}

func (m *Metrics) released(mode Mode, purpose string, held time.Duration) {
	if mode == "" {
		return
	}
	if !slices.Contains(m.purposes, purpose) {
		purpose = "other"
	}
	m.held.WithLabelValues(string(mode)).Dec()
	m.hold.WithLabelValues(string(mode), purpose).Observe(held.Seconds())
}

func (m *Metrics) waiting(mode Mode, n float64) {
	m.waiters.WithLabelValues(string(mode)).Add(n)
}

func (m *Metrics) request(op string, start time.Time, err error) {
	m.etcd.WithLabelValues(op, status.Code(err).String()).Observe(time.Since(start).Seconds())
	up := 1.0
	if err != nil && unknownOutcome(err) {
		up = 0
	}
	m.etcdUp.Set(up)
}
