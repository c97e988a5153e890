package provision_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// in starts a node in a state.
func in(s node.ProvisionState, more ...func(*node.Node)) func(*node.Node) {
	return func(n *node.Node) {
		n.ProvisionState = s
		for _, change := range more {
			change(n)
		}
	}
}

// driverInfo orders something of the fakes.
func driverInfo(key string, value any) func(*node.Node) {
	return func(n *node.Node) {
		if n.DriverInfo == nil {
			n.DriverInfo = node.Object{}
		}
		n.DriverInfo[key] = value
	}
}

func failing(on ...string) func(*node.Node) {
	var orders []any
	for _, one := range on {
		orders = append(orders, object{"mode": "fail", "on": one, "message": one + " broke"})
	}
	return driverInfo(hardware.FaultKey, orders)
}

// request is a request for a verb with what it needs.
func (c *cluster) request(v provision.Verb) provision.Request {
	r := provision.Request{Node: c.node, Verb: v, User: "alice"}
	switch v {
	case provision.Clean, provision.Service:
		r.Steps = []hardware.Step{{Interface: "vendor", Name: "log_passthrough"}}
	case provision.Rescue:
		r.RescuePassword = "secret"
	}
	return r
}

// do asks for a verb and waits for what it does.
func (c *cluster) do(t *testing.T, p *provision.Provisioner, r provision.Request) *node.Node {
	t.Helper()
	if err := p.Do(t.Context(), r); err != nil {
		t.Fatalf("%s: %v", r.Verb, err)
	}
	settle()
	return c.read(t)
}

// resting fails if the node is not in the state, with nothing left to do.
func resting(t *testing.T, n *node.Node, want node.ProvisionState) {
	t.Helper()
	if n.ProvisionState != want || n.TargetProvisionState != "" || n.LastError != "" || n.ActionSlot != "" {
		t.Errorf("%q, target %q, slot %q, last error %q; want %q", n.ProvisionState, n.TargetProvisionState, n.ActionSlot, n.LastError, want)
	}
}

// unlocked fails if somebody has, or left behind, a lock or an intent.
func (c *cluster) unlocked(t *testing.T) {
	t.Helper()
	for _, dir := range []string{"locks/", "intents/"} {
		got, err := c.client.Get(t.Context(), lease.DefaultRoot+dir, clientv3.WithPrefix())
		if err != nil {
			t.Fatal(err)
		}
		for _, kv := range got.Kvs {
			t.Errorf("left behind: %s = %s", kv.Key, kv.Value)
		}
	}
}

func TestVerbs(t *testing.T) {
	tests := []struct {
		verb   provision.Verb
		from   node.ProvisionState
		during node.ProvisionState
		target node.ProvisionState
		to     node.ProvisionState
		sent   string
	}{
		{provision.Manage, node.StateEnroll, node.StateVerifying, node.StateManageable, node.StateManageable, "bios.Cache, firmware.Cache"},
		{provision.Manage, node.StateAvailable, node.StateManageable, "", node.StateManageable, ""},
		{provision.Provide, node.StateManageable, node.StateCleaning, node.StateAvailable, node.StateAvailable, "vendor.log_passthrough"},
		{provision.Inspect, node.StateManageable, node.StateInspecting, node.StateManageable, node.StateManageable, "inspect.Inspect"},
		{provision.Clean, node.StateManageable, node.StateCleaning, node.StateManageable, node.StateManageable, "vendor.log_passthrough"},
		{provision.Adopt, node.StateManageable, node.StateAdopting, node.StateActive, node.StateActive, "deploy.Prepare, deploy.TakeOver"},
		{provision.Deploy, node.StateAvailable, node.StateDeploying, node.StateActive, node.StateActive, "deploy.Prepare, deploy.deploy"},
		{"deploy", node.StateDeployFailed, node.StateDeploying, node.StateActive, node.StateActive, "deploy.Prepare, deploy.deploy"},
		{provision.Rebuild, node.StateActive, node.StateDeploying, node.StateActive, node.StateActive, "deploy.Prepare, deploy.deploy"},
		{provision.Undeploy, node.StateActive, node.StateDeleting, node.StateAvailable, node.StateAvailable, "deploy.CleanUp, deploy.TearDown, vendor.log_passthrough"},
		{"undeploy", node.StateError, node.StateDeleting, node.StateAvailable, node.StateAvailable, "deploy.CleanUp, deploy.TearDown, vendor.log_passthrough"},
		{provision.Rescue, node.StateActive, node.StateRescuing, node.StateRescue, node.StateRescue, "rescue.Rescue"},
		{provision.Unrescue, node.StateRescue, node.StateUnrescuing, node.StateActive, node.StateActive, "rescue.Unrescue"},
		{provision.Service, node.StateActive, node.StateServicing, node.StateActive, node.StateActive, "vendor.log_passthrough"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s from %s", tt.verb, tt.from), func(t *testing.T) {
			inBubble(t, in(tt.from), func(t *testing.T, c *cluster) {
				p, _ := c.conductor(t, "c1")
				c.bmc.SetLatency(hardwaretest.Latency{Work: time.Second})
				r := c.request(tt.verb)
				if err := p.Do(t.Context(), r); err != nil {
					t.Fatal(err)
				}
				if n := c.read(t); n.ProvisionState != tt.during || n.TargetProvisionState != tt.target {
					t.Errorf("accepted in %q, target %q", n.ProvisionState, n.TargetProvisionState)
				}
				settle()
				n := c.read(t)
				n.LastError = strings.TrimPrefix(n.LastError, "old") // of before, where there is no work
				resting(t, n, tt.to)
				if got := c.sent(); got != tt.sent {
					t.Errorf("sent %q, want %q", got, tt.sent)
				}
				c.unlocked(t)
			})
		})
	}
}
