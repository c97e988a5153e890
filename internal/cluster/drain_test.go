package cluster_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/internal/cluster"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
)

// An order is heeded when it comes and when it goes, after it was missed, and
// again when it could not be obeyed.
func TestDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := leasetest.New()
		t.Cleanup(e.Close)
		operator := cluster.Drains{Client: e.Client("operator"), Root: lease.DefaultRoot}
		if err := operator.Put(t.Context(), cluster.Order{Host: "a", By: "alice", Why: "new memory"}); err != nil {
			t.Fatal(err)
		}
		if err := operator.Put(t.Context(), cluster.Order{Host: "a", By: "bob"}); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		now, fails := "?", 2
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			cluster.Drains{Client: e.Client("a"), Root: lease.DefaultRoot}.Follow(ctx, "a", func(_ context.Context, o *cluster.Order) error {
				mu.Lock()
				defer mu.Unlock()
				if fails > 0 {
					fails--
					return errors.New("not now")
				}
				now = ""
				if o != nil {
					now = o.By + ": " + o.Why
				}
				return nil
			})
		})
		expect := func(want string) {
			t.Helper()
			time.Sleep(5 * time.Second)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if now != want {
				t.Errorf("order %q, want %q", now, want)
			}
		}
		expect("alice: new memory")
		if err := operator.Take(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		expect("")
		e.Cut("a")
		if err := operator.Put(t.Context(), cluster.Order{Host: "a", By: "carol"}); err != nil {
			t.Fatal(err)
		}
		expect("")
		e.Heal("a")
		time.Sleep(30 * time.Second)
		expect("carol: ")
		if o, err := operator.Find(t.Context(), "a"); err != nil || o.By != "carol" || o.Since.IsZero() {
			t.Errorf("found %v, %v", o, err)
		}
		cancel()
		wg.Wait()
	})
}
