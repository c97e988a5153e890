package provision_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// cluster is an etcd in memory, a fleet of machines, and conductors over both.
type cluster struct {
	etcd     *leasetest.Etcd
	bmc      *hardwaretest.BMC
	machines hardware.Machines // what the fakes command: bmc
	kit      hardware.Kit      // besides the fakes
	workers  int               // 0: the default; no reserved ones otherwise
	patience time.Duration     // for steps; 0: the default
	stops    map[string]func() // close the sessions of conductors
	client   *clientv3.Client
	store    *node.Store
	node     node.ID
}

func inBubble(t *testing.T, change func(*node.Node), run func(t *testing.T, c *cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{etcd: leasetest.New(), bmc: &hardwaretest.BMC{}}
		c.machines = c.bmc
		t.Cleanup(c.etcd.Close)
		c.client = c.etcd.Client("test")
		c.store = node.NewStore(c.client, lease.DefaultRoot)
		n := &node.Node{Driver: "fake-hardware", ProvisionState: node.StateManageable, LastError: "old"}
		if change != nil {
			change(n)
		}
		if err := c.store.Create(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		c.node = n.UUID
		run(t, c)
	})
}

// conductor is one process.
func (c *cluster) conductor(t *testing.T, host string) (*provision.Provisioner, *task.Manager) {
	t.Helper()
	return c.configured(t, host, provision.Config{})
}

// configured is one process with a configuration.
func (c *cluster) configured(t *testing.T, host string, config provision.Config) (*provision.Provisioner, *task.Manager) {
	t.Helper()
	client := c.etcd.Client(host)
	session, err := lease.Open(t.Context(), client, lease.Config{Holder: host})
	if err != nil {
		t.Fatal(err)
	}
	end := func() { _ = session.Close(context.Background()) }
	t.Cleanup(end)
	if c.stops == nil {
		c.stops = map[string]func(){}
	}
	c.stops[host] = end
	registry, err := hardware.NewRegistry(hardware.Config{Kit: c.kit, Fake: hardware.FakeConfig{Machines: c.machines}})
	if err != nil {
		t.Fatal(err)
	}
	tc := task.Config{Client: client, Sessions: session, Hardware: registry, Workers: c.workers, StepTimeout: c.patience}
	if c.workers > 0 {
		tc.ReservedPercent = -1
	}
	tasks, err := task.NewManager(tc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tasks.Close(context.Background()) })
	config.Tasks, config.Store, config.Host = tasks, c.store, host
	return provision.New(config), tasks
}

func (c *cluster) read(t *testing.T) *node.Node {
	t.Helper()
	return c.readOf(t, c.node)
}

