package provision

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// service is the work behind servicing. Ironic: conductor/servicing.py, do_node_service.
func (p *Provisioner) service(ctx context.Context, x *task.Exclusive) (way, error) {
	if x.Node().DriverInternalInfo[infoServiceNoRamdisk] != true {
		outcome, err := x.Driver().Deploy.PrepareService(ctx)
		if err != nil {
			return way{}, err
		}
		if outcome == hardware.Waiting {
			return p.flows.service.wait("the preparation")
		}
	}
	return p.serviceSteps(ctx, x)
}

// serviceSteps begins with the steps when the machine is ready for them.
func (p *Provisioner) serviceSteps(ctx context.Context, x *task.Exclusive) (way, error) {
	return p.runSteps(ctx, x, p.flows.service, 0)
}

// serviced comes after the last step.
func (p *Provisioner) serviced(ctx context.Context, x *task.Exclusive) (way, error) {
	if err := tearDownService(ctx, x); err != nil {
		return way{}, err
	}
	p.complete(x.Node(), p.flows.service)
	return way{event: node.EventDone}, nil
}

func clearService(n *node.Node) {
	drop(n, "servicing_reboot", "servicing_polling", "skip_current_service_step")
	dropAgent(n)
}

func tearDownService(ctx context.Context, x *task.Exclusive) error {
	if x.Node().DriverInternalInfo[infoServiceNoRamdisk] == true {
		return nil
	}
	return x.Driver().Deploy.TearDownService(ctx)
}
