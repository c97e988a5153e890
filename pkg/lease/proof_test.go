package lease_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
)

// The slot of an earlier upgrade of the same lock proves nothing for a later one. The session's
// watch lags by a second, so that its view still has the old slot when the new one is placed.
func TestAnEarlierUpgradeIsNoProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := leasetest.New()
		t.Cleanup(e.Close)
		client := func(name string) *clientv3.Client {
			c := e.Client(name)
			t.Cleanup(func() { c.Close() })
			return c
		}
		a := open(t, client("a"), lease.Config{Holder: "a"})
		b := open(t, client("b"), lease.Config{Holder: "b"})
		ctx := t.Context()
		la, err := a.Acquire(ctx, lease.Request{Name: "n", Mode: lease.Shared})
		if err != nil {
			t.Fatal(err)
		}
		if err := la.Upgrade(ctx, "first", 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		var lag atomic.Bool
		lag.Store(true)
		e.SetNetwork("a", leasetest.Network{Answer: func(c leasetest.Call) leasetest.Fate {
			if c.Method == "Watch" && lag.Load() {
				return leasetest.Fate{Delay: time.Second}
			}
			return leasetest.Fate{}
		}})
		if err := la.Downgrade(ctx, lease.Write{}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Acquire(ctx, lease.Request{Name: "n", Mode: lease.Shared}); err != nil {
			t.Fatal(err)
		}
		if err := la.Upgrade(ctx, "second", 100*time.Millisecond); err == nil {
			t.Fatalf("upgraded beside another holder: mode %s, token %d", la.Mode(), la.Token())
		}
	})
}
