package api

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/hardware"
)

// bootModeRoutes change how a machine boots, in the background; the result is in
// boot_mode and secure_boot of the node.
func (a *api) bootModeRoutes() {
	a.handle("PUT /v1/nodes/{node}/states/boot_mode", 76, setBootMode)
	a.handle("PUT /v1/nodes/{node}/states/secure_boot", 76, setSecureBoot)
}

func setBootMode(ctx context.Context, c *call) error {
	n, err := c.node(ctx)
	if err != nil {
		return err
	}
	var in struct {
		Target string `json:"target"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.Target != hardware.BootModeBIOS && in.Target != hardware.BootModeUEFI {
		return invalid("target", "Invalid boot mode %s requested for node. Allowed boot modes are: uefi, bios", cut(in.Target, 64))
	}
	if err := c.cfg.Provision.SetBootMode(ctx, n, in.Target, c.wait, c.user()); err != nil {
		return err
	}
	return c.accepted(c.url("nodes/" + string(n.UUID) + "/states"))
}

func setSecureBoot(ctx context.Context, c *call) error {
	n, err := c.node(ctx)
	if err != nil {
		return err
	}
	var in struct {
		Target any `json:"target"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.Target == nil {
		return invalid("target", "is required; use true or false")
	}
	on, err := flagOf("target", in.Target, false)
	if err != nil {
		return err
	}
	if err := c.cfg.Provision.SetSecureBoot(ctx, n, on, c.wait, c.user()); err != nil {
		return err
	}
	return c.accepted(c.url("nodes/" + string(n.UUID) + "/states"))
}
