package provision

import (
	"context"
	"errors"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

const rescuePassword = "rescue_password"

// rescue boots the rescue ramdisk. Ironic: ConductorManager._do_node_rescue.
func (p *Provisioner) rescue(ctx context.Context, x *task.Exclusive) (way, error) {
	outcome, err := x.Driver().Rescue.Rescue(ctx)
	switch {
	case err != nil:
		return way{}, err
	case outcome == hardware.Waiting:
		return p.flows.rescue.wait("the rescue")
	}
	return rescued(ctx, x)
}

// rescued comes when the ramdisk runs. It has the password by then.
func rescued(_ context.Context, x *task.Exclusive) (way, error) {
	delete(x.Node().InstanceInfo, rescuePassword)
	return way{event: node.EventDone}, nil
}

// prepareRescue checks what a rescue needs, and stores the password for the ramdisk.
func (p *Provisioner) prepareRescue(ctx context.Context, x *task.Exclusive, r *Request) error {
	n, d := x.Node(), x.Driver()
	if err := validate(ctx, d.Power.Validate, d.Rescue.Validate, d.Network.Validate); err != nil {
		return &InstanceError{Node: n.UUID, Is: ErrRescueFailure, Reason: err}
	}
	if n.InstanceInfo == nil {
		n.InstanceInfo = node.Object{}
	}
	n.InstanceInfo[rescuePassword] = r.RescuePassword
	if n.ProvisionState == node.StateServiceFailed {
		p.complete(n, p.flows.service)
	}
	return nil
}

// unrescue boots the instance again. Ironic: ConductorManager._do_node_unrescue.
func (p *Provisioner) unrescue(ctx context.Context, x *task.Exclusive) (way, error) {
	outcome, err := x.Driver().Rescue.Unrescue(ctx)
	switch {
	case err != nil:
		return way{}, err
	case outcome == hardware.Waiting:
		return p.flows.unrescue.wait("the rescue interface")
	}
	return way{event: node.EventDone}, nil
}

func (p *Provisioner) prepareUnrescue(ctx context.Context, x *task.Exclusive, _ *Request) error {
	if err := x.Driver().Power.Validate(ctx); err != nil {
		return &InstanceError{Node: x.Node().UUID, Is: ErrUnrescueFailure, Reason: err}
	}
	return nil
}

func clearRescue(n *node.Node) {
	delete(n.InstanceInfo, rescuePassword)
	dropAgent(n)
}

func cleanUpRescue(ctx context.Context, x *task.Exclusive) error {
	return x.Driver().Rescue.CleanUp(ctx)
}

// abandonRescue gets out of a rescue whose ramdisk never called: the machine is
// not left in it.
func (p *Provisioner) abandonRescue(ctx context.Context, x *task.Exclusive) error {
	var err error
	if !x.Node().DisablePowerOff {
		err = p.powerTo(ctx, x, node.PowerOff, p.powerTimeout(node.PowerOff))
	}
	return errors.Join(err, cleanUpRescue(ctx, x))
}
