package provision

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// check looks for one reason why a verb is refused.
type check func(n *node.Node, v verb) error

func legal(n *node.Node, v verb) error {
	if v.legal(n.ProvisionState) {
		return nil
	}
	return &StateError{Node: n.UUID, Action: v.name, State: n.ProvisionState}
}

func noMaintenance(n *node.Node, v verb) error {
	if !n.Maintenance {
		return nil
	}
	return &NodeError{Node: n.UUID, Action: v.name, Is: ErrMaintenance, Reason: n.MaintenanceReason}
}

// mayProvision allows maintenance unless it is configured not to.
func (p *Provisioner) mayProvision(n *node.Node, v verb) error {
	if !p.cfg.RefuseInMaintenance {
		return nil
	}
	return noMaintenance(n, v)
}

func notProtected(n *node.Node, v verb) error {
	if !n.Protected {
		return nil
	}
	return &NodeError{Node: n.UUID, Action: v.name, Is: ErrProtected, Reason: n.ProtectedReason}
}

func notRetired(n *node.Node, v verb) error {
	if !n.Retired {
		return nil
	}
	return &NodeError{Node: n.UUID, Action: v.name, Is: ErrRetired, Reason: n.RetiredReason}
}

func prepareInspect(ctx context.Context, x *task.Exclusive, _ *Request) error {
	return validate(ctx, x.Driver().Power.Validate, x.Driver().Inspect.Validate)
}

// prepareSteps checks the steps that a user asks for, and stores them.
func (p *Provisioner) prepareSteps(f *flow) func(context.Context, *task.Exclusive, *Request) error {
	return func(ctx context.Context, x *task.Exclusive, r *Request) error {
		n, d := x.Node(), x.Driver()
		if err := validate(ctx, d.Power.Validate, d.Network.Validate); err != nil {
			return err
		}
		steps, err := chosen(ctx, x, f.kind, r.Steps)
		if err != nil {
			return err
		}
		if err := keepSteps(n, f.kind, steps); err != nil {
			return err
		}
		drop(n, f.noRamdisk)
		if r.DisableRamdisk {
			keep(n, f.noRamdisk, true)
		}
		return nil
	}
}
