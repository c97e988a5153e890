package provision_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// plug is what a machine has to attach to: p1, p2 and so on in the order given,
// "-" for one that does not boot by PXE, "a" or "b" for its portgroup, and "!"
// for one with a VIF.
func (c *cluster) plug(t *testing.T, ports ...string) {
	t.Helper()
	add := func(r node.Record) {
		if err := c.store.Create(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	groups := map[string]bool{}
	for i, s := range ports {
		p := &node.Port{UUID: portID(i + 1), NodeUUID: c.node, Address: fmt.Sprintf("52:54:00:00:00:%02x", i)}
		if strings.Contains(s, "-") {
			p.PXEEnabled = new(bool)
		}
		if strings.Contains(s, "!") {
			p.InternalInfo = node.Object{"tenant_vif_port_id": "busy"}
		}
		if g := strings.Trim(s, "-!p"); g != "" {
			if !groups[g] {
				add(&node.Portgroup{UUID: groupID(g), NodeUUID: c.node})
				groups[g] = true
			}
			p.PortgroupUUID = groupID(g)
		}
		add(p)
	}
}

func portID(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-0000000000%02d", i) }

func groupID(name string) string { return "00000000-0000-4000-8000-0000000000a" + name }

// attached says where the VIF v is.
func (c *cluster) attached(t *testing.T) string {
	t.Helper()
	rs, err := c.store.Records(t.Context(), c.node)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range rs.Ports {
		if p.InternalInfo.Text("tenant_vif_port_id") == "v" {
			return "p" + p.UUID[len(p.UUID)-1:]
		}
	}
	for _, g := range rs.Portgroups {
		if g.InternalInfo.Text("tenant_vif_port_id") == "v" {
			return g.UUID[len(g.UUID)-1:]
		}
	}
	return ""
}

// Ironic: test_common.py, TestCommonFunctions.
func TestAttachVIFChooses(t *testing.T) {
	tests := []struct {
		name  string
		ports []string
		vif   provision.VIF
		want  string // "" for none
	}{
		{"the first port", []string{"p", "p"}, provision.VIF{}, "p1"},
		{"no port", nil, provision.VIF{}, ""},
		{"a free one", []string{"p!", "p"}, provision.VIF{}, "p2"},
		{"none is free", []string{"p!", "p!"}, provision.VIF{}, ""},
		{"one that boots by PXE", []string{"p-", "p"}, provision.VIF{}, "p2"},
		{"one that does not, for want of others", []string{"p-", "p!"}, provision.VIF{}, "p1"},
		{"a portgroup first", []string{"p", "a", "a"}, provision.VIF{}, "a"},
		{"a port of a group that is broken up", []string{"p!", "a!", "a"}, provision.VIF{}, "p3"},
		{"an untouched group before that", []string{"a!", "a", "b"}, provision.VIF{}, "b"},
		{"the given port", []string{"p", "p", "a"}, provision.VIF{Port: portID(2)}, "p2"},
		{"the given port is taken", []string{"p", "p!"}, provision.VIF{Port: portID(2)}, ""},
		{"the given port is in a group", []string{"p", "a"}, provision.VIF{Port: portID(2)}, ""},
		{"the given portgroup", []string{"a", "b"}, provision.VIF{Portgroup: groupID("b")}, "b"},
		{"the given portgroup is broken up", []string{"a", "b!", "b"}, provision.VIF{Portgroup: groupID("b")}, ""},
		{"a port of another node", []string{"p"}, provision.VIF{Port: portID(9)}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, c *cluster) {
				p, _ := c.conductor(t, "c1")
				c.plug(t, tt.ports...)
				tt.vif.ID = "v"
				err := p.AttachVIF(t.Context(), c.node, tt.vif, 0, "")
				if (err == nil) != (tt.want != "") || err != nil && !errors.Is(err, provision.ErrNoFreePort) {
					t.Fatalf("got %v", err)
				}
				if got := c.attached(t); got != tt.want {
					t.Errorf("attached to %q, want %q", got, tt.want)
				}
				if tt.want == "" {
					return
				}
				tt.vif = provision.VIF{ID: "v"}
				if err := p.AttachVIF(t.Context(), c.node, tt.vif, 0, ""); !errors.Is(err, provision.ErrVIFAttached) {
					t.Errorf("again: got %v, want %v", err, provision.ErrVIFAttached)
				}
				if err := p.DetachVIF(t.Context(), c.node, "v", 0, ""); err != nil || c.attached(t) != "" {
					t.Errorf("detached: %v, attached to %q", err, c.attached(t))
				}
				if err := p.DetachVIF(t.Context(), c.node, "v", 0, ""); !errors.Is(err, provision.ErrVIFNotAttached) {
					t.Errorf("again: got %v, want %v", err, provision.ErrVIFNotAttached)
				}
			})
		})
	}
}

