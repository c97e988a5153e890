package cluster_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/internal/cluster"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
)

func hosts(m *cluster.Members) string {
	v, _ := m.View()
	var out []string
	for _, m := range v.Members {
		out = append(out, m.Host+":"+m.State)
	}
	return strings.Join(out, " ")
}

// Members are seen to come, drain, go and die, also when the stream breaks or
// what it missed was compacted.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := leasetest.New()
		t.Cleanup(e.Close)
		watcher := e.Client("watcher")
		m, err := cluster.Follow(t.Context(), watcher, lease.DefaultRoot, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		expect := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := hosts(m); got != want {
				t.Errorf("members %q, want %q", got, want)
			}
		}
		expect("")
		_, changed := m.View()
		b := openAs(t, e, "b")
		openAs(t, e, "c")
		a := openAs(t, e, "a")
		expect("a:active b:active c:active")
		select {
		case <-changed:
		default:
			t.Error("not told of the change")
		}
		if err := b.SetState(t.Context(), cluster.Draining); err != nil {
			t.Fatal(err)
		}
		expect("a:active b:draining c:active")
		if err := a.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		expect("b:draining c:active")
		e.Cut("c") // dies
		time.Sleep(20 * time.Second)
		expect("b:draining")

		e.Cut("watcher")
		time.Sleep(5 * time.Second)
		openAs(t, e, "d")
		r, err := e.Client("other").Get(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Client("other").Compact(t.Context(), r.Header.Revision); err != nil {
			t.Fatal(err)
		}
		expect("b:draining")
		e.Heal("watcher")
		time.Sleep(30 * time.Second)
		expect("b:draining d:active")
	})
}

func openAs(t *testing.T, e *leasetest.Etcd, host string) *lease.Session {
	t.Helper()
	s, err := lease.Open(t.Context(), e.Client(host), lease.Config{Holder: host})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.Close(ctx) // cut off, perhaps
	})
	return s
}
