package provision

import (
	"context"
	"errors"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

var errNoDeploySteps = errors.New("there are no deploy steps: neither the driver, nor templates, nor the request have any")

// deploy is the work behind deploying, of a rebuild too. Ironic:
// conductor/deployments.py, do_node_deploy.
func (p *Provisioner) deploy(ctx context.Context, x *task.Exclusive) (way, error) {
	if err := x.Driver().Deploy.Prepare(ctx); err != nil {
		return way{}, err
	}
	if p.cfg.Host != "" {
		x.Node().ConductorAffinity = p.cfg.Host
	}
	return p.firstDeployStep(ctx, x)
}

// firstDeployStep begins with the steps, of which there must be one.
func (p *Provisioner) firstDeployStep(ctx context.Context, x *task.Exclusive) (way, error) {
	steps, _, err := keptSteps(x.Node(), hardware.DeployStep)
	if err == nil && len(steps) == 0 {
		err = errNoDeploySteps
	}
	if err != nil {
		return way{}, err
	}
	return p.runSteps(ctx, x, p.flows.deploy, 0)
}

// deployed comes after the last step.
func (p *Provisioner) deployed(_ context.Context, x *task.Exclusive) (way, error) {
	p.forget(x.Node(), p.flows.deploy)
	return way{event: node.EventDone}, nil
}

func cleanUpDeploy(ctx context.Context, x *task.Exclusive) error {
	return x.Driver().Deploy.CleanUp(ctx)
}

// prepareDeploy checks what a deployment needs and stores what it is to do. A
// configdrive that is an object is stored as one: to make a drive of it is for
// the deploy interface.
func (p *Provisioner) prepareDeploy(ctx context.Context, x *task.Exclusive, r *Request) error {
	n, d := x.Node(), x.Driver()
	fail := func(err error) error {
		return &InstanceError{Node: n.UUID, Is: ErrDeployFailure, Reason: err, Cause: err}
	}
	if err := validate(ctx, d.Power.Validate, d.Deploy.Validate); err != nil {
		return fail(err)
	}
	steps, err := p.deploySteps(ctx, x, r.Steps)
	if err != nil {
		return fail(err)
	}
	if r.ConfigDrive != nil {
		if n.InstanceInfo == nil {
			n.InstanceInfo = node.Object{}
		}
		n.InstanceInfo["configdrive"] = r.ConfigDrive
	}
	return keepSteps(n, hardware.DeployStep, steps)
}
