package hardware

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/node"
)

// The implementations called noop. They validate and succeed, and do nothing.

type noopDeploy struct{}

func (noopDeploy) Validate(context.Context, *node.Node) error                   { return nil }
func (noopDeploy) Prepare(context.Context, *node.Node) error                    { return nil }
func (noopDeploy) TearDown(context.Context, *node.Node) (Outcome, error)        { return Done, nil }
func (noopDeploy) CleanUp(context.Context, *node.Node) error                    { return nil }
func (noopDeploy) TakeOver(context.Context, *node.Node) error                   { return nil }
func (noopDeploy) PrepareCleaning(context.Context, *node.Node) (Outcome, error) { return Done, nil }
func (noopDeploy) TearDownCleaning(context.Context, *node.Node) error           { return nil }
func (noopDeploy) PrepareService(context.Context, *node.Node) (Outcome, error)  { return Done, nil }
func (noopDeploy) TearDownService(context.Context, *node.Node) error            { return nil }

// Heartbeat takes a call for the end of what the agent did.
func (noopDeploy) Heartbeat(context.Context, *node.Node, string, string) (Outcome, error) {
	return Done, nil
}

func (noopDeploy) Steps(_ context.Context, _ *node.Node, kind StepKind) ([]Step, error) {
	return offered([]offer{{Step: deployStep()}}, kind), nil
}

func (noopDeploy) RunStep(_ context.Context, _ *node.Node, s Step) (Outcome, error) {
	if want := deployStep(); s.Name != want.Name || s.Kind != want.Kind {
		return Done, unknownStep(s)
	}
	return Done, nil
}

// noopNetwork leaves the cabling as it is.
type noopNetwork struct{}

func (noopNetwork) Validate(context.Context, *node.Node) error              { return nil }
func (noopNetwork) VIFs(context.Context, *node.Node) ([]VIF, error)         { return nil, nil }
func (noopNetwork) Join(context.Context, *node.Node, NetworkPurpose) error  { return nil }
func (noopNetwork) Leave(context.Context, *node.Node, NetworkPurpose) error { return nil }
func (noopNetwork) AttachVIF(context.Context, *node.Node, VIF) error        { return nil }
func (noopNetwork) DetachVIF(context.Context, *node.Node, string) error     { return nil }

type noopStorage struct{}

func (noopStorage) Validate(context.Context, *node.Node) error                 { return nil }
func (noopStorage) ShouldWriteImage(context.Context, *node.Node) (bool, error) { return true, nil }
func (noopStorage) Attach(context.Context, *node.Node) error                   { return nil }
func (noopStorage) Detach(context.Context, *node.Node) error                   { return nil }