func (c *cluster) readOf(t *testing.T, id node.ID) *node.Node {
	t.Helper()
	n, err := c.store.Node(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// put changes the node's record behind everybody's back.
func (c *cluster) put(t *testing.T, change func(*node.Node)) {
	t.Helper()
	old := c.read(t)
	updated := old.Clone()
	change(updated)
	w, err := c.store.Keys().Update(old, updated)
	if err == nil {
		_, err = c.store.Commit(t.Context(), w)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// another creates one more node.
func (c *cluster) another(t *testing.T, s node.ProvisionState) node.ID {
	t.Helper()
	n := &node.Node{Driver: "fake-hardware", ProvisionState: s}
	if err := c.store.Create(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	return n.UUID
}

// sent are the commands that could change the machine, in short.
func (c *cluster) sent() string {
	var out []string
	for _, cmd := range c.bmc.Commands(c.node) {
		if cmd.Writes {
			out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s", cmd.Method, cmd.To)))
		}
	}
	return strings.Join(out, ", ")
}

// settle waits for background work.
func settle() {
	time.Sleep(time.Minute)
	synctest.Wait()
}

// hours pass.
func hours(n int) {
	time.Sleep(time.Duration(n) * time.Hour)
	synctest.Wait()
}

func TestSetPower(t *testing.T) {
	tests := []struct {
		from, target, during, after node.PowerState
		sent                        string
	}{
		{node.PowerOff, node.PowerOn, node.PowerOn, node.PowerOn, "power.Set power on"},
		{node.PowerOn, node.PowerOn, node.PowerOn, node.PowerOn, ""}, // there already
		{node.PowerOn, node.PowerOff, node.PowerOff, node.PowerOff, "power.Set power off"},
		{node.PowerOff, node.PowerOff, node.PowerOff, node.PowerOff, ""},
		{node.PowerOn, node.PowerSoftOff, node.PowerOff, node.PowerOff, "power.Set soft power off"},
		{node.PowerOff, node.PowerSoftOff, node.PowerOff, node.PowerOff, ""},
		{node.PowerOn, node.PowerReboot, node.PowerOn, node.PowerOn, "power.Reboot rebooting"},
		{node.PowerOff, node.PowerReboot, node.PowerOn, node.PowerOn, "power.Reboot rebooting"},
		{node.PowerOn, node.PowerSoftReboot, node.PowerOn, node.PowerOn, "power.Set soft rebooting"},
		// States of their own: nobody knows, so the command is sent.
		{"", node.PowerOff, node.PowerOff, node.PowerOff, "power.Set power off"},
		{node.PowerError, node.PowerOn, node.PowerOn, node.PowerOn, "power.Set power on"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s to %s", tt.from, tt.target), func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, c *cluster) {
				p, _ := c.conductor(t, "c1")
				c.bmc.Press(c.node, tt.from)
				c.bmc.SetLatency(hardwaretest.Latency{Work: time.Second})
				if err := p.SetPower(t.Context(), c.node, tt.target, 0, 0, "alice"); err != nil {
					t.Fatal(err)
				}
				if n := c.read(t); n.TargetPowerState != tt.during || n.LastError != "" {
					t.Errorf("accepted with target %q, last error %q", n.TargetPowerState, n.LastError)
				}
				settle()
				n := c.read(t)
				if n.PowerState != tt.after || n.TargetPowerState != "" || n.LastError != "" {
					t.Errorf("ended in %q, target %q, last error %q", n.PowerState, n.TargetPowerState, n.LastError)
				}
				if got := c.sent(); got != tt.sent {
					t.Errorf("sent %q, want %q", got, tt.sent)
				}
			})
		})
	}
}

func TestSetPowerRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*node.Node)
		target node.PowerState
		want   error
	}{
		{"no such state", nil, "sideways", hardware.ErrInvalidParameter},
		{"error is no target", nil, node.PowerError, hardware.ErrInvalidParameter},
		{"cleaning", func(n *node.Node) { n.ProvisionState = node.StateCleaning }, node.PowerOn, provision.ErrStateRequested},
		{"clean wait", func(n *node.Node) { n.ProvisionState = node.StateCleanWait }, node.PowerReboot, provision.ErrStateRequested},
		{"off is disabled", func(n *node.Node) { n.DisablePowerOff = true }, node.PowerOff, provision.ErrPowerState},
		{"soft off is disabled", func(n *node.Node) { n.DisablePowerOff = true }, node.PowerSoftOff, provision.ErrPowerState},
		{"driver unknown", func(n *node.Node) { n.Driver = "gone" }, node.PowerOn, hardware.ErrDriverNotFound},
		{"does not validate", func(n *node.Node) {
			n.DriverInfo = node.Object{hardware.FaultKey: "nonsense"}
		}, node.PowerOn, hardware.ErrInvalidParameter},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, tt.change, func(t *testing.T, c *cluster) {
				p, _ := c.conductor(t, "c1")
				before := c.read(t)
				if err := p.SetPower(t.Context(), c.node, tt.target, 0, 0, ""); !errors.Is(err, tt.want) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
				settle()
				if n := c.read(t); n.Revision != before.Revision || c.sent() != "" {
					t.Errorf("the node was written (%d, %d) or the machine commanded (%s)", before.Revision, n.Revision, c.sent())
				}
			})
		})
	}
}

func TestSetPowerFails(t *testing.T) {
	tests := []struct {
		name    string
		fault   object
		timeout time.Duration
		text    string
		sent    string
	}{
		{"state unreadable", object{"mode": "fail", "on": "power.Get", "message": "no route"}, 0, "no route", ""},
		{"command refused", object{"mode": "fail", "on": "power.Set", "message": "bad mood"}, 0, "bad mood", ""},
		{"no answer", object{"mode": "hang", "on": "power.Set"}, 5 * time.Second, "5s", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			order := func(n *node.Node) { n.DriverInfo = node.Object{hardware.FaultKey: []any{tt.fault}} }
			inBubble(t, order, func(t *testing.T, c *cluster) {
				p, _ := c.conductor(t, "c1")
				if err := p.SetPower(t.Context(), c.node, node.PowerOn, tt.timeout, 0, ""); err != nil {
					t.Fatal(err)
				}
				settle()
				n := c.read(t)
				if n.TargetPowerState != "" || n.PowerState != "" || !strings.Contains(n.LastError, tt.text) ||
					!strings.HasPrefix(n.LastError, "Failed to change power state to 'power on' by 'power on'.") {
					t.Errorf("target %q, state %q, last error %q", n.TargetPowerState, n.PowerState, n.LastError)
				}
				if got := c.sent(); got != tt.sent {
					t.Errorf("sent %q", got)
				}
			})
		})
	}
}

type object = map[string]any

// What the agent told goes with the power, and volumes of an active node are
// attached before it is switched on.
func TestSetPowerOfActiveNode(t *testing.T) {
	active := func(n *node.Node) {
		n.ProvisionState = node.StateActive
		n.StorageInterface = "fake"
		n.DriverInternalInfo = node.Object{"agent_url": "http://x", "agent_secret_token": "t", "kept": "k"}
	}
	inBubble(t, active, func(t *testing.T, c *cluster) {
		p, _ := c.conductor(t, "c1")
		for _, target := range []node.PowerState{node.PowerOn, node.PowerOff} {
			if err := p.SetPower(t.Context(), c.node, target, 0, 0, ""); err != nil {
				t.Fatal(err)
			}
			settle()
			info := c.read(t).DriverInternalInfo
			if _, wiped := info["agent_url"]; wiped == (target == node.PowerOff) || info["kept"] != "k" || info["last_power_state_change"] == nil {
				t.Errorf("after %s: %v", target, info)
			}
		}
		if got, want := c.sent(), "storage.Attach, power.Set power on, power.Set power off, storage.Detach"; got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
	})
}
