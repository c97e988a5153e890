package hardware

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/node"
)

// DeployReader is the part of the deploy interface that only reads.
type DeployReader interface {
	// Validate checks that the record holds what the interface needs, without
	// commanding the machine. It returns an error for which errors.Is(err,
	// ErrInvalidParameter) holds if it does not.
	Validate(ctx context.Context, n *node.Node) error
}

// Deploy brings an instance onto a machine and takes it off again. The
// deployment itself is a [Step] of kind [DeployStep]. Ironic: DeployInterface.
type Deploy interface {
	DeployReader
	// Prepare prepares the environment before the deploy steps run.
	Prepare(ctx context.Context, n *node.Node) error
	// TearDown ends the deployment: the machine no longer runs the instance.
	TearDown(ctx context.Context, n *node.Node) (Outcome, error)
	// CleanUp removes what Prepare left on the conductor. It does not touch the
	// instance.
	CleanUp(ctx context.Context, n *node.Node) error
	// TakeOver makes this conductor serve a deployed node that another one
	// served before.
	TakeOver(ctx context.Context, n *node.Node) error
	// PrepareCleaning readies the machine for clean steps. When the outcome is
	// Waiting, the steps start when the machine calls.
	PrepareCleaning(ctx context.Context, n *node.Node) (Outcome, error)
	// TearDownCleaning undoes PrepareCleaning.
	TearDownCleaning(ctx context.Context, n *node.Node) error
	// PrepareService readies the machine for service steps, as PrepareCleaning
	// does for cleaning.
	PrepareService(ctx context.Context, n *node.Node) (Outcome, error)
	// TearDownService undoes PrepareService.
	TearDownService(ctx context.Context, n *node.Node) error
	// Heartbeat handles a call of the agent that runs on the machine and listens
	// at callback. When the outcome is Waiting, the agent is not finished with
	// what it was asked to do, and calls again.
	Heartbeat(ctx context.Context, n *node.Node, callback string, agentVersion string) (Outcome, error)
}

// BoundDeployReader is a [DeployReader] bound to a node, behind a [Gate].
type BoundDeployReader struct{ r bound[DeployReader] }

// BoundDeploy is a [Deploy] bound to a node, behind a [Gate].
type BoundDeploy struct {
	BoundDeployReader
	w bound[Deploy]
}

// Validate is [DeployReader.Validate] on the node.
func (b BoundDeployReader) Validate(ctx context.Context) error {
	return check(ctx, b.r, "Validate", DeployReader.Validate)
}

// Prepare is [Deploy.Prepare] on the node.
func (b BoundDeploy) Prepare(ctx context.Context) error {
	return act(ctx, b.w, "Prepare", Deploy.Prepare)
}

// TearDown is [Deploy.TearDown] on the node.
func (b BoundDeploy) TearDown(ctx context.Context) (Outcome, error) {
	return obtain(ctx, b.w, "TearDown", Deploy.TearDown)
}

// CleanUp is [Deploy.CleanUp] on the node.
func (b BoundDeploy) CleanUp(ctx context.Context) error {
	return act(ctx, b.w, "CleanUp", Deploy.CleanUp)
}

// TakeOver is [Deploy.TakeOver] on the node.
func (b BoundDeploy) TakeOver(ctx context.Context) error {
	return act(ctx, b.w, "TakeOver", Deploy.TakeOver)
}

// PrepareCleaning is [Deploy.PrepareCleaning] on the node.
func (b BoundDeploy) PrepareCleaning(ctx context.Context) (Outcome, error) {
	return obtain(ctx, b.w, "PrepareCleaning", Deploy.PrepareCleaning)
}

// TearDownCleaning is [Deploy.TearDownCleaning] on the node.
func (b BoundDeploy) TearDownCleaning(ctx context.Context) error {
	return act(ctx, b.w, "TearDownCleaning", Deploy.TearDownCleaning)
}

// PrepareService is [Deploy.PrepareService] on the node.
func (b BoundDeploy) PrepareService(ctx context.Context) (Outcome, error) {
	return obtain(ctx, b.w, "PrepareService", Deploy.PrepareService)
}

// TearDownService is [Deploy.TearDownService] on the node.
func (b BoundDeploy) TearDownService(ctx context.Context) error {
	return act(ctx, b.w, "TearDownService", Deploy.TearDownService)
}

// Heartbeat is [Deploy.Heartbeat] on the node.
func (b BoundDeploy) Heartbeat(ctx context.Context, callback string, agentVersion string) (Outcome, error) {
	return obtain(ctx, b.w, "Heartbeat", func(i Deploy, ctx context.Context, n *node.Node) (Outcome, error) {
		return i.Heartbeat(ctx, n, callback, agentVersion)
	})
}

func bindDeploy(b binding, impl Deploy) BoundDeploy {
	return BoundDeploy{
		BoundDeployReader{bound[DeployReader]{b, InterfaceDeploy, impl}},
		bound[Deploy]{b, InterfaceDeploy, impl},
	}
}
