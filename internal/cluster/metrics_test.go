package cluster_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/conductor-metal/conductor/internal/cluster"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		client := w.etcd.Client("a")
		members, err := cluster.Follow(t.Context(), client, lease.DefaultRoot, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(members.Close)
		reg := prometheus.NewRegistry()
		metrics := cluster.NewMetrics(reg, members)
		expect := func(want string) {
			t.Helper()
			synctest.Wait()
			if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "conductor_members", "conductor_takeovers_total"); err != nil {
				t.Error(err)
			}
		}
		const header = `# HELP conductor_members Live conductors that this one knows of, itself included.
# TYPE conductor_members gauge
`
		const header2 = `# HELP conductor_takeovers_total Nodes with abandoned work that this conductor took over, by how that ended.
# TYPE conductor_takeovers_total counter
`
		expect(header + "conductor_members{state=\"active\"} 0\nconductor_members{state=\"draining\"} 0\n" +
			header2 + "conductor_takeovers_total{result=\"error\"} 0\nconductor_takeovers_total{result=\"ok\"} 0\n")

		openAs(t, w.etcd, "a")
		dying := openAs(t, w.etcd, "dying")
		if err := openAs(t, w.etcd, "b").SetState(t.Context(), cluster.Draining); err != nil {
			t.Fatal(err)
		}
		for _, id := range w.ids {
			w.hold(dying, id)
		}
		w.etcd.Cut("dying")
		time.Sleep(time.Minute)
		results := map[node.ID]error{w.ids[0]: nil, w.ids[1]: errors.New("broken"), w.ids[2]: lease.ErrHeld}
		take := cluster.NewTakeover(cluster.TakeoverConfig{
			Host: "a", Members: members, Locks: lease.Locks{Client: client}, Store: w.store, Metrics: metrics,
			Recover: func(_ context.Context, id node.ID) error { return results[id] },
		})
		if _, err := take.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		expect(header + "conductor_members{state=\"active\"} 1\nconductor_members{state=\"draining\"} 1\n" +
			header2 + "conductor_takeovers_total{result=\"error\"} 1\nconductor_takeovers_total{result=\"ok\"} 1\n")
	})
}
