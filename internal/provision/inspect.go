package provision

import (
	"context"
	"errors"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// inspect finds out what the machine is made of. Ironic: inspect_hardware.
func (p *Provisioner) inspect(ctx context.Context, x *task.Exclusive) (way, error) {
	outcome, err := x.Driver().Inspect.Inspect(ctx)
	switch {
	case err != nil:
		return way{}, err
	case outcome == hardware.Waiting:
		return p.flows.inspect.wait("the inspection")
	}
	return way{event: node.EventDone}, nil
}

// done is the work of those who have nothing left to do.
func done(context.Context, *task.Exclusive) (way, error) { return way{event: node.EventDone}, nil }

// abandonInspection gets out of an inspection that did not come back.
func (p *Provisioner) abandonInspection(ctx context.Context, x *task.Exclusive) error {
	err := x.Driver().Inspect.Abort(ctx)
	if errors.Is(err, hardware.ErrUnsupported) {
		err = nil
	}
	return errors.Join(err, x.Driver().Network.Leave(ctx, hardware.InspectionNetwork))
}
