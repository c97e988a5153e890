package api

import (
	"context"
	"maps"
	"net/http"
	"slices"

	"github.com/conductor-metal/conductor/pkg/hardware"
)

func (a *api) firmwareRoutes() {
	a.handle("GET /v1/nodes/{node}/firmware", 86, firmware)
}

var firmwareFields = []string{"component", "initial_version", "current_version", "last_version_flashed"}

// firmware is GET /v1/nodes/{node}/firmware: the versions as they were last read
// from the machine or brought to it.
func firmware(ctx context.Context, c *call) error {
	n, err := c.node(ctx)
	if err != nil {
		return err
	}
	fields, err := c.partFields(86, firmwareFields, firmwareFields)
	if err != nil {
		return err
	}
	components := part(n.DriverInternalInfo, hardware.FirmwareKey)
	out := []map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(components)) {
		kept := part(components, name)
		item := map[string]any{"created_at": kept["created_at"], "updated_at": kept["updated_at"]}
		for _, f := range fields {
			item[f] = kept[f]
			if f == "component" {
				item[f] = name
			}
		}
		delete(item, "links") // components have none
		out = append(out, item)
	}
	return c.json(http.StatusOK, map[string]any{"firmware": out})
}
