package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/conductor-metal/conductor/internal/allocate"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// Purposes of the tasks of this package.
const (
	purposeDelete      = "node delete"
	purposeMaintenance = "maintenance"
	purposeUpdate      = "node update"
)

// recordPurposes are those of tasks that write records and command no machine.
var recordPurposes = []string{
	purposeDelete, purposeMaintenance, purposeUpdate, "port update", "portgroup update", "volume connector update", "volume target update",
	allocate.Purpose, allocate.PurposeBackfill, allocate.PurposeDelete,
}

func (a *api) nodes() *resource[*node.Node] {
	within := func(part string) func(*view, *node.Node) any {
		return func(v *view, n *node.Node) any { return v.links("nodes/" + string(n.UUID) + part) }
	}
	s := &resource[*node.Node]{
		kind: node.KindNode, path: "nodes", plural: "nodes", since: 1, columns: nodeColumns, names: 5,
		brief: []string{"uuid", "name", "instance_uuid", "maintenance", "power_state", "provision_state", "links"},
		clone: (*node.Node).Clone, masked: shownNode,
		derived: map[string]func(*view, *node.Node) any{
			"links": within(""), "ports": within("/ports"), "states": within("/states"),
			"portgroups": within("/portgroups"), "volume": within("/volume"),
			"conductor":       func(v *view, n *node.Node) any { return shape("", v.conductorOf(n)) },
			"provision_state": func(v *view, n *node.Node) any { return provisionState(n.ProvisionState, v.v) },
			"reservation":     func(v *view, n *node.Node) any { return shape("reservation", v.holders[string(n.UUID)]) },
		},
		filters: nodeFilters, find: a.cfg.Store.Find, fields: fieldsOf[*node.Node](),
	}
	s.list = a.cfg.Lists.Nodes
	return s
}

// provisionState is the state in the words of an old version.
func provisionState(s node.ProvisionState, v minor) any {
	switch {
	case v < 2 && s == node.StateAvailable:
		return nil
	case v < 39 && s == node.StateInspectWait:
		return node.StateInspecting
	}
	return s
}

// exclusiveHolder is the host that keeps everybody else from a node, "" if
// nobody does.
func exclusiveHolder(q lease.Queue) string {
	for _, h := range q.Holders() {
		if h.Mode == lease.Exclusive {
			return holderName(h)
		}
	}
	return ""
}

// holderName is who stands behind an entry, as well as can be known: etcdctl and
// others of its kind lock with a key that ends in the number of their lease.
func holderName(e lease.Entry) string {
	switch {
	case e.Holder != "":
		return e.Holder
	case e.Foreign && e.Lease != 0 && strings.HasSuffix(e.Key, fmt.Sprintf("/%x", int64(e.Lease))):
		return "etcdctl"
	}
	return "unknown"
}

// show answers one record.
func (s *resource[R]) show(ctx context.Context, c *call) error {
	names, err := s.chosen(c, true)
	if err != nil {
		return err
	}
	r, err := s.one(ctx, c)
	if err != nil {
		return err
	}
	v := &view{call: c}
	if n, ok := any(r).(*node.Node); ok {
		q, err := c.cfg.Locks.Queue(ctx, string(n.UUID))
		if err != nil {
			return err
		}
		v.holders = map[string]string{q.Name: exclusiveHolder(q)}
	}
	return c.json(http.StatusOK, s.render(v, r, names))
}

// one finds the record that the path names.
func (s *resource[R]) one(ctx context.Context, c *call) (R, error) {
	ref := c.r.PathValue("ref")
	if s.kind == node.KindNode {
		ref = c.r.PathValue("node")
	}
	if !node.IsUUID(ref) && (s.names == 0 || c.v < s.names) {
		var none R
		return none, &node.NotFoundError{Kind: s.kind, Ref: ref}
	}
	return s.find(ctx, ref)
}

// createNode is POST /v1/nodes. Ironic: NodesController.post.
func createNode(s *resource[*node.Node]) route {
	return func(ctx context.Context, c *call) error {
		n := &node.Node{}
		if err := s.input(c, n, nil); err != nil {
			return err
		}
		n.ProvisionState = node.StateEnroll
		if c.v < 11 {
			n.ProvisionState = node.StateAvailable
		}
		if n.Driver == "" {
			return invalid("driver", "is required")
		}
		if err := c.mayName(n.Name); err != nil {
			return err
		}
		if n.ParentNode != "" {
			var err error
			if n.ParentNode, err = c.known(ctx, "parent_node", n.ParentNode); err != nil {
				return err
			}
		}
		follow(n, map[string]bool{"instance_info": true})
		if n.Retired && n.ProvisionState == node.StateAvailable {
			return refuse(node.ErrInvalidState, "A node in the state available cannot be retired.")
		}
		n.Normalize()
		if err := cmp.Or(c.compose(n), c.served(n)); err != nil {
			return err
		}
		if err := c.cfg.Tasks.Create(ctx, n, c.user()); err != nil {
			return asInput(err, n) // the chassis
		}
		c.w.Header().Set("Location", c.url("nodes/"+string(n.UUID)))
		return c.json(http.StatusCreated, s.render(&view{call: c}, n, s.visible(c.v)))
	}
}

