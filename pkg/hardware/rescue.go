package hardware

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/node"
)

// RescueReader is the part of the rescue interface that only reads.
type RescueReader interface {
	// Validate checks that the record holds what the interface needs, without
	// commanding the machine. It returns an error for which errors.Is(err,
	// ErrInvalidParameter) holds if it does not.
	Validate(ctx context.Context, n *node.Node) error
}

// Rescue brings a deployed machine into a rescue ramdisk and back. Ironic:
// RescueInterface.
type Rescue interface {
	RescueReader
	// Rescue boots the rescue ramdisk. Ironic: returns rescue or rescue wait.
	Rescue(ctx context.Context, n *node.Node) (Outcome, error)
	// Unrescue boots the instance again. Ironic: returns active.
	Unrescue(ctx context.Context, n *node.Node) (Outcome, error)
	// CleanUp removes what Rescue left behind. Doing it twice is no error.
	CleanUp(ctx context.Context, n *node.Node) error
}

// BoundRescueReader is a [RescueReader] bound to a node, behind a [Gate].
type BoundRescueReader struct{ r bound[RescueReader] }

// BoundRescue is a [Rescue] bound to a node, behind a [Gate].
type BoundRescue struct {
	BoundRescueReader
	w bound[Rescue]
}

// Validate is [RescueReader.Validate] on the node.
func (b BoundRescueReader) Validate(ctx context.Context) error {
	return check(ctx, b.r, "Validate", RescueReader.Validate)
}

// Rescue is [Rescue.Rescue] on the node.
func (b BoundRescue) Rescue(ctx context.Context) (Outcome, error) {
	return obtain(ctx, b.w, "Rescue", Rescue.Rescue)
}

// Unrescue is [Rescue.Unrescue] on the node.
func (b BoundRescue) Unrescue(ctx context.Context) (Outcome, error) {
	return obtain(ctx, b.w, "Unrescue", Rescue.Unrescue)
}

// CleanUp is [Rescue.CleanUp] on the node.
func (b BoundRescue) CleanUp(ctx context.Context) error {
	return act(ctx, b.w, "CleanUp", Rescue.CleanUp)
}

func bindRescue(b binding, impl Rescue) BoundRescue {
	return BoundRescue{
		BoundRescueReader{bound[RescueReader]{b, InterfaceRescue, impl}},
		bound[Rescue]{b, InterfaceRescue, impl},
	}
}
