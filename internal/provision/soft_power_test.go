package provision_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// A machine that is switched off softly may take as long as was said, which is
// longer than a command may otherwise.
func TestSoftPowerTakesItsTime(t *testing.T) {
	tests := []struct {
		target  node.PowerState
		timeout time.Duration
		takes   time.Duration
		to      node.PowerState
		err     string
	}{
		{node.PowerSoftOff, 0, 9 * time.Minute, node.PowerOff, ""},
		{node.PowerSoftOff, 0, 11 * time.Minute, "", "no answer within 10m0s"},
		{node.PowerSoftReboot, 0, 9 * time.Minute, node.PowerOn, ""},
		{node.PowerSoftOff, time.Minute, 2 * time.Minute, "", "no answer within 1m0s"},
		{node.PowerSoftOff, 20 * time.Minute, 19 * time.Minute, node.PowerOff, ""},
		{node.PowerOff, 0, 50 * time.Second, node.PowerOff, ""},
		{node.PowerOff, 0, 70 * time.Second, "", "no answer within 1m0s"},
	}
	for _, tt := range tests {
		t.Run(string(tt.target)+" takes "+tt.takes.String(), func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, c *cluster) {
				c.slow(tt.takes)
				p, _ := c.conductor(t, "c1")
				c.bmc.Press(c.node, node.PowerOn)
				if err := p.SetPower(t.Context(), c.node, tt.target, tt.timeout, 0, ""); err != nil {
					t.Fatal(err)
				}
				hours(1)
				n := c.read(t)
				if n.PowerState != tt.to || n.TargetPowerState != "" || !strings.Contains(n.LastError, tt.err) || (n.LastError == "") != (tt.err == "") {
					t.Errorf("%q, target %q: %s", n.PowerState, n.TargetPowerState, n.LastError)
				}
				c.unlocked(t)
			})
		})
	}
}

// slow makes the machine take its time for what changes it, and for nothing else.
func (c *cluster) slow(d time.Duration) {
	c.machines = slowMachines{c.bmc, d}
}

type slowMachines struct {
	*hardwaretest.BMC
	takes time.Duration
}

func (m slowMachines) SetPower(ctx context.Context, c hardware.Call, to node.PowerState) error {
	m.SetLatencyOf(c.Node, hardwaretest.Latency{Work: m.takes})
	defer m.SetLatencyOf(c.Node, hardwaretest.Latency{})
	return m.BMC.SetPower(ctx, c, to)
}

// told are the types of a node's events, in order, in short.
func (c *cluster) told(t *testing.T) []string {
	t.Helper()
	got, err := c.client.Get(t.Context(), lease.DefaultRoot+"events/"+string(c.node)+"/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, kv := range got.Kvs {
		var n task.Notification
		if err := json.Unmarshal(kv.Value, &n); err != nil {
			t.Fatal(err)
		}
		one := strings.TrimPrefix(n.Type, "baremetal.node.")
		if n.ToPower != "" {
			one += " to " + string(n.ToPower)
		}
		types = append(types, one)
	}
	return types
}

// Power actions, those of steps too, are told in the transactions that make them true.
func TestPowerIsTold(t *testing.T) {
	inBubble(t, in(node.StateEnroll), func(t *testing.T, c *cluster) {
		p, _ := c.conductor(t, "c1")
		c.bmc.Press(c.node, node.PowerOn)
		c.do(t, p, c.request(provision.Manage))
		want := []string{"provision_set.start", "power_state_corrected.success", "provision_set.end"}
		if got := c.told(t); !slices.Equal(got, want) {
			t.Errorf("manage tells %q, want %q", got, want)
		}
		if err := p.SetPower(t.Context(), c.node, node.PowerReboot, 0, 0, ""); err != nil {
			t.Fatal(err)
		}
		settle()
		c.bmc.Unplug(c.node)
		if err := p.SetPower(t.Context(), c.node, node.PowerOff, 0, 0, ""); err != nil {
			t.Fatal(err)
		}
		settle()
		c.bmc.Plug(c.node)
		c.do(t, p, c.stepped(provision.Clean, step("power", "power_off")))
		want = append(want, "power_set.start to power on", "power_set.end to power on",
			"power_set.start to power off", "power_set.error to power off",
			"provision_set.start", "power_set.end to power off", "provision_set.end")
		if got := c.told(t); !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}
