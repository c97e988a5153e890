package provision

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/conductor-metal/conductor/pkg/node"
)

// Metrics tells how many nodes there are in each state. Only the conductor whose duty it is to
// look at all nodes tells it, so that a sum over all conductors is right.
type Metrics struct {
	nodes *prometheus.GaugeVec
}

// NewMetrics registers the metrics of provisioning. A nil reg counts for nobody.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	return &Metrics{nodes: promauto.With(reg).NewGaugeVec(prometheus.GaugeOpts{
		Name: "conductor_nodes", Help: "Nodes of the cluster, at the last look at all of them. Told by the conductor that looks.",
	}, []string{"provision_state", "maintenance"})}
}

// census counts nodes that come in the order of their uuids.
type census struct {
	nodes map[kept]int
	last  node.ID
}

type kept struct {
	state       node.ProvisionState
	maintenance bool
}

// add counts a node. A list that begins again is counted again.
func (c *census) add(n *node.Node) {
	if n.UUID <= c.last || c.nodes == nil {
		c.nodes = map[kept]int{}
	}
	c.nodes[kept{n.ProvisionState, n.Maintenance}]++
	c.last = n.UUID
}

// counted tells what a census has found, in place of what was told before.
func (m *Metrics) counted(c census) {
	for _, state := range node.States() {
		for _, in := range []bool{false, true} {
			m.nodes.WithLabelValues(string(state), strconv.FormatBool(in)).Set(float64(c.nodes[kept{state, in}]))
		}
	}
}
