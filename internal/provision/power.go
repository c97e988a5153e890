package provision

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// acceptTime bounds the write that accepts a request. From there on it no longer
// matters whether the caller is still there.
const acceptTime = 10 * time.Second

// SetPower asks for a power state. It returns nil when the request is accepted:
// the target is stored and a worker has the lock. It waits for the lock as
// task.Request.Wait says. The command to the machine takes at most timeout; 0
// means the configured default.
//
// Errors: those of task.Manager.Exclusive; a *StateError while the node is being
// cleaned; a *PowerError if the node must not be switched off; an error for which
// errors.Is(err, hardware.ErrInvalidParameter) holds if the target is no power
// state or not one that the driver supports, or if the node's record lacks what
// the driver needs. After an error nothing has changed, except that a write whose
// answer was lost may have stored the target.
//
// Ironic: ConductorManager.change_node_power_state and what the API checks
// before it.
func (p *Provisioner) SetPower(ctx context.Context, id node.ID, target node.PowerState, timeout time.Duration, wait time.Duration, user string) error {
	if !target.Valid() {
		return fmt.Errorf("%w: %q is not a power state that a node can be asked for", hardware.ErrInvalidParameter, target)
	}
	if timeout == 0 {
		timeout = p.powerTimeout(target)
	}
	// The purpose is the state aimed at, which is what others want to know.
	r := task.Request{Node: id, Purpose: string(target), Wait: wait, User: user}
	return p.cfg.Tasks.Exclusive(ctx, r, func(ctx context.Context, x *task.Exclusive) error {
		if err := p.checkPower(ctx, x, target); err != nil {
			return err
		}
		n := x.Node()
		n.TargetPowerState, n.LastError = reached(target), ""
		x.Tell(task.Notification{Type: task.PowerSet + task.Start, ToPower: reached(target)})
		x.OnSpawnError(func(ctx context.Context, err error) {
			n.TargetPowerState, n.LastError = "", err.Error()
			x.Tell(task.Notification{Type: task.PowerSet + task.Failure, ToPower: reached(target)})
			x.SaveAtEnd()
		})
		x.SpawnAfter(string(target), func(ctx context.Context, x *task.Exclusive) error {
			return p.power(ctx, x, target, timeout)
		})
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), acceptTime)
		defer cancel()
		return x.Save(ctx)
	})
}

// checkPower refuses what can be known to fail.
func (p *Provisioner) checkPower(ctx context.Context, x *task.Exclusive, target node.PowerState) error {
	n := x.Node()
	if n.ProvisionState == node.StateCleaning || n.ProvisionState == node.StateCleanWait {
		return &StateError{Node: n.UUID, Action: string(target), State: n.ProvisionState}
	}
	if err := mayPowerOff(n, target); err != nil {
		return err
	}
	power := x.Driver().Power
	if err := power.Validate(ctx); err != nil {
		return err
	}
	states, err := power.Supported(ctx)
	if err != nil {
		return err
	}
	if !slices.Contains(states, target) {
		return fmt.Errorf("%w: the driver %s does not support the power state %q; it supports %q", hardware.ErrInvalidParameter, n.Driver, target, states)
	}
	return nil
}

func mayPowerOff(n *node.Node, target node.PowerState) error {
	if n.DisablePowerOff && (target == node.PowerOff || target == node.PowerSoftOff) {
		return &PowerError{Target: target, Reason: fmt.Sprintf("power off is disabled for node %s", n.UUID)}
	}
	return nil
}

// reached is the state that the machine is in after the action.
func reached(target node.PowerState) node.PowerState {
	if target == node.PowerOff || target == node.PowerSoftOff {
		return node.PowerOff
	}
	return node.PowerOn
}

// power is the work behind SetPower. Its last write goes with the release of
// the lock. Ironic: conductor/utils.py, node_power_action.
func (p *Provisioner) power(ctx context.Context, x *task.Exclusive, target node.PowerState, timeout time.Duration) error {
	n := x.Node()
	err := p.powerTo(ctx, x, target, timeout)
	n.TargetPowerState = ""
	x.SaveAtEnd() // not made if the lock is lost: the node is another's to describe by then
	if err != nil {
		n.LastError = fmt.Sprintf("Failed to change power state to '%s' by '%s'. Error: %v", reached(target), target, err)
		return err
	}
	if dealtWith(n, x.Abandoned()) {
		x.Settle()
	}
	p.cfg.Logger.InfoContext(ctx, "power state set", "node", n.UUID, "target", target, "token", x.Token())
	return nil
}

