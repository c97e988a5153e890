package hardware

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/node"
)

// RAIDReader is the part of the raid interface that only reads.
type RAIDReader interface {
	// Validate checks that the record holds what the interface needs, without
	// commanding the machine. It returns an error for which errors.Is(err,
	// ErrInvalidParameter) holds if it does not.
	Validate(ctx context.Context, n *node.Node) error
	// ValidateConfig checks a target configuration.
	ValidateConfig(ctx context.Context, n *node.Node, config map[string]any) error
	// LogicalDiskProperties names the properties a logical disk can have, with
	// one sentence each.
	LogicalDiskProperties(ctx context.Context, n *node.Node) (map[string]string, error)
}

// RAID arranges disks. Ironic: RAIDInterface.
type RAID interface {
	RAIDReader
	// Create builds the logical disks of the node's target configuration, the
	// root volume and the others as told.
	Create(ctx context.Context, n *node.Node, rootVolume bool, otherVolumes bool) (Outcome, error)
	// Delete removes all logical disks.
	Delete(ctx context.Context, n *node.Node) (Outcome, error)
}

// BoundRAIDReader is a [RAIDReader] bound to a node, behind a [Gate].
type BoundRAIDReader struct{ r bound[RAIDReader] }

// BoundRAID is a [RAID] bound to a node, behind a [Gate].
type BoundRAID struct {
	BoundRAIDReader
	w bound[RAID]
}

// Validate is [RAIDReader.Validate] on the node.
func (b BoundRAIDReader) Validate(ctx context.Context) error {
	return check(ctx, b.r, "Validate", RAIDReader.Validate)
}

// ValidateConfig is [RAIDReader.ValidateConfig] on the node.
func (b BoundRAIDReader) ValidateConfig(ctx context.Context, config map[string]any) error {
	return check(ctx, b.r, "ValidateConfig", func(i RAIDReader, ctx context.Context, n *node.Node) error {
		return i.ValidateConfig(ctx, n, config)
	})
}

// LogicalDiskProperties is [RAIDReader.LogicalDiskProperties] on the node.
func (b BoundRAIDReader) LogicalDiskProperties(ctx context.Context) (map[string]string, error) {
	return ask(ctx, b.r, "LogicalDiskProperties", RAIDReader.LogicalDiskProperties)
}

// Create is [RAID.Create] on the node.
func (b BoundRAID) Create(ctx context.Context, rootVolume bool, otherVolumes bool) (Outcome, error) {
	return obtain(ctx, b.w, "Create", func(i RAID, ctx context.Context, n *node.Node) (Outcome, error) {
		return i.Create(ctx, n, rootVolume, otherVolumes)
	})
}

// Delete is [RAID.Delete] on the node.
func (b BoundRAID) Delete(ctx context.Context) (Outcome, error) {
	return obtain(ctx, b.w, "Delete", RAID.Delete)
}

func bindRAID(b binding, impl RAID) BoundRAID {
	return BoundRAID{
		BoundRAIDReader{bound[RAIDReader]{b, InterfaceRAID, impl}},
		bound[RAID]{b, InterfaceRAID, impl},
	}
}
