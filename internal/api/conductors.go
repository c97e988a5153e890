package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/hardware"
)

// member is a live conductor, as its session's key tells. One that is not live
// has no key.
type member struct {
	Holder string    `json:"holder"`
	Since  time.Time `json:"since"`
	Info   struct {
		Group   string   `json:"conductor_group"`
		Drivers []string `json:"drivers"`
	} `json:"info"`
}

// members reads all live conductors in order of their names. What a value does
// not tell is left empty: the key alone says that somebody lives.
func (a *api) members(ctx context.Context) ([]member, error) {
	prefix := a.cfg.Locks.Root + "conductors/"
	r, err := a.cfg.Locks.Client.Get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	all := make([]member, 0, len(r.Kvs))
	for _, kv := range r.Kvs {
		all = append(all, memberOf(prefix, kv))
	}
	return all, nil
}

func memberOf(prefix string, kv *mvccpb.KeyValue) member {
	var m member
	_ = json.Unmarshal(kv.Value, &m) // written by hand, perhaps
	m.Holder = strings.TrimPrefix(string(kv.Key), prefix)
	return m
}

// has says whether a conductor serves a driver. One that does not say which it
// serves is taken to serve what this one does.
func (m member) has(driver string) bool {
	return len(m.Info.Drivers) == 0 || slices.Contains(m.Info.Drivers, driver)
}

func (c *call) conductorView(m member, detail bool) map[string]any {
	out := map[string]any{
		"hostname": m.Holder, "conductor_group": m.Info.Group, "alive": true, "links": c.links("conductors/" + m.Holder),
	}
	if detail {
		out["drivers"] = m.Info.Drivers
		if len(m.Info.Drivers) == 0 {
			out["drivers"] = c.cfg.Hardware.Types()
		}
		out["created_at"], out["updated_at"] = stampOf(m.Since), stampOf(m.Since)
	}
	return out
}

// conductors is GET /v1/conductors.
func conductors(ctx context.Context, c *call) error {
	detail := false
	if text := c.r.URL.Query().Get("detail"); text != "" {
		var err error
		if detail, err = parseBool("detail", text); err != nil {
			return err
		}
	}
	all, err := c.members(ctx)
	if err != nil {
		return err
	}
	out := []map[string]any{}
	for _, m := range all {
		out = append(out, c.conductorView(m, detail))
	}
	return c.json(http.StatusOK, map[string]any{"conductors": out})
}

// conductor is GET /v1/conductors/{host}.
func conductor(ctx context.Context, c *call) error {
	host := c.r.PathValue("host")
	all, err := c.members(ctx)
	if err != nil {
		return err
	}
	for _, m := range all {
		if m.Holder == host {
			return c.json(http.StatusOK, c.conductorView(m, true))
		}
	}
	return refuse(errMissing, "Conductor %s could not be found.", cut(host, 255))
}

func (c *call) driverView(t hardware.TypeInfo, hosts []string, detail bool) map[string]any {
	out := map[string]any{"name": t.Name, "hosts": hosts, "links": c.links("drivers/" + t.Name)}
	if c.v >= 14 {
		out["properties"] = c.links("drivers/" + t.Name + "/properties")
	}
	if c.v >= 30 {
		out["type"] = "dynamic"
	}
	if detail && c.v >= 30 {
		for _, i := range hardware.Interfaces() {
			if nodeColumns[i+"_interface"].since > c.v {
				continue
			}
			out["enabled_"+i+"_interfaces"] = append([]string{}, t.Enabled[i]...)
			out["default_"+i+"_interface"] = shape("", t.Default[i])
		}
	}
	return out
}

// drivers is GET /v1/drivers.
func drivers(ctx context.Context, c *call) error {
	q := c.r.URL.Query()
	detail := false
	if text := q.Get("detail"); text != "" {
		if c.v < 30 {
			return tooNew("The parameter detail", 30, c.v)
		}
		var err error
		if detail, err = parseBool("detail", text); err != nil {
			return err
		}
	}
	if t := q.Get("type"); t != "" && t != "dynamic" && t != "classic" {
		return invalid("type", "must be classic or dynamic")
	}
	all, err := c.members(ctx)
	if err != nil {
		return err
	}
	out := []map[string]any{}
	for _, name := range c.cfg.Hardware.Types() {
		info, err := c.cfg.Hardware.Describe(name)
		if err != nil || q.Get("type") == "classic" {
			continue
		}
		out = append(out, c.driverView(info, hostsOf(all, name), detail))
	}
	return c.json(http.StatusOK, map[string]any{"drivers": out})
}

func hostsOf(all []member, driver string) []string {
	hosts := []string{}
	for _, m := range all {
		if m.has(driver) {
			hosts = append(hosts, m.Holder)
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
	all, err := c.members(ctx)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, c.driverView(info, hostsOf(all, info.Name), true))
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
