package hardware

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/node"
)

// BootReader is the part of the boot interface that only reads.
type BootReader interface {
	// Validate checks that the record holds what the interface needs, without
	// commanding the machine. It returns an error for which errors.Is(err,
	// ErrInvalidParameter) holds if it does not.
	Validate(ctx context.Context, n *node.Node) error
	// ValidateInspection checks what booting for inspection needs. Ironic:
	// validate_inspection.
	ValidateInspection(ctx context.Context, n *node.Node) error
	// ValidateRescue checks what booting a rescue ramdisk needs. Ironic:
	// validate_rescue.
	ValidateRescue(ctx context.Context, n *node.Node) error
	// Capabilities names the ways of booting that the implementation offers,
	// such as ipxe_boot.
	Capabilities(ctx context.Context, n *node.Node) ([]string, error)
}

// Boot prepares what a machine boots. Ironic: BootInterface.
type Boot interface {
	BootReader
	// PrepareRamdisk makes the machine boot the ramdisk at its next start, with
	// the given kernel parameters.
	PrepareRamdisk(ctx context.Context, n *node.Node, params map[string]string) error
	// CleanUpRamdisk undoes PrepareRamdisk. Doing it twice is no error.
	CleanUpRamdisk(ctx context.Context, n *node.Node) error
	// PrepareInstance makes the machine boot the instance.
	PrepareInstance(ctx context.Context, n *node.Node) error
	// CleanUpInstance undoes PrepareInstance. Doing it twice is no error.
	CleanUpInstance(ctx context.Context, n *node.Node) error
}

// BoundBootReader is a [BootReader] bound to a node, behind a [Gate].
type BoundBootReader struct{ r bound[BootReader] }

// BoundBoot is a [Boot] bound to a node, behind a [Gate].
type BoundBoot struct {
	BoundBootReader
	w bound[Boot]
}

// Validate is [BootReader.Validate] on the node.
func (b BoundBootReader) Validate(ctx context.Context) error {
	return check(ctx, b.r, "Validate", BootReader.Validate)
}

// ValidateInspection is [BootReader.ValidateInspection] on the node.
func (b BoundBootReader) ValidateInspection(ctx context.Context) error {
	return check(ctx, b.r, "ValidateInspection", BootReader.ValidateInspection)
}

// ValidateRescue is [BootReader.ValidateRescue] on the node.
func (b BoundBootReader) ValidateRescue(ctx context.Context) error {
	return check(ctx, b.r, "ValidateRescue", BootReader.ValidateRescue)
}

// Capabilities is [BootReader.Capabilities] on the node.
func (b BoundBootReader) Capabilities(ctx context.Context) ([]string, error) {
	return ask(ctx, b.r, "Capabilities", BootReader.Capabilities)
}

// PrepareRamdisk is [Boot.PrepareRamdisk] on the node.
func (b BoundBoot) PrepareRamdisk(ctx context.Context, params map[string]string) error {
	return act(ctx, b.w, "PrepareRamdisk", func(i Boot, ctx context.Context, n *node.Node) error {
		return i.PrepareRamdisk(ctx, n, params)
	})
}

// CleanUpRamdisk is [Boot.CleanUpRamdisk] on the node.
func (b BoundBoot) CleanUpRamdisk(ctx context.Context) error {
	return act(ctx, b.w, "CleanUpRamdisk", Boot.CleanUpRamdisk)
}

// PrepareInstance is [Boot.PrepareInstance] on the node.
func (b BoundBoot) PrepareInstance(ctx context.Context) error {
	return act(ctx, b.w, "PrepareInstance", Boot.PrepareInstance)
}

// CleanUpInstance is [Boot.CleanUpInstance] on the node.
func (b BoundBoot) CleanUpInstance(ctx context.Context) error {
	return act(ctx, b.w, "CleanUpInstance", Boot.CleanUpInstance)
}

func bindBoot(b binding, impl Boot) BoundBoot {
	return BoundBoot{
		BoundBootReader{bound[BootReader]{b, InterfaceBoot, impl}},
		bound[Boot]{b, InterfaceBoot, impl},
	}
}