func TestClearVIFs(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *cluster) {
		p, tasks := c.conductor(t, "c1")
		c.plug(t, "p", "a", "p")
		for _, id := range []string{"x", "y"} {
			if err := p.AttachVIF(t.Context(), c.node, provision.VIF{ID: id}, 0, ""); err != nil {
				t.Fatal(err)
			}
		}
		err := tasks.Exclusive(t.Context(), task.Request{Node: c.node}, func(ctx context.Context, x *task.Exclusive) error {
			if got := provision.VIFs(x.Records()); len(got) != 2 {
				t.Errorf("attached %v", got)
			}
			err := provision.ClearVIFs(ctx, x)
			if got := provision.VIFs(x.Records()); len(got) != 0 {
				t.Errorf("left %v", got)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// The networks of an instance go with it.
func TestUndeployDetachesVIFs(t *testing.T) {
	inBubble(t, in(node.StateActive), func(t *testing.T, c *cluster) {
		p, _ := c.conductor(t, "c1")
		c.plug(t, "p", "a")
		for _, id := range []string{"v", "w"} {
			if err := p.AttachVIF(t.Context(), c.node, provision.VIF{ID: id}, 0, ""); err != nil {
				t.Fatal(err)
			}
		}
		resting(t, c.do(t, p, c.request(provision.Undeploy)), node.StateAvailable)
		if rs, err := c.store.Records(t.Context(), c.node); err != nil || len(provision.VIFs(rs)) != 0 {
			t.Errorf("left %v, %v", provision.VIFs(rs), err)
		}
	})
}

// network is one that can fail.
type network struct {
	hardware.Network
	err error
}

func (n *network) Validate(context.Context, *node.Node) error                { return nil }
func (n *network) AttachVIF(context.Context, *node.Node, hardware.VIF) error { return n.err }
func (n *network) DetachVIF(_ context.Context, _ *node.Node, _ string) error { return n.err }

// A network that refuses leaves the ports as they were.
func TestVIFRefusedByTheNetwork(t *testing.T) {
	onNet := func(n *node.Node) { n.NetworkInterface = "mine" }
	inBubble(t, onNet, func(t *testing.T, c *cluster) {
		net := &network{}
		config := hardwaretest.Config(c.bmc)
		config.Kit.Network = map[string]hardware.Network{"mine": net}
		p := c.conductorWith(t, "c1", config)
		c.plug(t, "p")
		net.err = errors.New("no such network")
		attach := p.AttachVIF(t.Context(), c.node, provision.VIF{ID: "v"}, 0, "")
		if !errors.Is(attach, provision.ErrMachine) || !errors.Is(attach, net.err) || c.attached(t) != "" {
			t.Errorf("got %v, attached to %q", attach, c.attached(t))
		}
		net.err = nil
		if err := p.AttachVIF(t.Context(), c.node, provision.VIF{ID: "v"}, 0, ""); err != nil {
			t.Fatal(err)
		}
		net.err = errors.New("no such port")
		if err := p.DetachVIF(t.Context(), c.node, "v", 0, ""); !errors.Is(err, net.err) || c.attached(t) != "p1" {
			t.Errorf("got %v, attached to %q", err, c.attached(t))
		}
	})
}

// conductorWith is a conductor with hardware of its own.
func (c *cluster) conductorWith(t *testing.T, host string, config hardware.Config) *provision.Provisioner {
	t.Helper()
	r, err := hardware.NewRegistry(config)
	if err != nil {
		t.Fatal(err)
	}
	client := c.etcd.Client(host)
	session, err := lease.Open(t.Context(), client, lease.Config{Holder: host})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close(context.Background()) })
	tasks, err := task.NewManager(task.Config{Client: client, Sessions: session, Hardware: r})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tasks.Close(context.Background()) })
	return provision.New(provision.Config{Tasks: tasks})
}
