package provision

import (
	"context"
	"fmt"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// abort gives up what waits, is held, or has failed to serve. A step that must
// not be given up is marked to be the last one instead, and nothing else changes.
//
// A deployment that is held is torn down like one that waits: the machine is
// freed, the node is deploy failed, and what it was to be deployed with stays in
// its record, so that it can be deployed again as well as removed. (Ironic tears
// everything down and then fires an event that deploy failed does not know.)
func (p *Provisioner) abort(ctx context.Context, x *task.Exclusive) error {
	n := x.Node()
	f := p.flows.of(n.ProvisionState)
	if f == nil { // service failed: what is left to do is to go back
		if n.Maintenance {
			return &node.InvalidStateError{
				State: n.ProvisionState, Event: node.EventAbort, Allowed: n.ProvisionState.Events(),
				Reason: "the node is in maintenance; end that first",
			}
		}
		x.SpawnAfter(p.flows.service.name, p.after(p.flows.service, p.leaveService))
		return nil
	}
	if s := running(n, f.kind); s != nil && s["abortable"] != true {
		markAbort(n, f.kind)
		return x.Save(ctx)
	}
	return p.aborted(ctx, x, f)
}

// aborted gives up a flow, whatever its step.
func (p *Provisioner) aborted(ctx context.Context, x *task.Exclusive, f *flow) error {
	n := x.Node()
	text := fmt.Sprintf("the %s was aborted by request", f.name)
	if s := running(n, f.kind); s != nil {
		text += fmt.Sprintf(" in step %s", stepName(hardware.Step{Interface: node.Object(s).Text("interface"), Name: node.Object(s).Text("step")}))
	}
	undo := f.undo
	switch n.ProvisionState {
	case node.StateInspectWait:
		if err := x.Driver().Inspect.Abort(ctx); err != nil {
			return err
		}
	case node.StateDeployHold:
		undo = tearDownDeploy
	case node.StateServiceWait, node.StateServiceHold:
		undo = p.leaveService
	}
	return p.giveUp(ctx, x, f, node.EventAbort, text, undo)
}

// tearDownDeploy takes off the machine what was deployed so far.
func tearDownDeploy(ctx context.Context, x *task.Exclusive) error {
	if err := cleanUpDeploy(ctx, x); err != nil {
		return err
	}
	_, err := x.Driver().Deploy.TearDown(ctx)
	return err
}

// leaveService brings a node whose service has failed or was aborted back to its
// instance.
func (p *Provisioner) leaveService(ctx context.Context, x *task.Exclusive) error {
	if err := tearDownService(ctx, x); err != nil {
		return err
	}
	p.complete(x.Node(), p.flows.service)
	return p.event(ctx, x, node.EventAbort, task.Transition{}, false)
}
