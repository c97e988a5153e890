package provision_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/node"
)

// However many conductors deploy at the same moment, the cluster has no more
// deployments than are allowed, and never fewer than are asked for.
func TestLimitOfTheCluster(t *testing.T) {
	const most, asked = 3, 20
	tests := []struct {
		verb provision.Verb
		from node.ProvisionState
		in   node.Set
	}{
		{provision.Deploy, node.StateAvailable, node.DeployCounted},
		{provision.Rebuild, node.StateActive, node.DeployCounted},
		{provision.Undeploy, node.StateActive, node.CleanCounted},
		{provision.Clean, node.StateManageable, node.CleanCounted},
	}
	for _, tt := range tests {
		t.Run(string(tt.verb), func(t *testing.T) {
			inBubble(t, in(tt.from), func(t *testing.T, c *cluster) {
				config := provision.Config{MaxConcurrentDeploy: most, MaxConcurrentClean: most}
				first, _ := c.configured(t, "c1", config)
				second, _ := c.configured(t, "c2", config)
				c.bmc.SetLatency(hardwaretest.Latency{Work: time.Minute})
				ids := []node.ID{c.node}
				for range asked - 1 {
					ids = append(ids, c.another(t, tt.from))
				}
				for left := ids; len(left) > 0; {
					left = c.ask(t, tt.verb, left, first, second)
					busy := 0
					for _, id := range ids {
						n := c.readOf(t, id)
						if tt.in.Has(n.ProvisionState) {
							busy++
							if n.ActionSlot == "" {
								t.Errorf("%q without a slot", n.ProvisionState)
							}
						}
					}
					if busy != min(most, len(left)+busy) || busy > most {
						t.Errorf("%d are busy and %d refused", busy, len(left))
					}
					hours(1)
				}
				for _, id := range ids {
					if n := c.readOf(t, id); n.ActionSlot != "" || n.LastError != "" {
						t.Errorf("%q, slot %q: %s", n.ProvisionState, n.ActionSlot, n.LastError)
					}
				}
				c.unlocked(t)
			})
		})
	}
}

// ask asks for a verb on many nodes at once, of two conductors in turn, and
// answers the nodes that were refused for the limit.
func (c *cluster) ask(t *testing.T, verb provision.Verb, ids []node.ID, conductors ...*provision.Provisioner) []node.ID {
	t.Helper()
	var mu sync.Mutex
	var refused []node.ID
	var wg sync.WaitGroup
	for i, id := range ids {
		wg.Go(func() {
			r := c.request(verb)
			r.Node = id
			err := conductors[i%len(conductors)].Do(t.Context(), r)
			mu.Lock()
			defer mu.Unlock()
			if e, ok := errors.AsType[*provision.LimitError](err); ok && errors.Is(e, provision.ErrLimit) {
				refused = append(refused, id)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	return refused
}

// Provide and unhold are counted and never refused; who is refused has not been
// changed; and no limit is none.
func TestLimitsRefuseNot(t *testing.T) {
	inBubble(t, in(node.StateManageable), func(t *testing.T, c *cluster) {
		p, _ := c.configured(t, "c1", provision.Config{MaxConcurrentClean: 1})
		free, _ := c.configured(t, "c2", provision.Config{MaxConcurrentClean: -1})
		c.bmc.SetLatency(hardwaretest.Latency{Work: time.Second})
		held := c.another(t, node.StateManageable)
		r := c.stepped(provision.Clean, step("deploy", "hold"), step("vendor", "log_passthrough"))
		r.Node = held
		c.do(t, p, r)
		provided := []node.ID{c.node, c.another(t, node.StateManageable), c.another(t, node.StateManageable)}
		if refused := c.ask(t, provision.Provide, provided, p); len(refused) > 0 {
			t.Errorf("provide was refused %d times", len(refused))
		}
		if err := p.Do(t.Context(), provision.Request{Node: held, Verb: provision.Unhold}); err != nil {
			t.Errorf("unhold: %v", err)
		}
		slots := map[string]bool{}
		for _, id := range append(provided, held) {
			slots[c.readOf(t, id).ActionSlot] = true
		}
		if len(slots) != 4 || slots[""] {
			t.Errorf("slots %v", slots)
		}
		late := c.another(t, node.StateManageable)
		before := c.readOf(t, late)
		if refused := c.ask(t, provision.Clean, []node.ID{late}, p); len(refused) != 1 {
			t.Error("clean was not refused")
		}
		if n := c.readOf(t, late); n.Revision != before.Revision {
			t.Errorf("refused, but written: %q", n.ProvisionState)
		}
		if refused := c.ask(t, provision.Clean, []node.ID{late}, free); len(refused) != 0 {
			t.Error("refused without a limit")
		}
		settle()
		c.unlocked(t)
	})
}

// Who is not refused counts all the same, whatever its number is.
func TestLimitCountsThoseAboveIt(t *testing.T) {
	inBubble(t, in(node.StateManageable), func(t *testing.T, c *cluster) {
		p, _ := c.configured(t, "c1", provision.Config{MaxConcurrentClean: 1})
		slow := c.another(t, node.StateManageable)
		c.bmc.SetLatency(hardwaretest.Latency{Work: 10 * time.Second})
		c.bmc.SetLatencyOf(slow, hardwaretest.Latency{Work: 10 * time.Minute})
		for _, id := range []node.ID{c.node, slow} {
			if err := p.Do(t.Context(), provision.Request{Node: id, Verb: provision.Provide}); err != nil {
				t.Fatal(err)
			}
		}
		settle()
		resting(t, c.read(t), node.StateAvailable)
		third := []node.ID{c.another(t, node.StateManageable)}
		if refused := c.ask(t, provision.Clean, third, p); len(refused) != 1 {
			t.Errorf("allowed beside slot %q", c.readOf(t, slow).ActionSlot)
		}
		hours(1)
		if refused := c.ask(t, provision.Clean, third, p); len(refused) != 0 {
			t.Error("refused with nobody busy")
		}
		settle()
	})
}