// compose checks the driver of a new node and fills in the interfaces that it
// does not name, which are then its own.
func (c *call) compose(n *node.Node) error {
	made, err := c.cfg.Hardware.Compose(n)
	if errors.Is(err, hardware.ErrDriverNotFound) {
		return c.noValidHost(n)
	}
	if err != nil {
		return err
	}
	fields := n.Interfaces()
	for name, value := range made.Defaults() {
		*fields[name+"_interface"] = value
	}
	return nil
}

// served refuses a node of which no conductor that lives takes care.
func (c *call) served(n *node.Node) error {
	if c.cfg.Cluster.Members != nil && c.conductorOf(n) == "" {
		return c.noValidHost(n)
	}
	return nil
}

func (c *call) noValidHost(n *node.Node) error {
	return refuse(errNoValidHost, "No valid host was found. Reason: No conductor service registered which supports driver %s for conductor group %q. (enabled here: %s)",
		cut(n.Driver, 255), cut(n.ConductorGroup, 255), strings.Join(c.cfg.Hardware.Types(), ", "))
}

// deleteNode is DELETE /v1/nodes/{node}. It needs no driver, which may be broken.
// Ironic: ConductorManager.destroy_node.
func deleteNode(ctx context.Context, c *call) error {
	n, err := c.node(ctx)
	if err != nil {
		return err
	}
	err = c.exclusive(ctx, n.UUID, purposeDelete, func(ctx context.Context, x *task.Exclusive) error {
		if err := mayDelete(x.Node()); err != nil {
			return err
		}
		return x.Destroy(ctx)
	})
	if err != nil {
		return err
	}
	return c.empty()
}

func mayDelete(n *node.Node) error {
	// Ironic: allow_deleting_available_nodes, which is on by default.
	deletable := append(node.DeleteAllowed.States(), node.StateAvailable)
	switch {
	case n.InstanceUUID != "" && !n.Maintenance:
		return refuse(errAssociated, "Node %s is associated with instance %s.", n.UUID, n.InstanceUUID)
	case n.Protected:
		return refuse(errProtected, "Node %s is protected and cannot be undeployed, rebuilt or deleted.", n.UUID)
	case !slices.Contains(deletable, n.ProvisionState) && !n.Maintenance:
		return refuse(node.ErrInvalidState, "Can not delete node %q while it is in provision state %q. Valid provision states to perform deletion are: %q, "+
			"or set the node into maintenance mode", n.UUID, n.ProvisionState, deletable)
	}
	return nil
}

// exclusive runs a short task without a driver, as long as the client waits.
func (c *call) exclusive(ctx context.Context, id node.ID, purpose string, fn func(context.Context, *task.Exclusive) error) error {
	r := task.Request{Node: id, Purpose: purpose, Wait: c.wait, User: c.user(), NoDriver: true}
	return c.cfg.Tasks.Exclusive(ctx, r, func(ctx context.Context, x *task.Exclusive) error {
		return settling(x, fn(ctx, x))
	})
}

// edit changes the record of a node and nothing else, and writes it when fn has
// returned. It takes no lock unless somebody else has it; fn may run twice.
func (c *call) edit(ctx context.Context, id node.ID, purpose string, fn func(context.Context, task.Edit) error) error {
	r := task.Request{Node: id, Purpose: purpose, Wait: c.wait, User: c.user()}
	return c.cfg.Tasks.Edit(ctx, r, func(ctx context.Context, x task.Edit) error {
		return settling(x, fn(ctx, x))
	})
}

// settling deals with what was abandoned if it was only about records.
func settling(x task.Edit, err error) error {
	if err == nil && !node.Unstable.Has(x.Node().ProvisionState) && onlyRecords(x.Abandoned()) {
		x.Settle()
	}
	return err
}

// onlyRecords says whether an abandoned section, and all that it found abandoned
// itself, were those of this package, which command no machine: each of their
// writes was made whole or not at all. A section of others that uses the same
// words names the command that it runs.
func onlyRecords(i *lease.Intent) bool {
	for ; i != nil; i = i.Left {
		ours := slices.Contains(recordPurposes, i.Purpose)
		if !ours || i.Detail != "" {
			return false
		}
		if i.Left == nil {
			return true
		}
	}
	return false
}
