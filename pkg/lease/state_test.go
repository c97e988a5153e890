package lease_test

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
)

func stateOf(t *testing.T, c *clientv3.Client, host string) string {
	t.Helper()
	r, err := c.Get(t.Context(), lease.DefaultRoot+"conductors/"+host)
	if err != nil || len(r.Kvs) != 1 {
		t.Fatalf("key of %s: %v, %v", host, r, err)
	}
	var m struct{ State string }
	if err := json.Unmarshal(r.Kvs[0].Value, &m); err != nil {
		t.Fatal(err)
	}
	return m.State
}

// The state is told in the key, and neither locks nor abandoned requests lose or revert it.
func TestSetState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := leasetest.New()
		t.Cleanup(e.Close)
		c := e.Client("a")
		s := open(t, c, lease.Config{Holder: "a"})
		held, err := s.Acquire(t.Context(), lease.Request{Name: "n"})
		if err != nil {
			t.Fatal(err)
		}
		if got := stateOf(t, c, "a"); got != "active" {
			t.Fatalf("begins as %q", got)
		}
		if err := s.SetState(t.Context(), "draining"); err != nil {
			t.Fatal(err)
		}
		if got := stateOf(t, c, "a"); got != "draining" || held.Check() != nil {
			t.Errorf("state %q, lock %v", got, held.Check())
		}
		// A request whose answer is lost is abandoned, which writes the session's key.
		e.SetNetwork("a", leasetest.Network{Answer: func(c leasetest.Call) leasetest.Fate {
			return leasetest.Fate{Lost: c.Method == "Txn"}
		}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Acquire(ctx, lease.Request{Name: "m"}); err == nil {
			t.Error("acquired without an answer")
		}
		e.SetNetwork("a", leasetest.Network{})
		time.Sleep(time.Minute)
		if got := stateOf(t, c, "a"); got != "draining" {
			t.Errorf("state %q after an abandoned request", got)
		}
		if _, err := s.Acquire(t.Context(), lease.Request{Name: "m"}); err != nil {
			t.Error(err)
		}
	})
}

// A keeper's later sessions say what the last one did.
func TestKeeperKeepsState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := leasetest.New()
		t.Cleanup(e.Close)
		c := e.Client("a")
		k, err := lease.Keep(t.Context(), c, lease.Config{Holder: "a"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = k.Close(t.Context()) })
		if err := k.SetState(t.Context(), "draining"); err != nil {
			t.Fatal(err)
		}
		first, _ := k.Current()
		e.Cut("a")
		time.Sleep(time.Minute)
		if err := k.SetState(t.Context(), "draining"); err == nil {
			t.Error("told a state while there is no session")
		}
		e.Heal("a")
		time.Sleep(time.Minute)
		if next, err := k.Current(); err != nil || next == first {
			t.Fatalf("no new session: %v", err)
		}
		if got := stateOf(t, c, "a"); got != "draining" {
			t.Errorf("the next session says %q", got)
		}
	})
}
