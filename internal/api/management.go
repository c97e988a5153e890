package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// managementRoutes are what a machine can be asked by its management interface.
// Reading takes no lock. Ironic reads the boot device under the exclusive one.
func (a *api) managementRoutes() {
	a.asks("GET /v1/nodes/{node}/management/boot_device", 1, bootDevice)
	a.asks("GET /v1/nodes/{node}/management/boot_device/supported", 1, bootDevices)
	a.handle("PUT /v1/nodes/{node}/management/boot_device", 1, setBootDevice)
	a.handle("PUT /v1/nodes/{node}/management/inject_nmi", 29, injectNMI)
}

// asks adds a route that asks the machine something, which takes longer than to
// read a record, also if it is a GET.
func (a *api) asks(pattern string, since minor, do route) {
	a.add(pattern, since, func(ctx context.Context, c *call) error {
		limit := changeTimeout + c.wait
		ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%w after %s", context.DeadlineExceeded, limit))
		defer cancel()
		return do(ctx, c)
	})
}

// look runs fn with a consistent read of a node, with all that belongs to it, and
// with the part of its driver that only reads. It takes no lock.
func (c *call) look(ctx context.Context, purpose string, fn func(context.Context, *task.Snapshot) error) error {
	n, err := c.node(ctx)
	if err != nil {
		return err
	}
	r := task.Request{Node: n.UUID, Purpose: purpose, User: c.user()}
	return c.cfg.Tasks.Snapshot(ctx, r, fn)
}

// manage is look for what the management interface of a node knows.
func (c *call) manage(ctx context.Context, purpose string, fn func(context.Context, hardware.BoundManagementReader, *node.Node) error) error {
	return c.look(ctx, purpose, func(ctx context.Context, s *task.Snapshot) error {
		m := s.Driver().Management
		if err := m.Validate(ctx); err != nil {
			return provision.FromMachine(err)
		}
		return provision.FromMachine(fn(ctx, m, s.Node()))
	})
}

// command sends one command to a node's management interface under its lock, and
// answers 204.
func (c *call) command(ctx context.Context, purpose string, fn func(context.Context, hardware.BoundManagement) error) error {
	n, err := c.node(ctx)
	if err != nil {
		return err
	}
	r := task.Request{Node: n.UUID, Purpose: purpose, Wait: c.wait, User: c.user()}
	err = c.cfg.Provision.Command(ctx, r, func(ctx context.Context, x *task.Exclusive) error {
		m := x.Driver().Management
		if err := m.Validate(ctx); err != nil {
			return provision.FromMachine(err)
		}
		return provision.FromMachine(fn(ctx, m))
	})
	if err != nil {
		return err
	}
	return c.empty()
}

// bootDevice is GET /v1/nodes/{node}/management/boot_device.
func bootDevice(ctx context.Context, c *call) error {
	var d hardware.BootDevice
	err := c.manage(ctx, "get boot device", func(ctx context.Context, m hardware.BoundManagementReader, _ *node.Node) (err error) {
		d, err = m.BootDevice(ctx)
		return err
	})
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, map[string]any{"boot_device": shape("", d.Device), "persistent": d.Persistent})
}

// bootDevices is GET /v1/nodes/{node}/management/boot_device/supported.
func bootDevices(ctx context.Context, c *call) error {
	var all []string
	err := c.manage(ctx, "get supported boot devices", func(ctx context.Context, m hardware.BoundManagementReader, _ *node.Node) (err error) {
		all, err = m.SupportedBootDevices(ctx)
		return err
	})
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, map[string]any{"supported_boot_devices": shape("", all)})
}

// setBootDevice is PUT /v1/nodes/{node}/management/boot_device.
func setBootDevice(ctx context.Context, c *call) error {
	var in struct {
		Device     string `json:"boot_device"`
		Persistent any    `json:"persistent"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.Device == "" {
		return invalid("boot_device", "is required")
	}
	persistent, err := flagOf("persistent", in.Persistent, false)
	if err != nil {
		return err
	}
	return c.command(ctx, provision.PurposeBootDevice, func(ctx context.Context, m hardware.BoundManagement) error {
		return m.SetBootDevice(ctx, hardware.BootDevice{Device: in.Device, Persistent: persistent})
	})
}

// flagOf reads a switch of a body, which clients send as a boolean or as text.
func flagOf(field string, value any, otherwise bool) (bool, error) {
	switch v := value.(type) {
	case nil:
		return otherwise, nil
	case bool:
		return v, nil
	case string:
		return parseBool(field, v)
	}
	return false, invalid(field, "must be true or false")
}

// injectNMI is PUT /v1/nodes/{node}/management/inject_nmi. Clients send an empty
// object, or nothing.
func injectNMI(ctx context.Context, c *call) error {
	if _, err := c.object(); err != nil {
		return err
	}
	return c.command(ctx, provision.PurposeNMI, func(ctx context.Context, m hardware.BoundManagement) error {
		return m.InjectNMI(ctx)
	})
}
