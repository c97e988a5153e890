package cluster

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics tells who lives, as this conductor knows it, and counts what it takes over.
type Metrics struct {
	takeovers *prometheus.CounterVec
}

// NewMetrics registers the metrics of a cluster. A nil reg counts for nobody.
func NewMetrics(reg prometheus.Registerer, members *Members) *Metrics {
	f := promauto.With(reg)
	m := &Metrics{takeovers: f.NewCounterVec(prometheus.CounterOpts{
		Name: "conductor_takeovers_total", Help: "Nodes with abandoned work that this conductor took over, by how that ended.",
	}, []string{"result"})}
	for _, r := range []string{"ok", "error"} {
		m.takeovers.WithLabelValues(r)
	}
	for _, draining := range []bool{false, true} {
		state := Active
		if draining {
			state = Draining
		}
		f.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "conductor_members", Help: "Live conductors that this one knows of, itself included.",
			ConstLabels: prometheus.Labels{"state": state},
		}, func() (n float64) {
			v, _ := members.View()
			for _, m := range v.Members {
				if (m.State == Draining) == draining {
					n++
				}
			}
			return n
		})
	}
	return m
}
