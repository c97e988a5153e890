package hardware

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/node"
)

// PowerReader is the part of the power interface that only reads.
type PowerReader interface {
	// Validate checks that the record holds what the interface needs, without
	// commanding the machine. It returns an error for which errors.Is(err,
	// ErrInvalidParameter) holds if it does not.
	Validate(ctx context.Context, n *node.Node) error
	// Get asks the machine for its power state. It returns the empty state if
	// the machine does not know, and node.PowerError if the machine says that it
	// cannot tell.
	Get(ctx context.Context, n *node.Node) (node.PowerState, error)
	// Supported returns the states that Set and Reboot can bring about.
	Supported(ctx context.Context, n *node.Node) ([]node.PowerState, error)
}

// Power switches a machine on and off. Ironic: PowerInterface.
type Power interface {
	PowerReader
	// Set brings the machine to a state and returns when it is there. Setting
	// the state the machine is in is no error. A state that is not supported
	// gives an error for which errors.Is(err, ErrInvalidParameter) holds. How
	// long to wait, also for a soft power off, is the context's to say.
	Set(ctx context.Context, n *node.Node, to node.PowerState) error
	// Reboot restarts the machine hard, and switches it on if it is off.
	Reboot(ctx context.Context, n *node.Node) error
}

// BoundPowerReader is a [PowerReader] bound to a node, behind a [Gate].
type BoundPowerReader struct{ r bound[PowerReader] }

// BoundPower is a [Power] bound to a node, behind a [Gate].
type BoundPower struct {
	BoundPowerReader
	w bound[Power]
}

// Validate is [PowerReader.Validate] on the node.
func (b BoundPowerReader) Validate(ctx context.Context) error {
	return check(ctx, b.r, "Validate", PowerReader.Validate)
}

// Get is [PowerReader.Get] on the node.
func (b BoundPowerReader) Get(ctx context.Context) (node.PowerState, error) {
	return ask(ctx, b.r, "Get", PowerReader.Get)
}

// Supported is [PowerReader.Supported] on the node.
func (b BoundPowerReader) Supported(ctx context.Context) ([]node.PowerState, error) {
	return ask(ctx, b.r, "Supported", PowerReader.Supported)
}

// Set is [Power.Set] on the node.
func (b BoundPower) Set(ctx context.Context, to node.PowerState) error {
	return act(ctx, b.w, "Set", func(i Power, ctx context.Context, n *node.Node) error {
		return i.Set(ctx, n, to)
	})
}

// Reboot is [Power.Reboot] on the node.
func (b BoundPower) Reboot(ctx context.Context) error {
	return act(ctx, b.w, "Reboot", Power.Reboot)
}

func bindPower(b binding, impl Power) BoundPower {
	return BoundPower{
		BoundPowerReader{bound[PowerReader]{b, InterfacePower, impl}},
		bound[Power]{b, InterfacePower, impl},
	}
}
