package provision_test

import (
	"context"
	"testing"
	"time"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// The list of nodes may be old by the time that a machine is asked: nothing follows
// from it but that all is well. A machine is asked once, unless its record has
// changed since.
func TestPowerSyncByAnOldList(t *testing.T) {
	const on, off = node.PowerOn, node.PowerOff
	for _, tt := range []struct {
		name                    string
		listed, record, machine node.PowerState
		age                     time.Duration
		change                  func(*node.Node) // of the record after the list
		unplugged               bool
		asked                   int
		sent                    string
	}{
		{name: "agree", listed: on, record: on, machine: on, asked: 1},
		{name: "agree, listed long ago", listed: on, record: on, machine: on, age: time.Minute, asked: 1},
		{name: "the list is old", listed: on, record: off, machine: off, asked: 2},
		{name: "the list is old and agrees", listed: off, record: on, machine: off, asked: 1}, // the next sweep sees it
		{name: "differ", listed: on, record: on, machine: off, asked: 2, sent: "power.Set power on"},
		{name: "in maintenance since", listed: on, record: on, machine: off, asked: 1, change: func(n *node.Node) { n.Maintenance = true }},
		{name: "no answer", listed: on, record: on, machine: on, unplugged: true, asked: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(n *node.Node) { n.PowerState = tt.listed }, func(t *testing.T, c *cluster) {
				p, _ := c.conductor(t, "c1")
				old := c.read(t)
				if tt.change != nil || tt.listed != tt.record {
					n := old.Clone()
					n.PowerState = tt.record
					if tt.change != nil {
						tt.change(n)
					}
					change, err := c.store.Keys().Update(old, n)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := c.store.Commit(t.Context(), change); err != nil {
						t.Fatal(err)
					}
				}
				s := p.NewPowerSync(provision.SyncConfig{
					Mine: func(*node.Node) bool { return true }, Locks: lease.Locks{Client: c.etcd.Client("c1")},
					Nodes: func(context.Context, node.ListRequest[*node.Node]) (*node.Page[*node.Node], error) {
						return &node.Page[*node.Node]{Items: []*node.Node{old}, AsOf: time.Now().Add(-tt.age)}, nil
					},
				})
				c.bmc.Press(c.node, tt.machine)
				if tt.unplugged {
					c.bmc.Unplug(c.node)
				}
				if err := s.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
				settle()
				asked := 0
				for _, cmd := range c.bmc.Commands(c.node) {
					if cmd.Method == "power.Get" {
						asked++
					}
				}
				if asked != tt.asked || c.sent() != tt.sent {
					t.Errorf("asked %d times, want %d; sent %q, want %q", asked, tt.asked, c.sent(), tt.sent)
				}
			})
		})
	}
}