// powerTimeout is how long an action may take that nobody set a time for.
func (p *Provisioner) powerTimeout(target node.PowerState) time.Duration {
	if target == node.PowerSoftOff || target == node.PowerSoftReboot {
		return p.cfg.SoftPowerTimeout
	}
	return p.cfg.PowerTimeout
}

// powerTo brings a power state about and tells how that went with the task's next write.
func (p *Provisioner) powerTo(ctx context.Context, x *task.Exclusive, target node.PowerState, timeout time.Duration) error {
	err := p.act(ctx, x, target, timeout)
	status := task.End
	if err == nil {
		x.Node().PowerState = reached(target)
	} else {
		status = task.Failure
	}
	x.Tell(task.Notification{Type: task.PowerSet + status, ToPower: reached(target)})
	return err
}

func (p *Provisioner) act(ctx context.Context, x *task.Exclusive, target node.PowerState, timeout time.Duration) error {
	n, d := x.Node(), x.Driver()
	if err := mayPowerOff(n, target); err != nil {
		return err
	}
	there, err := p.there(ctx, x, target)
	if err != nil || there {
		return err
	}
	prepare(n, target)
	active := n.ProvisionState == node.StateActive
	if active && reached(target) == node.PowerOn {
		if err := d.Storage.Attach(ctx); err != nil {
			return fmt.Errorf("attach volumes: %w", err)
		}
	}
	if err := command(ctx, d, target, timeout); err != nil {
		return err
	}
	if active && reached(target) == node.PowerOff {
		if err := d.Storage.Detach(ctx); err != nil {
			// The machine is off, which is what was asked for. Ironic: the same.
			p.cfg.Logger.WarnContext(ctx, "detach volumes", "node", n.UUID, "err", err)
		}
	}
	return nil
}

// there says whether nothing has to be done. Unknown and error are states of
// their own, never taken for on or off. After a holder that died in the middle
// the answer is no: its last command may still land, and ours, which the gate
// holds back until then, must be the last one.
func (p *Provisioner) there(ctx context.Context, x *task.Exclusive, target node.PowerState) (bool, error) {
	if target == node.PowerReboot || target == node.PowerSoftReboot {
		return false, nil
	}
	n := x.Node()
	state, err := x.Driver().Power.Get(ctx)
	if err != nil {
		return false, fmt.Errorf("read the power state: %w", err)
	}
	if state == node.PowerError {
		p.cfg.Logger.WarnContext(ctx, "the machine reports an error for its power state", "node", n.UUID)
	}
	if state != reached(target) || x.Abandoned() != nil {
		return false, nil
	}
	n.LastError = ""
	return true, nil
}

// prepare writes what belongs to the beginning of the action; it becomes visible
// with its end. Ironic: wipe_internal_info_on_power_off.
func prepare(n *node.Node, target node.PowerState) {
	if !node.Failure.Has(n.ProvisionState) {
		n.LastError = ""
	}
	keep(n, "last_power_state_change", time.Now().UTC().Format(time.RFC3339))
	if target != node.PowerOn {
		dropAgent(n)
	}
}

func command(ctx context.Context, d *hardware.Driver, target node.PowerState, timeout time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %s", timeout))
	defer cancel()
	if target == node.PowerReboot {
		return d.Power.Reboot(ctx)
	}
	return d.Power.Set(ctx, target)
}

// dealtWith says whether nothing is left of an abandoned section once a power
// state was set after it: the dead holder's last command is over, ours came
// after it, and the node is not in the middle of anything. One that is, for
// example deploying, has to be recovered, and whoever does that must be told.
func dealtWith(n *node.Node, left *lease.Intent) bool {
	return wasPower(left) || !node.Unstable.Has(n.ProvisionState)
}

// wasPower says whether an abandoned section, and all that it found abandoned
// itself, were power actions: these are dealt with by another one.
func wasPower(i *lease.Intent) bool {
	for ; i != nil; i = i.Left {
		if !node.PowerState(i.Purpose).Valid() {
			return false
		}
		if i.Left == nil {
			return true
		}
	}
	return false
}
