package provision_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/node"
)

// legalFrom is from where each verb may be asked for. Ironic: the API's table of
// verbs; manage from cleaning and clean from deleting are for its own use.
var legalFrom = map[provision.Verb][]node.ProvisionState{
	provision.Manage:  {node.StateEnroll, node.StateAvailable, node.StateCleanFailed, node.StateInspectFailed, node.StateAdoptFailed},
	provision.Provide: {node.StateManageable},
	provision.Inspect: {node.StateManageable, node.StateInspectFailed},
	provision.Clean:   {node.StateManageable},
	provision.Adopt:   {node.StateManageable, node.StateAdoptFailed},
	provision.Deploy:  {node.StateAvailable, node.StateDeployFailed},
	provision.Rebuild: {node.StateActive, node.StateError, node.StateDeployFailed},
	provision.Undeploy: {
		node.StateActive, node.StateError, node.StateRescue, node.StateWaitCallBack, node.StateDeployFailed, node.StateRescueWait,
		node.StateRescueFailed, node.StateUnrescueFailed, node.StateServiceWait, node.StateServiceFailed,
	},
	provision.Rescue: {
		node.StateActive, node.StateRescue, node.StateRescueFailed, node.StateUnrescueFailed, node.StateServiceFailed,
	},
	provision.Unrescue: {node.StateRescue, node.StateRescueFailed, node.StateUnrescueFailed},
	provision.Abort: {
		node.StateWaitCallBack, node.StateDeployHold, node.StateCleanWait, node.StateCleanHold, node.StateInspectWait,
		node.StateRescueWait, node.StateServiceWait, node.StateServiceHold, node.StateServiceFailed,
	},
	provision.Unhold:  {node.StateDeployHold, node.StateCleanHold, node.StateServiceHold},
	provision.Service: {node.StateActive, node.StateServiceFailed, node.StateServiceHold},
}

func TestLegal(t *testing.T) {
	if len(legalFrom) != 13 {
		t.Fatalf("%d verbs", len(legalFrom))
	}
	for _, state := range node.States() {
		t.Run(string(state), func(t *testing.T) {
			inBubble(t, in(state), func(t *testing.T, c *cluster) {
				p, _ := c.conductor(t, "c1")
				before := c.read(t)
				for verb, states := range legalFrom {
					want := slices.Contains(states, state)
					if got := p.Legal(verb, state); got != want {
						t.Errorf("%s: legal is %v, want %v", verb, got, want)
					}
					if want {
						continue
					}
					e, ok := errors.AsType[*provision.StateError](p.Do(t.Context(), c.request(verb)))
					if !ok || e.State != state || e.Node != c.node {
						t.Errorf("%s: %v", verb, e)
					}
				}
				if p.Legal("sing", state) {
					t.Error("an unknown verb is legal")
				}
				if err := p.Do(t.Context(), provision.Request{Node: c.node, Verb: "sing"}); !errors.Is(err, provision.ErrStateRequested) {
					t.Errorf("an unknown verb: %v", err)
				}
				settle()
				if n := c.read(t); n.Revision != before.Revision || c.sent() != "" {
					t.Errorf("the node was written or the machine commanded: %s", c.sent())
				}
				c.unlocked(t)
			})
		})
	}
}

// Whatever a verb is legal from, it leads to a state in which a node can rest.
func TestLegalVerbsEnd(t *testing.T) {
	rests := append(node.Failure.States(), node.Stable.States()...)
	for verb, states := range legalFrom {
		for _, state := range states {
			t.Run(string(verb)+" from "+string(state), func(t *testing.T) {
				waits := driverInfo("fake_waits", []any{"inspect.Inspect"}) // only so can it be aborted
				if verb == provision.Inspect {
					waits = func(*node.Node) {}
				}
				held := func(n *node.Node) { // what a hold leaves, as far as a deployment must have it
					n.DriverInternalInfo = node.Object{"deploy_steps": []any{object{"interface": "deploy", "step": "hold"}}, "deploy_step_index": 0}
				}
				if state != node.StateDeployHold || verb == provision.Abort {
					held = func(*node.Node) {}
				}
				inBubble(t, in(state, waits, held), func(t *testing.T, c *cluster) {
					p, _ := c.conductor(t, "c1")
					n := c.do(t, p, c.request(verb))
					if !slices.Contains(rests, n.ProvisionState) {
						t.Errorf("ended in %q: %s", n.ProvisionState, n.LastError)
					}
					if failed := node.Failure.Has(n.ProvisionState); failed != (verb == provision.Abort && n.ProvisionState != node.StateActive) {
						t.Errorf("ended in %q: %s", n.ProvisionState, n.LastError)
					}
					c.unlocked(t)
				})
			})
		}
	}
}
