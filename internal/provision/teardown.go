package provision

import (
	"context"
	"fmt"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// tearDown is the work behind deleting. Cleaning follows in the same worker and
// under the same lock. Ironic: ConductorManager._do_node_tear_down.
func (p *Provisioner) tearDown(ctx context.Context, x *task.Exclusive) (way, error) {
	n, d := x.Node(), x.Driver()
	switch node.ProvisionState(n.DriverInternalInfo.Text(infoUndeploying)) {
	case node.StateRescue, node.StateRescueWait, node.StateRescueFailed, node.StateUnrescueFailed:
		if err := d.Rescue.CleanUp(ctx); err != nil {
			return way{}, fmt.Errorf("clean up the rescue: %w", err)
		}
	}
	if n.ConsoleEnabled {
		if err := d.Console.Stop(ctx); err != nil {
			return way{}, fmt.Errorf("stop the console: %w", err)
		}
		n.ConsoleEnabled = false
	}
	if err := d.Deploy.CleanUp(ctx); err != nil {
		return way{}, err
	}
	outcome, err := d.Deploy.TearDown(ctx)
	if err == nil && outcome == hardware.Waiting {
		_, err = p.flows.remove.wait("the deploy interface")
	}
	if err != nil {
		return way{}, err
	}
	if err := ClearVIFs(ctx, x); err != nil {
		return way{}, err
	}
	p.forget(n, p.flows.remove)
	return way{event: node.EventClean, then: p.flows.clean}, nil
}

// prepareUndeploy checks what a tear-down needs, and notes where it begins.
func (p *Provisioner) prepareUndeploy(ctx context.Context, x *task.Exclusive, _ *Request) error {
	n := x.Node()
	if err := x.Driver().Power.Validate(ctx); err != nil {
		return &InstanceError{Node: n.UUID, Is: ErrDeployFailure, Reason: err}
	}
	keep(n, infoUndeploying, string(n.ProvisionState))
	for _, f := range []*flow{p.flows.deploy, p.flows.service} { // it may have waited in one of these
		p.complete(n, f)
	}
	return nil
}

// forgetInstance takes the instance out of the record, however its tear-down ended.
func forgetInstance(n *node.Node) {
	if n.DriverInternalInfo[infoLessee] == true {
		n.Lessee = ""
	}
	n.InstanceInfo, n.InstanceUUID, n.InstanceName, n.AllocationUUID = nil, "", "", ""
	drop(n, ofInstance...)
}
