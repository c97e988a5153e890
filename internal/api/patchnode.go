package api

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// patchNode is PATCH /v1/nodes/{node}. It needs no driver: a broken one may be
// what is to be changed. Everything is checked twice: on the node as it stands,
// so that what is refused does not wait, and on the node that it changes.
//
// Ironic: NodesController.patch and ConductorManager.update_node.
func patchNode(s *resource[*node.Node]) route {
	return func(ctx context.Context, c *call) error {
		e, err := s.edit(c)
		if err != nil {
			return err
		}
		reset, err := c.resets(e)
		if err != nil {
			return err
		}
		n, err := c.node(ctx)
		if err != nil {
			return err
		}
		try := func(ctx context.Context, old *node.Node) (*node.Node, error) {
			return c.amendNode(ctx, s, old, e, reset)
		}
		if _, err := try(ctx, n); err != nil && !c.mayChange(ctx, n.UUID, err) {
			return err
		}
		err = c.edit(ctx, n.UUID, purposeUpdate, func(ctx context.Context, x task.Edit) error {
			amended, err := try(ctx, x.Node())
			if err != nil {
				return err
			}
			if x.Node().InstanceUUID != "" && amended.InstanceUUID == "" {
				amended.AllocationUUID = "" // and the allocation goes with it
			}
			if !s.same(x.Node(), amended) {
				x.Tell(c.told(amended, task.Updated))
			}
			if x.Node().Maintenance != amended.Maintenance {
				x.Tell(task.Notification{Type: task.MaintenanceSet + task.End})
			}
			*x.Node() = *amended
			n = x.Node()
			return nil
		})
		if err != nil {
			return asInput(err, n)
		}
		return c.json(http.StatusOK, s.render(&view{call: c}, n, s.visible(c.v)))
	}
}

// resets reads ?reset_interfaces=.
func (c *call) resets(e edit) (bool, error) {
	q := c.r.URL.Query()
	if !q.Has("reset_interfaces") {
		return false, nil
	}
	if c.v < 45 {
		return false, tooNew("The parameter reset_interfaces", 45, c.v)
	}
	reset, err := parseBool("reset_interfaces", q.Get("reset_interfaces"))
	if err == nil && reset && !e.gives("driver") {
		return false, refuse(node.ErrInvalid, "The reset_interfaces parameter can only be used when changing the node's driver.")
	}
	return reset, err
}

// amendNode answers the node that the patch makes of old, or why it may not.
func (c *call) amendNode(ctx context.Context, s *resource[*node.Node], old *node.Node, e edit, reset bool) (*node.Node, error) {
	if err := mayPatch(old, e, c.v); err != nil {
		return nil, err
	}
	if err := c.mayOwn(ctx, old, e); err != nil {
		return nil, err
	}
	n, changed, err := s.amend(old, e)
	if err != nil {
		return nil, err
	}
	if err := c.mayName(n.Name); changed["name"] && err != nil {
		return nil, err
	}
	if changed["parent_node"] && n.ParentNode != "" {
		if n.ParentNode, err = c.known(ctx, "parent_node", n.ParentNode); err != nil {
			return nil, err
		}
	}
	follow(n, changed)
	if err := mayUpdate(old, n, changed, c.v); err != nil {
		return nil, err
	}
	if _, err := c.cfg.Store.Keys().Update(old, n.Clone()); err != nil { // its rules, before anybody waits
		return nil, err
	}
	if changed["driver"] || changed["conductor_group"] {
		if err := c.served(n); err != nil {
			return nil, err
		}
	}
	return n, c.recompose(n, changed, e, reset)
}

// mayOwn refuses a new owner for a node that was given to somebody.
func (c *call) mayOwn(ctx context.Context, n *node.Node, e edit) error {
	if n.AllocationUUID == "" || !e.gives("owner") {
		return nil
	}
	al, err := c.cfg.Store.Allocation(ctx, n.AllocationUUID)
	switch {
	case errors.Is(err, node.ErrNotFound):
		return nil
	case err == nil && al.Owner != "":
		return refuse(errAssociated, "Cannot update owner of node \"%s\" while it is allocated to an allocation with an owner.", n.UUID)
	}
	return err
}

// hostName is what names were before they could have _ and ~ in them.
var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*\.?$`)

// mayName refuses a name that a client of an old version could not use.
func (c *call) mayName(name string) error {
	if c.v < 10 && name != "" && !hostName.MatchString(name) {
		return invalid("name", "before API version 1.10 a node's name must be a valid hostname, and %q is not", cut(name, 255))
	}
	return nil
}

// known is the uuid of a node that a field names.
func (c *call) known(ctx context.Context, field, ref string) (string, error) {
	n, err := c.cfg.Store.Find(ctx, ref)
	if missing, ok := errors.AsType[*node.NotFoundError](err); ok {
		return "", invalid(field, "%s", notFoundText(missing))
	}
	if err != nil {
		return "", err
	}
	return string(n.UUID), nil
}

// asInput turns "not found" into "invalid" when it is about something that a
// field names; a 404 would be about the path.
func asInput(err error, r node.Record) error {
	missing, ok := errors.AsType[*node.NotFoundError](err)
	if !ok || missing.Kind == r.Kind() && strings.EqualFold(missing.Ref, r.ID()) {
		return err
	}
	return refuse(node.ErrInvalid, "%s", notFoundText(missing))
}

// mayChange says whether a refusal may not be the last word: the node is in the
// wrong state because somebody is at work on it, and the client wants to wait.
func (c *call) mayChange(ctx context.Context, id node.ID, err error) bool {
	if !c.patient || !errors.Is(err, node.ErrInvalidState) {
		return false
	}
	q, qErr := c.cfg.Locks.Queue(ctx, string(id))
	return qErr == nil && slices.ContainsFunc(q.Holders(), func(e lease.Entry) bool { return e.Mode == lease.Exclusive })
}

// recompose checks the driver and its interfaces if they change, and chooses
// those that are not given. With reset, that is all that the patch does not give.
func (c *call) recompose(n *node.Node, changed map[string]bool, e edit, reset bool) error {
	fields := n.Interfaces()
	compose := changed["driver"]
	for name, value := range fields {
		switch {
		case changed[name]:
			compose = true
		case changed["driver"] && reset && !e.gives(name):
			*value = ""
		}
	}
	if !compose {
		return nil
	}
	return c.compose(n)
}
