package hardware

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/node"
)

// BIOSReader is the part of the bios interface that only reads.
type BIOSReader interface {
	// Validate checks that the record holds what the interface needs, without
	// commanding the machine. It returns an error for which errors.Is(err,
	// ErrInvalidParameter) holds if it does not.
	Validate(ctx context.Context, n *node.Node) error
}

// BIOS changes firmware settings. Ironic: BIOSInterface.
type BIOS interface {
	BIOSReader
	// Apply sets the settings.
	Apply(ctx context.Context, n *node.Node, settings map[string]string) (Outcome, error)
	// FactoryReset brings all settings back to what the maker chose.
	FactoryReset(ctx context.Context, n *node.Node) (Outcome, error)
	// Cache reads the settings from the machine into the node's record.
	Cache(ctx context.Context, n *node.Node) error
}

// BoundBIOSReader is a [BIOSReader] bound to a node, behind a [Gate].
type BoundBIOSReader struct{ r bound[BIOSReader] }

// BoundBIOS is a [BIOS] bound to a node, behind a [Gate].
type BoundBIOS struct {
	BoundBIOSReader
	w bound[BIOS]
}

// Validate is [BIOSReader.Validate] on the node.
func (b BoundBIOSReader) Validate(ctx context.Context) error {
	return check(ctx, b.r, "Validate", BIOSReader.Validate)
}

// Apply is [BIOS.Apply] on the node.
func (b BoundBIOS) Apply(ctx context.Context, settings map[string]string) (Outcome, error) {
	return obtain(ctx, b.w, "Apply", func(i BIOS, ctx context.Context, n *node.Node) (Outcome, error) {
		return i.Apply(ctx, n, settings)
	})
}

// FactoryReset is [BIOS.FactoryReset] on the node.
func (b BoundBIOS) FactoryReset(ctx context.Context) (Outcome, error) {
	return obtain(ctx, b.w, "FactoryReset", BIOS.FactoryReset)
}

// Cache is [BIOS.Cache] on the node.
func (b BoundBIOS) Cache(ctx context.Context) error {
	return act(ctx, b.w, "Cache", BIOS.Cache)
}

func bindBIOS(b binding, impl BIOS) BoundBIOS {
	return BoundBIOS{
		BoundBIOSReader{bound[BIOSReader]{b, InterfaceBIOS, impl}},
		bound[BIOS]{b, InterfaceBIOS, impl},
	}
}
