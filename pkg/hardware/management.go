package hardware

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/node"
)

// ManagementReader is the part of the management interface that only reads.
// What a machine has not got gives an [UnsupportedError].
type ManagementReader interface {
	// Validate checks that the record holds what the interface needs, without
	// commanding the machine. It returns an error for which errors.Is(err,
	// ErrInvalidParameter) holds if it does not.
	Validate(ctx context.Context, n *node.Node) error
	// SupportedBootDevices returns the devices SetBootDevice takes.
	SupportedBootDevices(ctx context.Context, n *node.Node) ([]string, error)
	// BootDevice returns the device the machine boots from.
	BootDevice(ctx context.Context, n *node.Node) (BootDevice, error)
	// SupportedBootModes returns the modes SetBootMode takes.
	SupportedBootModes(ctx context.Context, n *node.Node) ([]string, error)
	// BootMode returns bios or uefi.
	BootMode(ctx context.Context, n *node.Node) (string, error)
	// SecureBoot says whether secure boot is on.
	SecureBoot(ctx context.Context, n *node.Node) (bool, error)
	// Sensors returns the sensor readings by type.
	Sensors(ctx context.Context, n *node.Node) (map[string]any, error)
	// SupportedIndicators returns the indicators by component and name; an empty
	// component means all.
	SupportedIndicators(ctx context.Context, n *node.Node, component string) (map[string]map[string]Indicator, error)
	// Indicator returns the state of an indicator.
	Indicator(ctx context.Context, n *node.Node, component string, name string) (IndicatorState, error)
	// VirtualMedia returns the virtual devices and what is in them.
	VirtualMedia(ctx context.Context, n *node.Node) ([]VirtualMedia, error)
}

// Management changes how a machine starts and what it shows. Ironic:
// ManagementInterface.
type Management interface {
	ManagementReader
	// SetBootDevice sets the device for the next boot, or for all if it is
	// persistent.
	SetBootDevice(ctx context.Context, n *node.Node, d BootDevice) error
	// SetBootMode sets bios or uefi.
	SetBootMode(ctx context.Context, n *node.Node, mode string) error
	// SetSecureBoot switches secure boot.
	SetSecureBoot(ctx context.Context, n *node.Node, on bool) error
	// SetIndicator sets an indicator.
	SetIndicator(ctx context.Context, n *node.Node, component string, name string, to IndicatorState) error
	// InjectNMI raises a non-maskable interrupt.
	InjectNMI(ctx context.Context, n *node.Node) error
	// AttachVirtualMedia inserts an image into a virtual device, which is one of
	// MediaDevices. The machine fetches it from the url.
	AttachVirtualMedia(ctx context.Context, n *node.Node, device string, url string) error
	// DetachVirtualMedia ejects the images of the devices; none means all.
	DetachVirtualMedia(ctx context.Context, n *node.Node, devices []string) error
}

// BootDevice is a device to boot from. Ironic: pxe, disk, cdrom, bios, safe,
// wanboot, iscsiboot, floppy, uefihttp.
type BootDevice struct {
	Device     string `json:"boot_device"`
	Persistent bool   `json:"persistent"`
}

// The boot devices this package knows by name.
const (
	BootPXE    = "pxe"
	BootDisk   = "disk"
	BootCDROM  = "cdrom"
	BootFloppy = "floppy"
)

// The boot modes.
const (
	BootModeBIOS = "bios"
	BootModeUEFI = "uefi"
)

// MediaDevices returns the devices that virtual media can be attached to.
// Ironic: VMEDIA_DEVICES.
func MediaDevices() []string { return []string{BootDisk, BootCDROM, BootFloppy} }

// VirtualMedia is a virtual device of a machine. Its JSON names are those of
// Ironic's get_virtual_media.
type VirtualMedia struct {
	// Types are what the device can be, such as CD.
	Types    []string `json:"media_types"`
	Inserted bool     `json:"inserted"`
	// Image is the url of what is inserted.
	Image string `json:"image"`
}

// IndicatorState is the state of an indicator.
type IndicatorState string

// The states of an indicator.
const (
	IndicatorOn       IndicatorState = "ON"
	IndicatorOff      IndicatorState = "OFF"
	IndicatorBlinking IndicatorState = "BLINKING"
)

// Indicator describes an indicator, such as the led of a chassis.
type Indicator struct {
	ReadOnly bool             `json:"readonly"`
	States   []IndicatorState `json:"states"`
}

// BoundManagementReader is a [ManagementReader] bound to a node, behind a
// [Gate].
type BoundManagementReader struct{ r bound[ManagementReader] }

// BoundManagement is a [Management] bound to a node, behind a [Gate].
type BoundManagement struct {
	BoundManagementReader
	w bound[Management]
}

// Validate is [ManagementReader.Validate] on the node.
func (b BoundManagementReader) Validate(ctx context.Context) error {
	return check(ctx, b.r, "Validate", ManagementReader.Validate)
}

