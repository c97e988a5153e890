package lease

import (
	"context"
	"fmt"
	"time"
)

// State is how far a session can be trusted.
type State int

// A session is Live while its last renewal is young enough, Suspect when it has grown too old
// (no new lock, no new hardware command; it may recover), and then Lost or Closed for good.
const (
	Live State = iota
	Suspect
	Lost
	Closed
)

func (s State) String() string { return [...]string{"live", "suspect", "lost", "closed"}[s] }

// stamp is a moment on two clocks: the monotonic one, which nobody can set but which stands still
// while the machine is suspended, and the wall clock, which is the other way round.
type stamp struct{ mono, wall time.Time }

func now() stamp {
	t := time.Now()
	return stamp{t, t.Round(0)}
}

// age is the longer of the times that the two clocks say have passed.
func (a stamp) age(at stamp) time.Duration {
	return max(at.mono.Sub(a.mono), at.wall.Sub(a.wall))
}

// window is the trust that one renewal buys. It counts from before the request was sent: etcd
// cannot have armed the lease earlier, so it cannot delete our entries sooner than sent+TTL.
type window struct{ suspect, lost time.Duration }

func trustWindow(ttl, margin time.Duration) window {
	return window{suspect: ttl - margin, lost: ttl - margin/2}
}

// arm starts the clocks of a registered session.
func (s *Session) arm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trusted = s.oldest()
	w := s.window()
	left := w.suspect - s.trusted.age(now())
	s.suspect = time.AfterFunc(left, s.expire)
	s.lost = time.AfterFunc(left+w.lost-w.suspect, s.expire)
}

// window is that of the shortest lease. The caller holds mu.
func (s *Session) window() window {
	ttl := s.shards[0].ttl
	for _, sh := range s.shards {
		ttl = min(ttl, sh.ttl)
	}
	return trustWindow(ttl, s.cfg.Margin)
}

// oldest is the send time of the oldest among the newest renewals of all leases: the session is
// as trusted as its least trusted shard. The caller holds mu.
func (s *Session) oldest() stamp {
	at := s.shards[0].renewed
	for _, sh := range s.shards[1:] {
		if sh.renewed.mono.Before(at.mono) {
			at = sh.renewed
		}
	}
	return at
}

// expire is what the timers call: it looks at the clock again, for a renewal may just have come.
func (s *Session) expire() {
	s.mu.Lock()
	if s.state != Live && s.state != Suspect {
		s.mu.Unlock()
		return
	}
	w, age := s.window(), now().mono.Sub(s.trusted.mono)
	if age >= w.lost {
		s.mu.Unlock()
		s.lose(ending{noRenewal.reason, noRenewal.detail + age.Round(time.Millisecond).String()})
		return
	}
	turned := age >= w.suspect && s.state == Live
	if turned {
		s.state = Suspect
	}
	s.mu.Unlock()
	if turned {
		s.cfg.Logger.Warn("session suspect: lease not renewed in time", "session", s.id, "age", age)
	}
}

// ending is how a session was lost: as the metrics name it, and as people read it.
type ending struct{ reason, detail string }

var (
	leaseGone = ending{"lease_gone", "etcd no longer knows the lease"}
	keyGone   = ending{"key_gone", "the session's key is gone"}
	otherEtcd = ending{"other_etcd", "etcd has another cluster id; was it restored from a backup?"}
	noRenewal = ending{"no_renewal", "no renewal for "} // the time follows
)

// revive makes a suspect session live again if it can be trusted at this moment.
func (s *Session) revive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != Suspect || s.window().suspect <= now().mono.Sub(s.trusted.mono) {
		return false
	}
	s.state = Live
	return true
}

// renewedAll moves the trust window after renewals. It reports whether a suspect session has
// become trustworthy again and must have its entries verified first.
func (s *Session) renewedAll() (verify bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != Live && s.state != Suspect || len(s.shards) == 0 {
		return false
	}
	s.trusted = s.oldest()
	w := s.window()
	left := w.suspect - now().mono.Sub(s.trusted.mono)
	s.suspect.Reset(left)
	s.lost.Reset(left + w.lost - w.suspect)
	return s.state == Suspect && left > 0
}

// Check reports why the session must not be relied on at this moment: nil, ErrSuspect, or the
// cause of its end. It looks at both clocks itself and never blocks. Call it right before each
// act that cannot be undone.
func (s *Session) Check() error {
	if err := context.Cause(s.ctx); err != nil {
		return err
	}
	if left := s.Trust(); left <= 0 {
		return fmt.Errorf("%w: overdue by %s", ErrSuspect, -left)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == Suspect {
		return ErrSuspect
	}
	return nil
}

// Trust is how long the session may still be relied on if no further renewal succeeds. It is
// negative when a renewal is overdue.
func (s *Session) Trust() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == Lost || s.state == Closed || len(s.shards) == 0 {
		return 0
	}
	return s.window().suspect - s.trusted.age(now())
}

// State is the state at this moment.
func (s *Session) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}
