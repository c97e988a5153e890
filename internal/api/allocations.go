package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/conductor-metal/conductor/internal/allocate"
	"github.com/conductor-metal/conductor/pkg/node"
)

var allocationColumns = columns{
	"uuid": given(52), "name": edited(52), "node_uuid": shown(52), "resource_class": given(52), "state": shown(52), "last_error": shown(52),
	"candidate_nodes": given(52), "traits": given(52), "owner": given(60), "extra": edited(52),
	"created_at": shown(52), "updated_at": shown(52), "links": shown(52),
}

func (a *api) allocations() *resource[*node.Allocation] {
	is := func(since minor, of func(*node.Allocation) string) filter[*node.Allocation] {
		return filter[*node.Allocation]{since, func(_ context.Context, _ *call, value string) (func(*node.Allocation) bool, error) {
			return func(al *node.Allocation) bool { return of(al) == value }, nil
		}}
	}
	s := alone(&resource[*node.Allocation]{
		kind: node.KindAllocation, path: "allocations", plural: "allocations", since: 52, names: 52, columns: allocationColumns,
		clone: (*node.Allocation).Clone, list: a.cfg.Store.Allocations, find: a.cfg.Store.Allocation,
		filters: map[string]filter[*node.Allocation]{
			"resource_class": is(52, func(al *node.Allocation) string { return al.ResourceClass }),
			"state":          is(52, func(al *node.Allocation) string { return string(al.State) }),
			"owner":          is(60, func(al *node.Allocation) string { return al.Owner }),
			"node": {52, func(ctx context.Context, c *call, value string) (func(*node.Allocation) bool, error) {
				id, err := c.known(ctx, "node", value) // Ironic: 400, not 404
				return func(al *node.Allocation) bool { return string(al.NodeUUID) == id }, err
			}},
		},
	})
	s.brief = s.visible(newest) // Ironic: a list shows all columns
	return s
}

func (a *api) allocationRoutes() {
	s := a.allocations()
	a.handle("POST /v1/allocations", 52, createAllocation(s))
	a.handle("GET /v1/allocations", 52, s.index(false))
	a.handle("GET /v1/allocations/{ref}", 52, s.show)
	a.handle("PATCH /v1/allocations/{ref}", 57, s.patchAlone(nil))
	a.handle("DELETE /v1/allocations/{ref}", 52, func(ctx context.Context, c *call) error {
		al, err := s.one(ctx, c)
		if err != nil {
			return err
		}
		return c.deallocate(ctx, al)
	})
	a.handle("GET /v1/nodes/{node}/allocation", 52, func(ctx context.Context, c *call) error {
		names, err := s.chosen(c, true)
		if err != nil {
			return err
		}
		al, err := c.allocationOf(ctx)
		if err != nil {
			return err
		}
		return c.json(http.StatusOK, s.render(&view{call: c}, al, names))
	})
	a.handle("DELETE /v1/nodes/{node}/allocation", 52, func(ctx context.Context, c *call) error {
		al, err := c.allocationOf(ctx)
		if err != nil {
			return err
		}
		return c.deallocate(ctx, al)
	})
}

// allocationOf finds the allocation of the node in the path.
func (c *call) allocationOf(ctx context.Context) (*node.Allocation, error) {
	n, err := c.node(ctx)
	if err != nil {
		return nil, err
	}
	al, err := c.cfg.Store.Allocation(ctx, n.AllocationUUID)
	if errors.Is(err, node.ErrNotFound) {
		return nil, refuse(errMissing, "Allocation for node %s was not found.", n.UUID)
	}
	return al, err
}

func (c *call) deallocate(ctx context.Context, al *node.Allocation) error {
	if err := c.cfg.Allocations.Delete(ctx, al.UUID, c.allocating()); err != nil {
		return err
	}
	return c.empty()
}

func (c *call) allocating() allocate.Request { return allocate.Request{Wait: c.wait, User: c.user()} }

// createAllocation is POST /v1/allocations. A node is looked for in the
// background, unless the request names one that has been deployed already.
//
// Ironic: AllocationsController.post.
func createAllocation(s *resource[*node.Allocation]) route {
	return func(ctx context.Context, c *call) error {
		al, ref := &node.Allocation{}, ""
		err := s.input(c, al, func(raw map[string]json.RawMessage) (err error) {
			ref, err = c.backfills(raw)
			return err
		})
		if err != nil {
			return err
		}
		if al.CandidateNodes, err = c.candidates(ctx, al.CandidateNodes); err != nil {
			return err
		}
		switch {
		case ref != "":
			err = c.backfill(ctx, al, ref)
		case al.ResourceClass == "":
			return invalid("resource_class", "is required unless a node is given")
		default:
			err = c.cfg.Allocations.Create(ctx, al, c.user())
		}
		if err != nil {
			return err
		}
		c.w.Header().Set("Location", c.url("allocations/"+al.UUID))
		return c.json(http.StatusCreated, s.render(&view{call: c}, al, s.visible(c.v)))
	}
}

// backfills takes the node that is to be backfilled out of a request.
func (c *call) backfills(raw map[string]json.RawMessage) (ref string, err error) {
	value, ok := raw["node"]
	switch {
	case !ok || string(value) == "null":
	case c.v < 58:
		return "", invalid("node", "Cannot set node when creating an allocation in this API version; it needs 1.58")
	case json.Unmarshal(value, &ref) != nil:
		return "", invalid("node", "must be text")
	}
	delete(raw, "node")
	return ref, nil
}

func (c *call) backfill(ctx context.Context, al *node.Allocation, ref string) error {
	id, err := c.known(ctx, "node", ref)
	if err != nil {
		return err
	}
	return asInput(c.cfg.Allocations.Backfill(ctx, al, node.ID(id), c.allocating()), al)
}

// candidates are the uuids of nodes that may be given by name, in their order.
func (c *call) candidates(ctx context.Context, refs []string) ([]string, error) {
	if len(refs) == 0 {
		return nil, nil
	}
	ids := map[string]string{}
	for _, ref := range refs {
		ids[strings.ToLower(ref)], ids[ref] = "", ""
	}
	_, err := c.cfg.Store.Nodes(ctx, node.ListRequest[*node.Node]{Match: func(n *node.Node) bool {
		for _, ref := range []string{string(n.UUID), n.Name} {
			if _, ok := ids[ref]; ok && ref != "" {
				ids[ref] = string(n.UUID)
			}
		}
		return false
	}})
	if err != nil {
		return nil, err
	}
	var all []string
	for _, ref := range refs {
		id := ids[ref]
		if node.IsUUID(ref) {
			id = ids[strings.ToLower(ref)]
		}
		if id == "" {
			return nil, invalid("candidate_nodes", "%s", notFoundText(&node.NotFoundError{Kind: node.KindNode, Ref: ref}))
		}
		if !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	return all, nil
}
