package api

import (
	"context"
	"net/http"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/task"
)

func (a *api) consoleRoutes() {
	a.asks("GET /v1/nodes/{node}/states/console", 1, console)
	a.handle("PUT /v1/nodes/{node}/states/console", 1, setConsole)
}

// console is GET /v1/nodes/{node}/states/console: how to reach it, null if it is
// off.
func console(ctx context.Context, c *call) error {
	out := map[string]any{"console_enabled": false, "console_info": nil}
	err := c.look(ctx, "get console", func(ctx context.Context, s *task.Snapshot) error {
		if !s.Node().ConsoleEnabled {
			return nil
		}
		if err := s.Driver().Console.Validate(ctx); err != nil {
			return provision.FromMachine(err)
		}
		info, err := s.Driver().Console.Connection(ctx)
		if info == nil {
			info = map[string]string{}
		}
		out["console_enabled"], out["console_info"] = true, info
		return provision.FromMachine(err)
	})
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, out)
}

// setConsole is PUT /v1/nodes/{node}/states/console.
func setConsole(ctx context.Context, c *call) error {
	n, err := c.node(ctx)
	if err != nil {
		return err
	}
	var in struct {
		Enabled any `json:"enabled"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.Enabled == nil {
		return invalid("enabled", "is required; use true or false")
	}
	on, err := flagOf("enabled", in.Enabled, false)
	if err != nil {
		return err
	}
	if err := c.cfg.Provision.SetConsole(ctx, n.UUID, on, c.wait, c.user()); err != nil {
		return err
	}
	return c.accepted(c.url("nodes/" + string(n.UUID) + "/states/console"))
}
