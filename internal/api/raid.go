package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/task"
)

func (a *api) raidRoutes() {
	a.handle("PUT /v1/nodes/{node}/states/raid", 12, setRAID)
	a.asks("GET /v1/drivers/{driver}/raid/logical_disk_properties", 12, logicalDiskProperties)
}

// setRAID is PUT /v1/nodes/{node}/states/raid. The body is the configuration; an
// empty one takes it back.
func setRAID(ctx context.Context, c *call) error {
	n, err := c.node(ctx)
	if err != nil {
		return err
	}
	config, err := c.object()
	if err != nil {
		return err
	}
	r := task.Request{Node: n.UUID, Purpose: provision.PurposeRAID, Wait: c.wait, User: c.user()}
	err = c.cfg.Provision.Command(ctx, r, func(ctx context.Context, x *task.Exclusive) error {
		if len(config) > 0 {
			if err := x.Driver().RAID.ValidateConfig(ctx, config); err != nil {
				return provision.FromMachine(err)
			}
		}
		x.Node().TargetRAIDConfig = config
		return nil
	})
	if err != nil {
		return noRAID(err)
	}
	return c.empty()
}

// noRAID makes a 404 of a driver without RAID. Ironic: the same, for all drivers
// have the interface.
func noRAID(err error) error {
	if errors.Is(err, hardware.ErrUnsupported) {
		return refuse(errMissing, "%v", err)
	}
	return err
}

// logicalDiskProperties is GET /v1/drivers/{driver}/raid/logical_disk_properties.
func logicalDiskProperties(ctx context.Context, c *call) error {
	info, err := c.describe()
	if err != nil {
		return err
	}
	all, err := c.cfg.Hardware.LogicalDiskProperties(ctx, info.Name)
	if err != nil {
		return noRAID(err)
	}
	return c.json(http.StatusOK, all)
}
