package provision_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/lease"
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

// A section that was cut off slows one power action and not all that follow; but
// what was cut off in the middle of a deployment stays to be recovered.
func TestAbandonedSection(t *testing.T) {
	const delay = 30 * time.Second
	for _, tt := range []struct {
		state  node.ProvisionState
		second time.Duration
		stays  bool
	}{
		{node.StateManageable, 0, false},
		{node.StateActive, 0, false},
		{node.StateDeployFailed, 0, false},
		{node.StateDeploying, delay, true},
		{node.StateServiceWait, delay, true},
	} {
		t.Run(string(tt.state), func(t *testing.T) {
			inBubble(t, func(n *node.Node) { n.ProvisionState = tt.state }, func(t *testing.T, c *cluster) {
				p, tasks := c.conductor(t, "c1")
				abandon(t, c, lease.Request{Name: string(c.node), Purpose: "flash.sh", Detail: "flash.sh"})
				for i, want := range []time.Duration{delay, tt.second} {
					target := []node.PowerState{node.PowerOn, node.PowerOff}[i]
					start := time.Now()
					if err := p.SetPower(t.Context(), c.node, target, 0, 0, ""); err != nil {
						t.Fatal(err)
					}
					for c.read(t).TargetPowerState != "" {
						time.Sleep(time.Second)
					}
					if took := time.Since(start); took < want || took > want+2*time.Second || c.bmc.State(c.node) != target {
						t.Errorf("%s took %s, want %s; the machine is %q", target, took, want, c.bmc.State(c.node))
					}
				}
				settle()
				err := tasks.Exclusive(t.Context(), task.Request{Node: c.node}, func(_ context.Context, x *task.Exclusive) error {
					if left := x.Abandoned(); (left != nil) != tt.stays || left != nil && left.Purpose != "flash.sh" {
						t.Errorf("abandoned: %v", left)
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A power action that fails has proved nothing: the next one waits too.
func TestAbandonedSectionAndFailure(t *testing.T) {
	broken := func(n *node.Node) {
		n.DriverInfo = node.Object{hardware.FaultKey: []any{object{"mode": "fail", "on": "power.Set"}}}
	}
	inBubble(t, broken, func(t *testing.T, c *cluster) {
		p, tasks := c.conductor(t, "c1")
		abandon(t, c, lease.Request{Name: string(c.node), Purpose: "flash.sh"})
		if err := p.SetPower(t.Context(), c.node, node.PowerOn, 0, 0, ""); err != nil {
			t.Fatal(err)
		}
		settle()
		err := tasks.Exclusive(t.Context(), task.Request{Node: c.node, NoDriver: true}, func(_ context.Context, x *task.Exclusive) error {
			if x.Abandoned() == nil || x.Node().LastError == "" {
				t.Errorf("abandoned: %v, last error %q", x.Abandoned(), x.Node().LastError)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// abandon leaves an intent behind, as somebody who dies with the lock does.
func abandon(t *testing.T, c *cluster, r lease.Request) {
	t.Helper()
	session, err := lease.Open(t.Context(), c.etcd.Client("dead"), lease.Config{Holder: "dead"})
	if err != nil {
		t.Fatal(err)
	}
	l, err := session.Acquire(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Declare(t.Context(), r.Detail); err != nil {
		t.Fatal(err)
	}
	if err := session.Close(t.Context()); err != nil { // takes the lock, not the intent
		t.Fatal(err)
	}
	synctest.Wait()
}
