package provision

import (
	"context"
	"fmt"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// verify finds out whether a node that was enrolled can be managed. Ironic:
// conductor/verify.py, do_node_verify.
func (p *Provisioner) verify(ctx context.Context, x *task.Exclusive) (way, error) {
	if err := x.Driver().Power.Validate(ctx); err != nil {
		return way{}, err
	}
	if err := readPower(ctx, x); err != nil {
		return way{}, err
	}
	steps, err := automatic(ctx, x, hardware.VerifyStep)
	if err != nil {
		return way{}, err
	}
	if err := keepSteps(x.Node(), hardware.VerifyStep, steps); err != nil {
		return way{}, err
	}
	return p.runSteps(ctx, x, p.flows.verify, 0)
}

// verified looks at what a node that can be managed is made of. That is a
// favour: it does not matter if it fails.
func (p *Provisioner) verified(ctx context.Context, x *task.Exclusive) (way, error) {
	n, d := x.Node(), x.Driver()
	dropSteps(n, hardware.VerifyStep)
	favour := func(what string, err error) {
		if err != nil {
			p.cfg.Logger.DebugContext(ctx, "not read", "node", n.UUID, "what", what, "err", err)
		}
	}
	favour("bios", d.BIOS.Cache(ctx))
	favour("firmware", d.Firmware.Cache(ctx))
	mode, err := d.Management.BootMode(ctx)
	if favour("boot mode", err); err == nil {
		n.BootMode = mode
	}
	secure, err := d.Management.SecureBoot(ctx)
	if favour("secure boot", err); err == nil {
		n.SecureBoot = &secure
	}
	return way{event: node.EventDone}, nil
}

// readPower takes what the machine says of its power into the record.
func readPower(ctx context.Context, x *task.Exclusive) error {
	n := x.Node()
	state, err := x.Driver().Power.Get(ctx)
	if err != nil {
		return fmt.Errorf("read the power state: %w", err)
	}
	if state != n.PowerState {
		x.Tell(task.Notification{Type: task.PowerCorrected, FromPower: n.PowerState})
		n.PowerState = state
	}
	return nil
}
