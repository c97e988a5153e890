package lease_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
)

// A session that etcd took long to grant, for example because it was paused, is renewed at once
// and not at the first tick: it is of use right away.
func TestSlowGrantIsRenewedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := leasetest.New()
		t.Cleanup(e.Close)
		c := e.Client("a")
		t.Cleanup(func() { c.Close() })
		e.SetNetwork("a", leasetest.Network{Answer: func(c leasetest.Call) leasetest.Fate {
			if c.Method == "LeaseGrant" {
				return leasetest.Fate{Delay: 6 * time.Second}
			}
			return leasetest.Fate{}
		}})
		s := open(t, c, lease.Config{Holder: "a"})
		synctest.Wait()
		if left := s.Trust(); left < 11*time.Second {
			t.Errorf("trusted for %s after a slow grant", left)
		}
	})
}
