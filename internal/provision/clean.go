package provision

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// manual says whether a cleaning was asked for by itself, with steps, and not as
// the way to available.
func manual(n *node.Node) bool { return n.TargetProvisionState == node.StateManageable }

// cleans says whether a node is cleaned before it is available.
func (p *Provisioner) cleans(n *node.Node) bool {
	if n.AutomatedClean != nil {
		return *n.AutomatedClean
	}
	return !p.cfg.NoAutomatedClean
}

// clean is the work behind cleaning. Ironic: conductor/cleaning.py, do_node_clean.
func (p *Provisioner) clean(ctx context.Context, x *task.Exclusive) (way, error) {
	n, d := x.Node(), x.Driver()
	if !manual(n) {
		p.complete(n, p.flows.clean) // what an earlier one left
		if !p.cleans(n) {
			return cleanEnd(n), nil
		}
	}
	if err := validate(ctx, d.Power.Validate, d.Network.Validate); err != nil {
		return way{}, err
	}
	if n.DriverInternalInfo[infoCleanNoRamdisk] != true {
		outcome, err := d.Deploy.PrepareCleaning(ctx)
		if err != nil {
			return way{}, err
		}
		if outcome == hardware.Waiting {
			return p.flows.clean.wait("the preparation")
		}
	}
	return p.cleanSteps(ctx, x)
}

// cleanSteps begins with the steps when the machine is ready for them.
func (p *Provisioner) cleanSteps(ctx context.Context, x *task.Exclusive) (way, error) {
	n := x.Node()
	if !manual(n) {
		steps, err := automatic(ctx, x, hardware.CleanStep)
		if err == nil {
			err = keepSteps(n, hardware.CleanStep, steps)
		}
		if err != nil {
			return way{}, err
		}
	}
	return p.runSteps(ctx, x, p.flows.clean, 0)
}

// cleaned comes after the last step.
func (p *Provisioner) cleaned(ctx context.Context, x *task.Exclusive) (way, error) {
	if err := tearDownCleaning(ctx, x); err != nil {
		return way{}, err
	}
	n := x.Node()
	out := cleanEnd(n)
	p.complete(n, p.flows.clean)
	return out, nil
}

// cleanEnd is the way out of cleaning. A node that was retired meanwhile must not
// be offered.
func cleanEnd(n *node.Node) way {
	if manual(n) || n.Retired {
		return way{event: node.EventManage}
	}
	return way{event: node.EventDone}
}

func clearCleaning(n *node.Node) {
	drop(n, "cleaning_reboot", "cleaning_polling", "skip_current_clean_step")
	dropAgent(n)
}

func tearDownCleaning(ctx context.Context, x *task.Exclusive) error {
	if x.Node().DriverInternalInfo[infoCleanNoRamdisk] == true {
		return nil
	}
	return x.Driver().Deploy.TearDownCleaning(ctx)
}

// validate asks several interfaces whether the record holds what they need.
func validate(ctx context.Context, asked ...func(context.Context) error) error {
	for _, ask := range asked {
		if err := ask(ctx); err != nil {
			return err
		}
	}
	return nil
}
