package task_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// series are those of a metric: the values of their labels, in the order of the labels' names.
func series(w *world, reg *prometheus.Registry, metric string) []string {
	w.Helper()
	families, err := reg.Gather()
	if err != nil {
		w.Fatal(err)
	}
	var all []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if f.GetName() == metric {
				all = append(all, strings.Join(values, " "))
			}
		}
	}
	return all
}

func TestMetrics(t *testing.T) {
	bubble(t, "each event has a series before it happens", func(w *world) {
		reg := prometheus.NewRegistry()
		task.NewMetrics(reg)
		var want []string
		for _, e := range node.Events() {
			want = append(want, string(e)+" ok")
		}
		if got := series(w, reg, "conductor_provision_events_total"); len(got) != 18 || !slices.Equal(got, want) {
			w.Errorf("got %q, want %q", got, want)
		}
	})
	bubble(t, "calls of drivers, whatever users name their steps", func(w *world) {
		reg := prometheus.NewRegistry()
		c, id := w.conductor("c1", func(c *task.Config) { c.Metrics = task.NewMetrics(reg) }), w.node("")
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			d := x.Driver()
			x.Node().Driver = "changed-meanwhile"
			_, get := d.Power.Get(ctx)
			_, list := d.Steps(ctx, hardware.DeployStep)
			_, run := d.RunStep(ctx, hardware.Step{Interface: "deploy", Name: "deploy", Kind: hardware.DeployStep})
			w.want(errors.Join(get, list, run, d.Power.Set(ctx, node.PowerOn), d.Power.Set(ctx, node.PowerOff)), nil)
			for _, s := range []hardware.Step{{Interface: "deploy", Name: "Users", Kind: hardware.DeployStep}, {Interface: "users", Name: "users"}} {
				if _, err := d.RunStep(ctx, s); err == nil {
					w.Errorf("%v ran", s)
				}
			}
			return nil
		})
		w.want(c.Snapshot(w.Context(), in(id, ""), func(ctx context.Context, s *task.Snapshot) error {
			return s.Driver().Power.Validate(ctx)
		}), nil)
		want := []string{
			"fake-hardware deploy.step error", "fake-hardware deploy.step ok", "fake-hardware other error",
			"fake-hardware power.Get ok", "fake-hardware power.Set ok", "fake-hardware power.Validate ok",
		}
		for _, metric := range []string{"conductor_bmc_requests_total", "conductor_bmc_request_duration_seconds"} {
			got := series(w, reg, metric)
			got = slices.DeleteFunc(got, func(s string) bool { return strings.HasSuffix(s, ".Steps ok") })
			if !slices.Equal(got, want) {
				w.Errorf("%s: got %q, want %q", metric, got, want)
			}
		}
	})
}
