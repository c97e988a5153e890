package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// states is GET /v1/nodes/{node}/states.
func states(s *resource[*node.Node]) route {
	return func(ctx context.Context, c *call) error {
		n, err := c.node(ctx)
		if err != nil {
			return err
		}
		var names []string
		for _, name := range stateColumns {
			if s.columns[name].since <= c.v {
				names = append(names, name)
			}
		}
		return c.json(http.StatusOK, s.render(&view{call: c}, n, names))
	}
}

// setPower is PUT /v1/nodes/{node}/states/power.
func setPower(ctx context.Context, c *call) error {
	n, err := c.node(ctx)
	if err != nil {
		return err
	}
	var in struct {
		Target  node.PowerState `json:"target"`
		Timeout *int64          `json:"timeout"` // seconds
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	soft := in.Target == node.PowerSoftOff || in.Target == node.PowerSoftReboot
	switch {
	case in.Target == "":
		return invalid("target", "is required")
	case !in.Target.Valid():
		return invalid("target", "%q is not a power state that a node can be asked for", cut(string(in.Target), 64))
	case (soft || in.Timeout != nil) && c.v < 27:
		return tooNew("A soft power state or a timeout", 27, c.v)
	}
	var timeout time.Duration
	if in.Timeout != nil {
		if *in.Timeout < 1 || *in.Timeout > int64(24*time.Hour/time.Second) {
			return invalid("timeout", "must be a number of seconds from 1 to a day")
		}
		timeout = time.Duration(*in.Timeout) * time.Second
	}
	if err := c.cfg.Provision.SetPower(ctx, n.UUID, in.Target, timeout, c.wait, c.user()); err != nil {
		return err
	}
	return c.accepted(c.url("nodes/" + string(n.UUID) + "/states"))
}

// validate is GET /v1/nodes/{node}/validate. It looks at a snapshot: a node that
// is locked can be validated.
func validate(ctx context.Context, c *call) error {
	n, err := c.node(ctx)
	if err != nil {
		return err
	}
	type verdict struct {
		Result bool   `json:"result"`
		Reason string `json:"reason,omitempty"`
	}
	out := map[string]verdict{}
	r := task.Request{Node: n.UUID, Purpose: "validate", User: c.user()}
	err = c.cfg.Tasks.Snapshot(ctx, r, func(ctx context.Context, s *task.Snapshot) error {
		ctx = hardware.WithActor(ctx, hardware.Actor{Conductor: c.cfg.Host})
		for _, v := range s.Driver().ValidateAll(ctx) {
			out[v.Interface] = verdict{v.OK, v.Reason}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, out)
}

// setMaintenance is PUT /v1/nodes/{node}/maintenance; the body may be empty.
func setMaintenance(ctx context.Context, c *call) error {
	why, err := c.reason()
	if err != nil {
		return err
	}
	return c.maintain(ctx, func(n *node.Node) { n.Maintenance, n.MaintenanceReason = true, why })
}

// reason reads a body that may give one, or be empty.
func (c *call) reason() (string, error) {
	data, err := c.body()
	if err != nil {
		return "", err
	}
	var in struct {
		Reason string `json:"reason"`
	}
	if text := strings.TrimSpace(string(data)); text != "" && text != "null" {
		err = node.DecodeInput(strings.NewReader(text), maxBody, &in)
	}
	return in.Reason, err
}

// clearMaintenance is DELETE /v1/nodes/{node}/maintenance.
func clearMaintenance(ctx context.Context, c *call) error {
	return c.maintain(ctx, func(n *node.Node) { n.Maintenance, n.MaintenanceReason, n.Fault = false, "", "" })
}

func (c *call) maintain(ctx context.Context, change func(*node.Node)) error {
	n, err := c.node(ctx)
	if err != nil {
		return err
	}
	err = c.edit(ctx, n.UUID, purposeMaintenance, func(_ context.Context, x task.Edit) error {
		change(x.Node())
		x.Tell(task.Notification{Type: task.MaintenanceSet + task.End})
		return nil
	})
	if err != nil {
		return err
	}
	return c.accepted("")
}
