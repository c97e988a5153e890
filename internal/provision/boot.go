package provision

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// SetBootMode asks for a boot mode, bios or uefi, of a node as it was read. It
// returns nil when the request is accepted: a worker has the lock. The mode is
// in the node's boot_mode when the machine has it, and a failure in last_error.
//
// Errors: those of task.Manager.Exclusive; node.ErrInvalidState while the node
// is in an unstable state; hardware.ErrInvalidParameter if the machine does not
// know the mode; hardware.ErrUnsupported if it has none to choose.
//
// Ironic: ConductorManager.change_node_boot_mode and what the API checks before
// it. There a machine without boot modes is told by last_error only.
func (p *Provisioner) SetBootMode(ctx context.Context, n *node.Node, mode string, wait time.Duration, user string) error {
	r := task.Request{Node: n.UUID, Purpose: purposeBootMode, Wait: wait, User: user}
	return p.changeBoot(ctx, n, r, func(ctx context.Context, x *task.Exclusive) (job, error) {
		modes, err := x.Driver().Management.SupportedBootModes(ctx)
		if err != nil {
			return job{}, FromMachine(err)
		}
		if !slices.Contains(modes, mode) {
			return job{}, fmt.Errorf("%w: boot mode %q is not supported by node %s, which has %q", hardware.ErrInvalidParameter, mode, n.UUID, modes)
		}
		return change(p, "boot mode", mode, hardware.BoundManagement.BootMode, hardware.BoundManagement.SetBootMode,
			func(n *node.Node) { n.BootMode = mode }), nil
	})
}

// SetSecureBoot asks for secure boot to be on or off, as SetBootMode does for
// the mode; the state ends up in the node's secure_boot.
//
// Ironic: ConductorManager.change_node_secure_boot.
func (p *Provisioner) SetSecureBoot(ctx context.Context, n *node.Node, on bool, wait time.Duration, user string) error {
	r := task.Request{Node: n.UUID, Purpose: purposeSecureBoot, Wait: wait, User: user}
	return p.changeBoot(ctx, n, r, func(context.Context, *task.Exclusive) (job, error) {
		return change(p, "secure boot", on, hardware.BoundManagement.SecureBoot, hardware.BoundManagement.SetSecureBoot,
			func(n *node.Node) { n.SecureBoot = &on }), nil
	})
}

// changeBoot accepts a change of how a machine boots. The state is looked at
// twice, so that a client need not wait for the lock of a node that is busy.
func (p *Provisioner) changeBoot(ctx context.Context, n *node.Node, r task.Request, prepare func(context.Context, *task.Exclusive) (job, error)) error {
	if err := mayChangeBoot(n, r.Purpose); err != nil {
		return err
	}
	return p.cfg.Tasks.Exclusive(ctx, r, func(ctx context.Context, x *task.Exclusive) error {
		if err := mayChangeBoot(x.Node(), r.Purpose); err != nil {
			return err
		}
		if err := x.Driver().Management.Validate(ctx); err != nil {
			return FromMachine(err)
		}
		j, err := prepare(ctx, x)
		if err != nil {
			return err
		}
		return p.hand(ctx, x, j)
	})
}

func mayChangeBoot(n *node.Node, what string) error {
	if !node.Unstable.Has(n.ProvisionState) {
		return nil
	}
	return &node.InvalidStateError{
		State: n.ProvisionState, Reason: fmt.Sprintf("node %s is on its way to another state, which to %s may disturb; try again when it is there", n.UUID, what),
	}
}

// change is the work that brings one setting of a machine to a value. Ironic:
// node_change_boot_mode and node_change_secure_boot, which send no command to a
// machine that has the value.
func change[T comparable](p *Provisioner, what string, to T, get func(hardware.BoundManagement, context.Context) (T, error),
	set func(hardware.BoundManagement, context.Context, T) error, keep func(*node.Node),
) job {
	return job{
		name:   fmt.Sprintf("set %s to %v", what, to),
		failed: func(err error) string { return fmt.Sprintf("Failed to change %s to '%v': %v", what, to, err) },
		do: func(ctx context.Context, x *task.Exclusive) error {
			m := x.Driver().Management
			have, err := get(m, ctx)
			if err != nil {
				p.cfg.Logger.WarnContext(ctx, "read "+what, "node", x.Node().UUID, "err", err)
			}
			// After a holder that died in the middle, its last command may still
			// land; ours must be the last one.
			if err != nil || have != to || x.Abandoned() != nil {
				if err := set(m, ctx, to); err != nil {
					return err
				}
			}
			keep(x.Node())
			return nil
		},
	}
}
