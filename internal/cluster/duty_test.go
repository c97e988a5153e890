package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/internal/cluster"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
)

// office counts who does a duty at the same time.
type office struct {
	mu  sync.Mutex
	now map[string]bool
}

func (o *office) who() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := ""
	for host := range o.now {
		out += host
	}
	return out
}

// Exactly one does the duty; it goes on when that one stops, dies, or says that it cannot.
func TestDuty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := leasetest.New()
		t.Cleanup(e.Close)
		o := &office{now: map[string]bool{}}
		unable := map[string]*atomic.Bool{}
		stops := map[string]context.CancelFunc{}
		var wg sync.WaitGroup
		for i := range 4 {
			host := fmt.Sprintf("c%d", i)
			sick := &atomic.Bool{}
			unable[host] = sick
			d := cluster.Duty{
				Client: e.Client(host), Root: lease.DefaultRoot, Name: "sweep", Host: host, TTL: 10 * time.Second,
				Able: func() error {
					if sick.Load() {
						return errors.New("not today")
					}
					return nil
				},
				Work: func(ctx context.Context) error {
					o.mu.Lock()
					o.now[host] = true
					o.mu.Unlock()
					<-ctx.Done()
					o.mu.Lock()
					delete(o.now, host)
					o.mu.Unlock()
					return nil
				},
			}
			ctx, cancel := context.WithCancel(t.Context())
			stops[host] = cancel
			wg.Go(func() { d.Run(ctx) })
		}
		holder := func(not string, within time.Duration) string {
			t.Helper()
			time.Sleep(within)
			synctest.Wait()
			who := o.who()
			if len(who) != 2 || who == not {
				t.Fatalf("on duty: %q, before: %q", who, not)
			}
			return who
		}
		first := holder("", 5*time.Second)
		if again := holder("", time.Minute); again != first {
			t.Errorf("went from %s to %s for no reason", first, again)
		}
		stops[first]()
		second := holder(first, 5*time.Second)
		unable[second].Store(true)
		third := holder(second, 5*time.Second)
		e.Cut(third)
		holder(third, 30*time.Second)
		for _, stop := range stops {
			stop()
		}
		e.HealAll()
		wg.Wait()
	})
}
