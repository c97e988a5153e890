package api

import (
	"context"
	"net/http"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
)

func (a *api) inventoryRoutes() {
	a.handle("GET /v1/nodes/{node}/inventory", 81, inventory)
}

// inventory is GET /v1/nodes/{node}/inventory: what the last inspection found.
func inventory(ctx context.Context, c *call) error {
	n, err := c.node(ctx)
	if err != nil {
		return err
	}
	found := part(n.DriverInternalInfo, hardware.InspectionKey)
	if found == nil {
		return refuse(errMissing, "Node inventory record for node %s could not be found. (inspect the node)", n.UUID)
	}
	out := map[string]any{}
	for _, name := range []string{"inventory", "plugin_data"} {
		out[name] = part(found, name)
	}
	return c.json(http.StatusOK, out)
}

// part is an object within an object, nil if there is none.
func part(o node.Object, key string) node.Object {
	switch v := o[key].(type) {
	case map[string]any:
		return v
	case node.Object:
		return v
	}
	return nil
}

// shownNode is a node as it is shown: its secrets are masked, and what an
// inspection found, which may be long, has a path of its own.
func shownNode(n *node.Node) *node.Node {
	n = n.Masked() // a copy
	delete(n.DriverInternalInfo, hardware.InspectionKey)
	return n
}
