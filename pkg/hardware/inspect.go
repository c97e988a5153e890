package hardware

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/node"
)

// InspectReader is the part of the inspect interface that only reads.
type InspectReader interface {
	// Validate checks that the record holds what the interface needs, without
	// commanding the machine. It returns an error for which errors.Is(err,
	// ErrInvalidParameter) holds if it does not.
	Validate(ctx context.Context, n *node.Node) error
}

// Inspect finds out what a machine is made of and writes it into the node's
// properties. Ironic: InspectInterface.
type Inspect interface {
	InspectReader
	// Inspect inspects the machine. Ironic: inspect_hardware, which returns
	// manageable or inspect wait.
	Inspect(ctx context.Context, n *node.Node) (Outcome, error)
	// Abort ends an inspection that is Waiting. An implementation that cannot
	// returns an UnsupportedError.
	Abort(ctx context.Context, n *node.Node) error
}

// BoundInspectReader is a [InspectReader] bound to a node, behind a [Gate].
type BoundInspectReader struct{ r bound[InspectReader] }

// BoundInspect is a [Inspect] bound to a node, behind a [Gate].
type BoundInspect struct {
	BoundInspectReader
	w bound[Inspect]
}

// Validate is [InspectReader.Validate] on the node.
func (b BoundInspectReader) Validate(ctx context.Context) error {
	return check(ctx, b.r, "Validate", InspectReader.Validate)
}

// Inspect is [Inspect.Inspect] on the node.
func (b BoundInspect) Inspect(ctx context.Context) (Outcome, error) {
	return obtain(ctx, b.w, "Inspect", Inspect.Inspect)
}

// Abort is [Inspect.Abort] on the node.
func (b BoundInspect) Abort(ctx context.Context) error {
	return act(ctx, b.w, "Abort", Inspect.Abort)
}

func bindInspect(b binding, impl Inspect) BoundInspect {
	return BoundInspect{
		BoundInspectReader{bound[InspectReader]{b, InterfaceInspect, impl}},
		bound[Inspect]{b, InterfaceInspect, impl},
	}
}
