package lease

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestTrustWindow(t *testing.T) {
	for _, tt := range []struct{ ttl, margin, suspect, lost time.Duration }{
		{15 * time.Second, 3 * time.Second, 12 * time.Second, 13500 * time.Millisecond},
		{2 * time.Second, time.Second, time.Second, 1500 * time.Millisecond},
		{10 * time.Second, 0, 10 * time.Second, 10 * time.Second},
	} {
		w := trustWindow(tt.ttl, tt.margin)
		if w.suspect != tt.suspect || w.lost != tt.lost {
			t.Errorf("TTL %s, margin %s: got %v, want suspect %s, lost %s", tt.ttl, tt.margin, w, tt.suspect, tt.lost)
		}
		if w.suspect > w.lost || w.lost > tt.ttl {
			t.Errorf("TTL %s, margin %s: %v is out of order, or ends after etcd may delete", tt.ttl, tt.margin, w)
		}
	}
}

func TestAgeIsThatOfTheClockThatSawMore(t *testing.T) {
	a := now()
	for _, tt := range []struct {
		name             string
		mono, wall, want time.Duration
	}{
		{"both agree", 5 * time.Second, 5 * time.Second, 5 * time.Second},
		{"suspended: the monotonic clock stood still", time.Second, time.Hour, time.Hour},
		{"the wall clock was set back", 5 * time.Second, -time.Hour, 5 * time.Second},
		{"the wall clock was set ahead", 5 * time.Second, time.Minute, time.Minute},
	} {
		at := stamp{mono: a.mono.Add(tt.mono), wall: a.wall.Add(tt.wall)}
		if got := a.age(at); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
	if a.wall.String() != a.wall.Round(0).String() || a.mono.String() == a.mono.Round(0).String() {
		t.Error("a stamp wants one reading with the monotonic clock and one without")
	}
}

// A session is as trusted as its oldest shard and its shortest TTL, on either clock.
func TestTrustOfShards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Session{cfg: Config{Margin: 3 * time.Second}}
		s.shards = []*shard{{ttl: 20 * time.Second, renewed: now()}}
		time.Sleep(2 * time.Second)
		s.shards = append(s.shards, &shard{ttl: 15 * time.Second, renewed: now()})
		s.trusted = s.oldest()
		if got, want := s.Trust(), 10*time.Second; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		time.Sleep(11 * time.Second)
		if got, want := s.Trust(), -time.Second; got != want {
			t.Errorf("overdue: got %s, want %s", got, want)
		}
		s.shards[0].renewed = now()
		s.trusted = s.oldest()
		if got, want := s.Trust(), time.Second; got != want {
			t.Errorf("one shard renewed: got %s, want %s", got, want)
		}
		s.trusted.wall = s.trusted.wall.Add(-time.Hour) // as after a suspend
		if got := s.Trust(); got > -50*time.Minute {
			t.Errorf("after an hour of suspend: got %s", got)
		}
		s.state = Lost
		if got := s.Trust(); got != 0 {
			t.Errorf("lost: got %s, want 0", got)
		}
	})
}