// SupportedBootDevices is [ManagementReader.SupportedBootDevices] on the node.
func (b BoundManagementReader) SupportedBootDevices(ctx context.Context) ([]string, error) {
	return ask(ctx, b.r, "SupportedBootDevices", ManagementReader.SupportedBootDevices)
}

// BootDevice is [ManagementReader.BootDevice] on the node.
func (b BoundManagementReader) BootDevice(ctx context.Context) (BootDevice, error) {
	return ask(ctx, b.r, "BootDevice", ManagementReader.BootDevice)
}

// SupportedBootModes is [ManagementReader.SupportedBootModes] on the node.
func (b BoundManagementReader) SupportedBootModes(ctx context.Context) ([]string, error) {
	return ask(ctx, b.r, "SupportedBootModes", ManagementReader.SupportedBootModes)
}

// BootMode is [ManagementReader.BootMode] on the node.
func (b BoundManagementReader) BootMode(ctx context.Context) (string, error) {
	return ask(ctx, b.r, "BootMode", ManagementReader.BootMode)
}

// SecureBoot is [ManagementReader.SecureBoot] on the node.
func (b BoundManagementReader) SecureBoot(ctx context.Context) (bool, error) {
	return ask(ctx, b.r, "SecureBoot", ManagementReader.SecureBoot)
}

// Sensors is [ManagementReader.Sensors] on the node.
func (b BoundManagementReader) Sensors(ctx context.Context) (map[string]any, error) {
	return ask(ctx, b.r, "Sensors", ManagementReader.Sensors)
}

// SupportedIndicators is [ManagementReader.SupportedIndicators] on the node.
func (b BoundManagementReader) SupportedIndicators(ctx context.Context, component string) (map[string]map[string]Indicator, error) {
	return ask(ctx, b.r, "SupportedIndicators", func(i ManagementReader, ctx context.Context, n *node.Node) (map[string]map[string]Indicator, error) {
		return i.SupportedIndicators(ctx, n, component)
	})
}

// Indicator is [ManagementReader.Indicator] on the node.
func (b BoundManagementReader) Indicator(ctx context.Context, component string, name string) (IndicatorState, error) {
	return ask(ctx, b.r, "Indicator", func(i ManagementReader, ctx context.Context, n *node.Node) (IndicatorState, error) {
		return i.Indicator(ctx, n, component, name)
	})
}

// VirtualMedia is [ManagementReader.VirtualMedia] on the node.
func (b BoundManagementReader) VirtualMedia(ctx context.Context) ([]VirtualMedia, error) {
	return ask(ctx, b.r, "VirtualMedia", ManagementReader.VirtualMedia)
}

// SetBootDevice is [Management.SetBootDevice] on the node.
func (b BoundManagement) SetBootDevice(ctx context.Context, d BootDevice) error {
	return act(ctx, b.w, "SetBootDevice", func(i Management, ctx context.Context, n *node.Node) error {
		return i.SetBootDevice(ctx, n, d)
	})
}

// SetBootMode is [Management.SetBootMode] on the node.
func (b BoundManagement) SetBootMode(ctx context.Context, mode string) error {
	return act(ctx, b.w, "SetBootMode", func(i Management, ctx context.Context, n *node.Node) error {
		return i.SetBootMode(ctx, n, mode)
	})
}

// SetSecureBoot is [Management.SetSecureBoot] on the node.
func (b BoundManagement) SetSecureBoot(ctx context.Context, on bool) error {
	return act(ctx, b.w, "SetSecureBoot", func(i Management, ctx context.Context, n *node.Node) error {
		return i.SetSecureBoot(ctx, n, on)
	})
}

// SetIndicator is [Management.SetIndicator] on the node.
func (b BoundManagement) SetIndicator(ctx context.Context, component string, name string, to IndicatorState) error {
	return act(ctx, b.w, "SetIndicator", func(i Management, ctx context.Context, n *node.Node) error {
		return i.SetIndicator(ctx, n, component, name, to)
	})
}

// InjectNMI is [Management.InjectNMI] on the node.
func (b BoundManagement) InjectNMI(ctx context.Context) error {
	return act(ctx, b.w, "InjectNMI", Management.InjectNMI)
}

// AttachVirtualMedia is [Management.AttachVirtualMedia] on the node.
func (b BoundManagement) AttachVirtualMedia(ctx context.Context, device string, url string) error {
	return act(ctx, b.w, "AttachVirtualMedia", func(i Management, ctx context.Context, n *node.Node) error {
		return i.AttachVirtualMedia(ctx, n, device, url)
	})
}

// DetachVirtualMedia is [Management.DetachVirtualMedia] on the node.
func (b BoundManagement) DetachVirtualMedia(ctx context.Context, devices []string) error {
	return act(ctx, b.w, "DetachVirtualMedia", func(i Management, ctx context.Context, n *node.Node) error {
		return i.DetachVirtualMedia(ctx, n, devices)
	})
}

func bindManagement(b binding, impl Management) BoundManagement {
	return BoundManagement{
		BoundManagementReader{bound[ManagementReader]{b, InterfaceManagement, impl}},
		bound[Management]{b, InterfaceManagement, impl},
	}
}
