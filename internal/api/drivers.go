package api

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"

	"github.com/conductor-metal/conductor/internal/cluster"
	"github.com/conductor-metal/conductor/pkg/hardware"
)

func (c *call) driverView(t hardware.TypeInfo, hosts, fields []string) map[string]any {
	whole := map[string]any{
		"name": t.Name, "hosts": hosts, "type": "dynamic", "links": c.links("drivers/" + t.Name),
		"properties": c.links("drivers/" + t.Name + "/properties"),
	}
	for _, i := range hardware.Interfaces() {
		whole["enabled_"+i+"_interfaces"] = append([]string{}, t.Enabled[i]...)
		whole["default_"+i+"_interface"] = shape("", t.Default[i])
	}
	maps.DeleteFunc(whole, func(name string, _ any) bool { return !slices.Contains(fields, name) })
	return whole
}

// drivers is GET /v1/drivers.
func drivers(ctx context.Context, c *call) error {
	q := c.r.URL.Query()
	for _, name := range []string{"detail", "type"} {
		if q.Has(name) && c.v < 30 {
			return tooNew("The parameter "+name, 30, c.v)
		}
	}
	detail := false
	if text := q.Get("detail"); text != "" {
		var err error
		if detail, err = parseBool("detail", text); err != nil {
			return err
		}
	}
	if detail && q.Has("fields") {
		return invalid("fields", "cannot be used together with detail")
	}
	fields, err := c.driverFields(detail)
	if err != nil {
		return err
	}
	if t := q.Get("type"); t != "" && t != "dynamic" && t != "classic" {
		return invalid("type", "must be classic or dynamic")
	}
	now, err := c.conductorsNow(ctx)
	if err != nil {
		return err
	}
	out := []map[string]any{}
	for _, name := range c.cfg.Hardware.Types() {
		info, err := c.cfg.Hardware.Describe(name)
		if err != nil || q.Get("type") == "classic" {
			continue
		}
		out = append(out, c.driverView(info, hostsOf(now, name), fields))
	}
	return c.json(http.StatusOK, map[string]any{"drivers": out})
}

// driverFields are the fields that the request wants of a driver: those of
// ?fields=, or all that its version knows, in a list without those of the
// interfaces.
func (c *call) driverFields(detail bool) ([]string, error) {
	brief := []string{"name", "hosts", "links"}
	if c.v >= 14 {
		brief = append(brief, "properties")
	}
	if c.v >= 30 {
		brief = append(brief, "type")
	}
	all := slices.Clone(brief)
	for _, i := range hardware.Interfaces() {
		since := nodeColumns[i+"_interface"].since
		if c.v >= since || c.v >= 30 && since == 31 { // here a version before they came to nodes
			all = append(all, "default_"+i+"_interface", "enabled_"+i+"_interfaces")
		}
	}
	q := c.r.URL.Query()
	switch {
	case q.Has("fields") && c.v < 77:
		return nil, tooNew("The parameter fields", 77, c.v)
	case q.Has("fields"):
		return fieldsAmong(q["fields"], all)
	case detail && c.v >= 30:
		return all, nil
	}
	return brief, nil
}

func hostsOf(v *cluster.View, driver string) []string {
	hosts := []string{}
	for _, m := range v.Members {
		if m.Has(driver) {
			hosts = append(hosts, m.Host)
		}
	}
	return hosts
}

// driver is GET /v1/drivers/{driver}.
func driver(ctx context.Context, c *call) error {
	info, err := c.describe()
	if err != nil {
		return err
	}
	fields, err := c.driverFields(true)
	if err != nil {
		return err
	}
	now, err := c.conductorsNow(ctx)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, c.driverView(info, hostsOf(now, info.Name), fields))
}

// driverProperties is GET /v1/drivers/{driver}/properties.
func driverProperties(_ context.Context, c *call) error {
	info, err := c.describe()
	if err != nil {
		return err
	}
	if info.Properties == nil {
		info.Properties = map[string]string{}
	}
	return c.json(http.StatusOK, info.Properties)
}

func (c *call) describe() (hardware.TypeInfo, error) {
	name := c.r.PathValue("driver")
	info, err := c.cfg.Hardware.Describe(name)
	if errors.Is(err, hardware.ErrDriverNotFound) {
		return info, &hardware.DriverNotFoundError{Driver: cut(name, 255), Valid: c.cfg.Hardware.Types()}
	}
	return info, err
}
