package provision_test

import (
	"strings"
	"testing"
	"time"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

func (c *cluster) powerSync(t *testing.T, host string, believe bool) (*provision.PowerSync, *provision.Provisioner, *task.Manager) {
	t.Helper()
	p, tasks := c.conductor(t, host)
	return p.NewPowerSync(provision.SyncConfig{
		Mine: func(*node.Node) bool { return true }, Locks: lease.Locks{Client: c.etcd.Client(host)}, Believe: believe,
	}), p, tasks
}

func TestPowerSync(t *testing.T) {
	const on, off = node.PowerOn, node.PowerOff
	tests := []struct {
		name            string
		record, machine node.PowerState
		change          func(*node.Node)
		believe         bool
		stored, real    node.PowerState // after a sweep
		sent            string
	}{
		{"agree", on, on, nil, false, on, on, ""},
		{"differ", on, off, nil, false, on, on, "power.Set power on"},
		{"differ, believed", on, off, nil, true, off, off, ""},
		{"unknown", "", on, nil, false, on, on, ""},
		{"may not be switched off", off, on, func(n *node.Node) { n.DisablePowerOff = true }, false, on, on, ""},
		{"maintenance", on, off, func(n *node.Node) { n.Maintenance = true }, false, on, off, ""},
		{"an action is under way", on, off, func(n *node.Node) { n.TargetPowerState = off }, false, on, off, ""},
		{"enroll", on, off, func(n *node.Node) { n.ProvisionState = node.StateEnroll }, false, on, off, ""},
		{"clean wait", on, off, func(n *node.Node) { n.ProvisionState = node.StateCleanWait }, false, on, off, ""},
		{"does not validate", "", on, func(n *node.Node) { n.DriverInfo = node.Object{hardware.FaultKey: "nonsense"} }, false, "", on, ""},
		{"error is no state to believe", on, node.PowerError, nil, true, on, node.PowerError, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(n *node.Node) {
				n.PowerState = tt.record
				if tt.change != nil {
					tt.change(n)
				}
			}, func(t *testing.T, c *cluster) {
				s, _, _ := c.powerSync(t, "c1", tt.believe)
				c.bmc.Press(c.node, tt.machine)
				before := c.etcd.RaftEntries()
				if err := s.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
				if tt.stored == tt.record && tt.sent == "" && c.etcd.RaftEntries() != before {
					t.Error("wrote to etcd although there was nothing to do")
				}
				settle()
				if n := c.read(t); n.PowerState != tt.stored || n.LastError != "old" {
					t.Errorf("stored %q, last error %q", n.PowerState, n.LastError)
				}
				if got := c.sent(); got != tt.sent {
					t.Errorf("sent %q, want %q", got, tt.sent)
				}
				if got := c.bmc.State(c.node); got != tt.real {
					t.Errorf("the machine is %q, want %q", got, tt.real)
				}
			})
		})
	}
}

// Failures of a node that another conductor has had meanwhile do not count.
func TestPowerSyncBeginsAnew(t *testing.T) {
	inBubble(t, func(n *node.Node) { n.PowerState = node.PowerOn }, func(t *testing.T, c *cluster) {
		p, _ := c.conductor(t, "c1")
		mine := true
		s := p.NewPowerSync(provision.SyncConfig{
			Mine: func(*node.Node) bool { return mine }, Locks: lease.Locks{Client: c.etcd.Client("c1")},
		})
		c.bmc.Unplug(c.node)
		for i, is := range []bool{true, true, true, false, true, true, true} {
			mine = is
			if err := s.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if c.read(t).Maintenance {
				t.Fatalf("in maintenance after sweep %d", i+1)
			}
		}
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !c.read(t).Maintenance {
			t.Error("not in maintenance after 4 failures in a row")
		}
	})
}

// A machine that does not answer is borne three times, then its node is in
// maintenance with a fault, and out of it when the machine answers again.
func TestPowerSyncGivesUpAndRecovers(t *testing.T) {
	inBubble(t, func(n *node.Node) { n.PowerState = node.PowerOn }, func(t *testing.T, c *cluster) {
		s, _, _ := c.powerSync(t, "c1", false)
		c.bmc.Press(c.node, node.PowerOn)
		c.bmc.Unplug(c.node)
		for i := range 4 {
			if n := c.read(t); n.Maintenance {
				t.Fatalf("in maintenance after %d failures", i)
			}
			if err := s.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		n := c.read(t)
		if !n.Maintenance || n.Fault != "power failure" || n.PowerState != "" || !strings.Contains(n.LastError, "4 times") || n.MaintenanceReason == "" {
			t.Errorf("after 4 failures: %v %q %q %q", n.Maintenance, n.Fault, n.PowerState, n.LastError)
		}
		if err := s.Reach(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := c.read(t); !n.Maintenance {
			t.Fatal("out of maintenance while the machine does not answer")
		}
		c.bmc.Plug(c.node)
		if err := s.Reach(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := c.read(t); n.Maintenance || n.Fault != "" || n.MaintenanceReason != "" || n.PowerState != node.PowerOn {
			t.Errorf("after recovery: %v %q %q", n.Maintenance, n.Fault, n.PowerState)
		}
	})
}

// A user's request is not refused because a sync has the lock: the sync lets go.
func TestPowerSyncYields(t *testing.T) {
	inBubble(t, func(n *node.Node) { n.PowerState = node.PowerOn }, func(t *testing.T, c *cluster) {
		s, p, _ := c.powerSync(t, "c1", false)
		c.bmc.Press(c.node, node.PowerOff)
		c.bmc.SetLatency(hardwaretest.Latency{Work: 20 * time.Second})
		done := make(chan error, 1)
		go func() { done <- s.Sweep(t.Context()) }()
		time.Sleep(45 * time.Second) // it looks twice, and then commands
		if got := c.sent(); got != "power.Set power on" {
			t.Fatalf("the sync sent %q", got)
		}
		c.bmc.SetLatency(hardwaretest.Latency{})
		if err := p.SetPower(t.Context(), c.node, node.PowerOff, 0, 2*time.Second, "alice"); err != nil {
			t.Errorf("a request met a sync: %v", err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		settle()
		if n := c.read(t); n.PowerState != node.PowerOff || n.LastError != "" {
			t.Errorf("ended in %q, %q", n.PowerState, n.LastError)
		}
	})
}

// A node that somebody has locked is left in peace.
func TestPowerSyncSkipsLocked(t *testing.T) {
	inBubble(t, func(n *node.Node) { n.PowerState = node.PowerOn }, func(t *testing.T, c *cluster) {
		s, _, _ := c.powerSync(t, "c1", false)
		other, err := lease.Open(t.Context(), c.etcd.Client("c2"), lease.Config{Holder: "c2"})
		if err != nil {
			t.Fatal(err)
		}
		l, err := other.Acquire(t.Context(), lease.Request{Name: string(c.node)})
		if err != nil {
			t.Fatal(err)
		}
		c.bmc.Press(c.node, node.PowerOff)
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := c.bmc.Commands(c.node); len(got) != 0 {
			t.Errorf("asked %v of a machine that another works on", got)
		}
		if err := l.Release(t.Context(), lease.Write{}); err != nil {
			t.Fatal(err)
		}
		if err := other.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
