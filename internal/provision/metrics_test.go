package provision_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/node"
)

// The nodes are told by who looks at them, anew with each look, and by nobody else.
func TestNodesByState(t *testing.T) {
	inBubble(t, in(node.StateActive), func(t *testing.T, c *cluster) {
		reg := prometheus.NewRegistry()
		p, _ := c.configured(t, "c1", provision.Config{Metrics: provision.NewMetrics(reg)})
		c.another(t, node.StateActive)
		c.another(t, node.StateManageable)
		expect := func(want map[string]float64) {
			t.Helper()
			synctest.Wait()
			got := nodesTold(t, reg)
			for labels, n := range want {
				if told, ok := got[labels]; !ok || told != n {
					t.Errorf("%v nodes %s (told: %v), want %v", told, labels, ok, n)
				}
			}
			if len(want) == 0 && len(got) > 0 {
				t.Errorf("told of nodes that nobody looks at: %v", got)
			}
		}
		expect(nil)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- p.Run(ctx) }()
		expect(map[string]float64{"active": 2, "manageable": 1, "available": 0, "active in maintenance": 0})
		c.put(t, func(n *node.Node) { n.Maintenance = true })
		time.Sleep(2 * time.Minute)
		expect(map[string]float64{"active": 1, "manageable": 1, "available": 0, "active in maintenance": 1})
		cancel()
		<-ended
		expect(nil)
	})
}

func nodesTold(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := m.GetLabel()
			state := labels[1].GetValue()
			if labels[0].GetValue() == "true" {
				state += " in maintenance"
			}
			told[state] = m.GetGauge().GetValue()
		}
	}
	return told
}
