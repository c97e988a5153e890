package api

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// traitRoutes adds the traits of nodes. What a trait may be is the record's rule:
// CUSTOM_ or a name space of os-traits, then A-Z, 0-9 and _; at most 255 characters,
// and at most 50 traits a node. In which state the node is, does not matter; that
// it is not locked by another does.
func (a *api) traitRoutes() {
	a.handle("GET /v1/nodes/{node}/traits", 37, listTraits)
	a.handle("PUT /v1/nodes/{node}/traits", 37, replaceTraits)
	a.handle("DELETE /v1/nodes/{node}/traits", 37, removeTraits)
	a.handle("PUT /v1/nodes/{node}/traits/{trait}", 37, addTrait)
	a.handle("DELETE /v1/nodes/{node}/traits/{trait}", 37, removeTrait)
}

func listTraits(ctx context.Context, c *call) error {
	n, err := c.node(ctx)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, map[string]any{"traits": shape("traits", n.Traits)})
}

func replaceTraits(ctx context.Context, c *call) error {
	var in struct {
		Traits *[]string `json:"traits"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.Traits == nil {
		return invalid("traits", "is required: the list of all traits of the node; to add one, PUT /v1/nodes/{node}/traits/{trait} without a body")
	}
	err := c.setTraits(ctx, func(*node.Node) ([]string, error) { return slices.Clone(*in.Traits), nil })
	if err != nil {
		return err
	}
	return c.empty()
}

func addTrait(ctx context.Context, c *call) error {
	data, err := c.body()
	if err != nil {
		return err
	}
	if text := strings.TrimSpace(string(data)); text != "" && text != "{}" && text != "null" {
		return invalid("", "no body is expected when one trait is added; to replace all, PUT /v1/nodes/{node}/traits")
	}
	trait := c.r.PathValue("trait")
	err = c.setTraits(ctx, func(n *node.Node) ([]string, error) { return append(slices.Clone(n.Traits), trait), nil })
	if err != nil {
		return err
	}
	c.w.Header().Set("Location", c.url("nodes/"+c.r.PathValue("node")+"/traits/"+trait))
	return c.empty()
}

func removeTraits(ctx context.Context, c *call) error {
	if err := c.setTraits(ctx, func(*node.Node) ([]string, error) { return nil, nil }); err != nil {
		return err
	}
	return c.empty()
}

func removeTrait(ctx context.Context, c *call) error {
	trait := c.r.PathValue("trait")
	err := c.setTraits(ctx, func(n *node.Node) ([]string, error) {
		at := slices.Index(n.Traits, trait)
		if at < 0 {
			return nil, refuse(errMissing, "Node %s doesn't have a trait '%s'", n.UUID, cut(trait, 255))
		}
		return slices.Delete(slices.Clone(n.Traits), at, at+1), nil
	})
	if err != nil {
		return err
	}
	return c.empty()
}

// setTraits gives a node other traits. They are a set: what is
// there twice is there once, and the order is that of the alphabet.
func (c *call) setTraits(ctx context.Context, traits func(*node.Node) ([]string, error)) error {
	n, err := c.node(ctx)
	if err != nil {
		return err
	}
	change := func(n *node.Node) error {
		list, err := traits(n)
		if err != nil {
			return err
		}
		slices.Sort(list)
		n.Traits = slices.Compact(list)
		return nil
	}
	after := n.Clone()
	if change(after) == nil { // what is missing may have come when we write
		if _, err := c.cfg.Store.Keys().Update(n, after); err != nil { // its rules, before anybody waits
			return err
		}
	}
	return c.edit(ctx, n.UUID, purposeUpdate, func(_ context.Context, x task.Edit) error {
		if err := change(x.Node()); err != nil {
			return err
		}
		x.Tell(c.told(x.Node(), task.Updated))
		return nil
	})
}
