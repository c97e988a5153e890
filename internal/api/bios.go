package api

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
)

func (a *api) biosRoutes() {
	a.handle("GET /v1/nodes/{node}/bios", 40, biosSettings)
	a.handle("GET /v1/nodes/{node}/bios/{setting}", 40, biosSetting)
}

// What a setting has, and since 1.74 what the machine's registry says of it.
var (
	biosFields     = []string{"name", "value"}
	registryFields = []string{
		"name", "value", "attribute_type", "allowable_values", "lower_bound", "max_length", "min_length", "read_only",
		"reset_required", "unique", "upper_bound",
	}
)

// biosSettings is GET /v1/nodes/{node}/bios: the settings as they were last read
// from the machine or written to it.
func biosSettings(ctx context.Context, c *call) error {
	n, err := c.node(ctx)
	if err != nil {
		return err
	}
	fields, err := c.partFields(74, biosFields, registryFields)
	if err != nil {
		return err
	}
	settings := part(n.DriverInternalInfo, hardware.BIOSSettingsKey)
	out := []map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		out = append(out, c.biosView(n.UUID, name, settings[name], fields))
	}
	return c.json(http.StatusOK, map[string]any{"bios": out})
}

// biosSetting is GET /v1/nodes/{node}/bios/{setting}.
func biosSetting(ctx context.Context, c *call) error {
	n, err := c.node(ctx)
	if err != nil {
		return err
	}
	name := c.r.PathValue("setting")
	value, ok := part(n.DriverInternalInfo, hardware.BIOSSettingsKey)[name]
	if !ok {
		return refuse(errMissing, "Node %s doesn't have a BIOS setting '%s'", n.UUID, cut(name, 255))
	}
	fields := registryFields
	if c.v < 74 {
		fields = biosFields
	}
	return c.json(http.StatusOK, map[string]any{name: c.biosView(n.UUID, name, value, fields)})
}

// biosView shows a setting, which is kept as its value, or as an object with
// value and what else is known of it.
func (c *call) biosView(id node.ID, name string, kept any, fields []string) map[string]any {
	setting := part(node.Object{"": kept}, "")
	if setting == nil {
		setting = node.Object{"value": kept}
	}
	out := map[string]any{
		"created_at": setting["created_at"], "updated_at": setting["updated_at"],
		"links": c.links("nodes/" + string(id) + "/bios/" + name),
	}
	for _, f := range fields {
		if f == "name" {
			out[f] = name
		} else if _, there := out[f]; !there {
			out[f] = setting[f]
		}
	}
	return out
}

// partFields are the fields of ?fields=, or all of them with ?detail=true, or else
// the brief ones; for lists of what is part of a node. Before since there is no
// choice.
func (c *call) partFields(since minor, brief, all []string) ([]string, error) {
	q := c.r.URL.Query()
	for _, name := range []string{"fields", "detail"} {
		if q.Has(name) && c.v < since {
			return nil, invalid(name, "Invalid query parameter ?%s=%s received. (since API version %s)", name, cut(q.Get(name), 64), since)
		}
	}
	detail := false
	if q.Has("detail") {
		var err error
		if detail, err = parseBool("detail", q.Get("detail")); err != nil {
			return nil, err
		}
	}
	switch {
	case detail && q.Has("fields"):
		return nil, invalid("fields", "cannot be used together with detail")
	case detail:
		return all, nil
	case !q.Has("fields"):
		return brief, nil
	}
	return fieldsAmong(q["fields"], append([]string{"created_at", "updated_at", "links"}, all...))
}

// fieldsAmong reads ?fields= of what has these.
func fieldsAmong(asked, valid []string) ([]string, error) {
	names := strings.FieldsFunc(strings.Join(asked, ","), func(r rune) bool { return r == ',' })
	for _, n := range names {
		if !slices.Contains(valid, n) {
			return nil, invalid("fields", "%q is not valid; choose from %s", cut(n, 64), strings.Join(valid, ", "))
		}
	}
	return names, nil
}
