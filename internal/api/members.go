package api

import (
	"context"
	"maps"
	"net/http"
	"slices"

	"github.com/conductor-metal/conductor/internal/cluster"
)

// These paths are our own, beside Ironic's /v1/conductors.
func (a *api) memberRoutes() {
	a.handle("GET /v1/members", always, members)
	a.handle("PUT /v1/members/{host}/drain", always, drain)
	a.handle("DELETE /v1/members/{host}/drain", always, undrain)
}

func (c *call) drains() cluster.Drains {
	return cluster.Drains{Client: c.cfg.Locks.Client, Root: c.cfg.Locks.Root}
}

// memberView is a conductor as operators see it.
type memberView struct {
	Host     string         `json:"host"`
	State    string         `json:"state"` // active, draining, or away
	Since    any            `json:"since"`
	Group    string         `json:"conductor_group"`
	Drivers  []string       `json:"drivers"`
	API      string         `json:"api"`
	Version  string         `json:"version"`
	Session  string         `json:"session"`
	LeaseTTL string         `json:"lease_ttl"`
	Drain    *cluster.Order `json:"drain"` // the order, null if there is none
}

// members is GET /v1/members: who lives, and who has an order to drain.
func members(ctx context.Context, c *call) error {
	v, err := c.conductorsNow(ctx)
	if err != nil {
		return err
	}
	orders, err := c.drains().All(ctx)
	if err != nil {
		return err
	}
	views := []memberView{}
	for _, m := range v.Members {
		view := memberView{
			Host: m.Host, State: m.State, Since: stampOf(m.Since), Group: m.Group, Drivers: append([]string{}, m.Drivers...),
			API: m.API, Version: m.Version, Session: m.Session, LeaseTTL: m.TTL.String(),
		}
		if o, ok := orders[m.Host]; ok {
			view.Drain = &o
			delete(orders, m.Host)
		}
		views = append(views, view)
	}
	for _, host := range slices.Sorted(maps.Keys(orders)) {
		o := orders[host]
		views = append(views, memberView{Host: host, State: "away", Drivers: []string{}, Drain: &o})
	}
	return c.json(http.StatusOK, map[string]any{"members": views})
}

// drain is PUT /v1/members/{host}/drain. The order stands until it is taken back.
func drain(ctx context.Context, c *call) error {
	why, err := c.reason()
	if err != nil {
		return err
	}
	host := c.r.PathValue("host")
	v, err := c.conductorsNow(ctx)
	if err != nil {
		return err
	}
	if _, ok := v.Member(host); !ok {
		return refuse(errMissing, "Conductor %s could not be found.", cut(host, 255))
	}
	if err := c.drains().Put(ctx, cluster.Order{Host: host, By: c.who(), Why: cut(why, 1024)}); err != nil {
		return err
	}
	return c.empty()
}

// undrain is DELETE /v1/members/{host}/drain. That there is no order is no error.
func undrain(ctx context.Context, c *call) error {
	if err := c.drains().Take(ctx, c.r.PathValue("host")); err != nil {
		return err
	}
	return c.empty()
}
