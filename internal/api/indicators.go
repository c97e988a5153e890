package api

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
)

// indicatorRoutes are about the lights of a machine. One is called by its name
// and its component, as led@system or as system/led.
func (a *api) indicatorRoutes() {
	const path = "/v1/nodes/{node}/management/indicators"
	a.asks("GET "+path, 63, indicators)
	for _, one := range []string{"/{indicator}", "/{component}/{indicator}"} {
		a.asks("GET "+path+one, 63, indicator)
		a.handle("PUT "+path+one, 63, setIndicator)
	}
}

// indicators is GET .../indicators: all that there are, and their components.
// Ironic's reference speaks of components and its code of indicators.
func indicators(ctx context.Context, c *call) error { return c.indicators(ctx, "") }

func (c *call) indicators(ctx context.Context, component string) error {
	var all map[string]map[string]hardware.Indicator
	var id node.ID
	err := c.manage(ctx, "get supported indicators", func(ctx context.Context, m hardware.BoundManagementReader, n *node.Node) (err error) {
		id = n.UUID
		all, err = m.SupportedIndicators(ctx, component)
		return err
	})
	if err != nil {
		return err
	}
	if component != "" && len(all) == 0 {
		return refuse(errMissing, "Node %s has no component %s with indicators.", id, cut(component, 64))
	}
	path := "nodes/" + string(id) + "/management/indicators/"
	items, components := []map[string]any{}, []map[string]any{}
	for _, of := range slices.Sorted(maps.Keys(all)) {
		components = append(components, map[string]any{"name": of, "links": c.links(path + of)})
		for _, name := range slices.Sorted(maps.Keys(all[of])) {
			i, unique := all[of][name], name+"@"+of
			items = append(items, map[string]any{
				"name": unique, "component": of, "readonly": i.ReadOnly, "states": i.States, "links": c.links(path + unique),
			})
		}
	}
	body := map[string]any{"indicators": items}
	if component == "" {
		body["components"] = components
	}
	return c.json(http.StatusOK, body)
}

// indicatorOf reads which indicator a path means; name is empty for a component.
func indicatorOf(r *http.Request) (component, name string) {
	if component = r.PathValue("component"); component != "" {
		return component, r.PathValue("indicator")
	}
	name, component, both := strings.Cut(r.PathValue("indicator"), "@")
	if !both {
		return name, ""
	}
	return component, name
}

// indicator is GET .../indicators/{indicator}: its state. Of a component, its
// indicators.
func indicator(ctx context.Context, c *call) error {
	component, name := indicatorOf(c.r)
	if name == "" {
		return c.indicators(ctx, component)
	}
	var state hardware.IndicatorState
	err := c.manage(ctx, "get indicator", func(ctx context.Context, m hardware.BoundManagementReader, _ *node.Node) (err error) {
		state, err = m.Indicator(ctx, component, name)
		return err
	})
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, map[string]any{"state": shape("", state)})
}

// setIndicator is PUT .../indicators/{indicator}.
func setIndicator(ctx context.Context, c *call) error {
	var in struct {
		State string `json:"state"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	component, name := indicatorOf(c.r)
	switch {
	case name == "":
		return invalid("indicator", "Malformed indicator name %q: write the name, @ and the component", cut(component, 64))
	case in.State == "":
		return invalid("state", "is required")
	}
	return c.command(ctx, provision.PurposeIndicator, func(ctx context.Context, m hardware.BoundManagement) error {
		return m.SetIndicator(ctx, component, name, hardware.IndicatorState(strings.ToUpper(in.State)))
	})
}
