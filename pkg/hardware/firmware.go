package hardware

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/node"
)

// FirmwareReader is the part of the firmware interface that only reads.
type FirmwareReader interface {
	// Validate checks that the record holds what the interface needs, without
	// commanding the machine. It returns an error for which errors.Is(err,
	// ErrInvalidParameter) holds if it does not.
	Validate(ctx context.Context, n *node.Node) error
}

// Firmware updates firmware. Ironic: FirmwareInterface.
type Firmware interface {
	FirmwareReader
	// Update installs the given firmware.
	Update(ctx context.Context, n *node.Node, updates []FirmwareUpdate) (Outcome, error)
	// Cache reads the versions from the machine into the node's record.
	Cache(ctx context.Context, n *node.Node) error
}

// FirmwareUpdate is one firmware to install.
type FirmwareUpdate struct {
	// Component names the part, such as bios or bmc.
	Component string `json:"component"`
	// URL is where the machine fetches the image.
	URL string `json:"url"`
}

// BoundFirmwareReader is a [FirmwareReader] bound to a node, behind a [Gate].
type BoundFirmwareReader struct{ r bound[FirmwareReader] }

// BoundFirmware is a [Firmware] bound to a node, behind a [Gate].
type BoundFirmware struct {
	BoundFirmwareReader
	w bound[Firmware]
}

// Validate is [FirmwareReader.Validate] on the node.
func (b BoundFirmwareReader) Validate(ctx context.Context) error {
	return check(ctx, b.r, "Validate", FirmwareReader.Validate)
}

// Update is [Firmware.Update] on the node.
func (b BoundFirmware) Update(ctx context.Context, updates []FirmwareUpdate) (Outcome, error) {
	return obtain(ctx, b.w, "Update", func(i Firmware, ctx context.Context, n *node.Node) (Outcome, error) {
		return i.Update(ctx, n, updates)
	})
}

// Cache is [Firmware.Cache] on the node.
func (b BoundFirmware) Cache(ctx context.Context) error {
	return act(ctx, b.w, "Cache", Firmware.Cache)
}

func bindFirmware(b binding, impl Firmware) BoundFirmware {
	return BoundFirmware{
		BoundFirmwareReader{bound[FirmwareReader]{b, InterfaceFirmware, impl}},
		bound[Firmware]{b, InterfaceFirmware, impl},
	}
}
