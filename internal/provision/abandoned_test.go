package provision_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// A node that waits for its conductor, and not for the machine, goes on with the next one.
func TestRecoverAWaitOfTheConductor(t *testing.T) {
	inBubble(t, in(node.StateManageable), func(t *testing.T, c *cluster) {
		first, _ := c.conductor(t, "c1")
		second, _ := c.conductor(t, "c2")
		if err := first.Do(t.Context(), c.stepped(provision.Clean, step("deploy", "wait", "seconds", 25), biosStep())); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		c.etcd.Cut("c1")
		if err := second.Recover(t.Context(), c.node, time.Minute); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		resting(t, c.read(t), node.StateManageable)
		if got := c.sent(); got != "bios.apply_configuration" {
			t.Errorf("sent %q", got)
		}
		c.unlocked(t)
		c.etcd.HealAll()
	})
}

// A record that is written behind the lock's back cannot be written by who has the
// lock: the node stays in its state, and the section that is left tells of it.
func TestWrittenBehindTheLock(t *testing.T) {
	inBubble(t, in(node.StateManageable), func(t *testing.T, c *cluster) {
		p, _ := c.conductor(t, "c1")
		c.bmc.SetLatency(hardwaretest.Latency{Work: 5 * time.Second})
		if err := p.Do(t.Context(), c.request(provision.Inspect)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		c.put(t, func(n *node.Node) { n.Description = "by hand" })
		settle()
		if n := c.read(t); n.ProvisionState != node.StateInspecting || n.Description != "by hand" {
			t.Fatalf("%q, %q", n.ProvisionState, n.Description)
		}
		if err := p.Recover(t.Context(), c.node, 0); err != nil {
			t.Fatal(err)
		}
		settle()
		if n := c.read(t); n.ProvisionState != node.StateInspectFailed || !strings.Contains(n.LastError, `"inspect, inspecting"`) {
			t.Errorf("%q: %s", n.ProvisionState, n.LastError)
		}
		c.unlocked(t)
	})
}

// A verb on a node that rests with an abandoned section closes that at its end,
// but not before the dead one's last command is over.
func TestVerbClosesAnAbandonedSection(t *testing.T) {
	inBubble(t, in(node.StateManageable), func(t *testing.T, c *cluster) {
		p, tasks := c.configured(t, "c1", provision.Config{NoAutomatedClean: true})
		abandon(t, c, lease.Request{Name: string(c.node), Purpose: "flash.sh"})
		start := time.Now()
		if err := p.Do(t.Context(), c.request(provision.Provide)); err != nil { // commands nothing
			t.Fatal(err)
		}
		err := tasks.Exclusive(t.Context(), task.Request{Node: c.node, Wait: time.Minute}, func(_ context.Context, x *task.Exclusive) error {
			if took := time.Since(start); x.Abandoned() != nil || took < 29*time.Second {
				t.Errorf("after %s: %v", took, x.Abandoned())
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		resting(t, c.read(t), node.StateAvailable)
		c.unlocked(t)
	})
}

// A step that is run again may wait, and then nothing of the dead one is left.
func TestRecoverIntoAWait(t *testing.T) {
	inBubble(t, in(node.StateManageable, waiting("vendor.log_passthrough")), func(t *testing.T, c *cluster) {
		first, _ := c.conductor(t, "c1")
		second, _ := c.conductor(t, "c2")
		c.bmc.SetLatency(hardwaretest.Latency{Work: 5 * time.Second})
		if err := first.Do(t.Context(), c.request(provision.Provide)); err != nil {
			t.Fatal(err)
		}
		c.reaches(t, "vendor.log_passthrough")
		c.etcd.Cut("c1")
		if err := second.Recover(t.Context(), c.node, time.Minute); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := c.read(t); n.ProvisionState != node.StateCleanWait || n.TargetProvisionState != node.StateAvailable {
			t.Errorf("%q: %s", n.ProvisionState, n.LastError)
		}
		c.unlocked(t)
		c.next(t, second)
		resting(t, c.read(t), node.StateAvailable)
		c.etcd.HealAll()
	})
}
