package provision_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// A client that goes away after its request was accepted changes nothing.
func TestClientGoes(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *cluster) {
		p, _ := c.conductor(t, "c1")
		c.bmc.SetLatency(hardwaretest.Latency{Work: 5 * time.Second})
		ctx, leave := context.WithCancel(t.Context())
		if err := p.SetPower(ctx, c.node, node.PowerOn, 0, 0, ""); err != nil {
			t.Fatal(err)
		}
		leave()
		settle()
		if n := c.read(t); n.PowerState != node.PowerOn || n.TargetPowerState != "" {
			t.Errorf("%q, target %q, last error %q", n.PowerState, n.TargetPowerState, n.LastError)
		}
	})
}

// Nor does one that goes away while the acceptance is being written: a target
// without a worker would stand for ever.
func TestClientGoesEarly(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *cluster) {
		p, _ := c.conductor(t, "c1")
		c.etcd.SetNetwork("c1", leasetest.Network{Request: func(call leasetest.Call) leasetest.Fate {
			if call.Method == "Txn" {
				return leasetest.Fate{Delay: time.Second}
			}
			return leasetest.Fate{}
		}})
		ctx, leave := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer leave()
		if err := p.SetPower(ctx, c.node, node.PowerOn, 0, 0, ""); err != nil {
			t.Errorf("not accepted: %v", err)
		}
		settle()
		if n := c.read(t); n.PowerState != node.PowerOn || n.TargetPowerState != "" {
			t.Errorf("%q, target %q, last error %q", n.PowerState, n.TargetPowerState, n.LastError)
		}
	})
}

// A conductor that loses etcd in the middle of an action must not describe the
// node; the next one acts again although the machine looks as wished, since the
// first one's command may still be on its way.
func TestTakeOverOfAPowerAction(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *cluster) {
		first, _ := c.conductor(t, "c1")
		second, tasks := c.conductor(t, "c2")
		c.bmc.Press(c.node, node.PowerOn)
		c.bmc.SetLatency(hardwaretest.Latency{Request: 25 * time.Second})
		if err := first.SetPower(t.Context(), c.node, node.PowerOff, 0, 0, ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(26 * time.Second) // the state has been read, the command will be on its way until 50 s
		c.etcd.Cut("c1")
		c.bmc.SetLatency(hardwaretest.Latency{})
		if err := second.SetPower(t.Context(), c.node, node.PowerOn, 0, time.Minute, ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := c.bmc.State(c.node); got != node.PowerOn {
			t.Errorf("the machine is %q", got)
		}
		if n := c.read(t); n.PowerState != node.PowerOn || n.TargetPowerState != "" {
			t.Errorf("the node says %q, target %q, %q", n.PowerState, n.TargetPowerState, n.LastError)
		}
		if o := c.bmc.Overlaps(); len(o) > 0 {
			t.Errorf("overlaps: %v", o)
		}
		err := tasks.Exclusive(t.Context(), task.Request{Node: c.node}, func(_ context.Context, x *task.Exclusive) error {
			if a := x.Abandoned(); a != nil {
				t.Errorf("still abandoned: %v", a)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		c.etcd.HealAll()
	})
}
