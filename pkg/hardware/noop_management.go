package hardware

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/conductor-metal/conductor/pkg/node"
)

// plainManagement is a machine without the abilities that Ironic's
// ManagementInterface does not demand. It names them as Ironic does.
type plainManagement struct{}

func lacks(n *node.Node, what string) error {
	return &UnsupportedError{Driver: n.Driver, Extension: what}
}

func (plainManagement) SupportedBootModes(_ context.Context, n *node.Node) ([]string, error) {
	return nil, lacks(n, "get_supported_boot_modes")
}

func (plainManagement) BootMode(_ context.Context, n *node.Node) (string, error) {
	return "", lacks(n, "get_boot_mode")
}

func (plainManagement) SecureBoot(_ context.Context, n *node.Node) (bool, error) {
	return false, lacks(n, "get_secure_boot_state")
}

func (plainManagement) Sensors(_ context.Context, n *node.Node) (map[string]any, error) {
	return nil, lacks(n, "get_sensors_data")
}

func (plainManagement) SupportedIndicators(_ context.Context, n *node.Node, _ string) (map[string]map[string]Indicator, error) {
	return nil, lacks(n, "get_supported_indicators")
}

func (plainManagement) Indicator(_ context.Context, n *node.Node, _, _ string) (IndicatorState, error) {
	return "", lacks(n, "get_indicator_state")
}

func (plainManagement) VirtualMedia(_ context.Context, n *node.Node) ([]VirtualMedia, error) {
	return nil, lacks(n, "get_virtual_media")
}

func (plainManagement) SetBootMode(_ context.Context, n *node.Node, _ string) error {
	return lacks(n, "set_boot_mode")
}

func (plainManagement) SetSecureBoot(_ context.Context, n *node.Node, _ bool) error {
	return lacks(n, "set_secure_boot_state")
}

func (plainManagement) SetIndicator(_ context.Context, n *node.Node, _, _ string, _ IndicatorState) error {
	return lacks(n, "set_indicator_state")
}

func (plainManagement) InjectNMI(_ context.Context, n *node.Node) error {
	return lacks(n, "inject_nmi")
}

func (plainManagement) AttachVirtualMedia(_ context.Context, n *node.Node, _, _ string) error {
	return lacks(n, "attach_virtual_media")
}

func (plainManagement) DetachVirtualMedia(_ context.Context, n *node.Node, _ []string) error {
	return lacks(n, "detach_virtual_media")
}

// noopManagement leaves the boot order as it was set up by hand, first pxe,
// then the disk. Ironic: NoopManagement.
type noopManagement struct{ plainManagement }

func (noopManagement) Validate(context.Context, *node.Node) error { return nil }

func (noopManagement) SupportedBootDevices(context.Context, *node.Node) ([]string, error) {
	return []string{BootPXE, BootDisk}, nil
}

func (noopManagement) BootDevice(context.Context, *node.Node) (BootDevice, error) {
	return BootDevice{Device: BootPXE, Persistent: true}, nil
}

func (noopManagement) SetBootDevice(_ context.Context, _ *node.Node, d BootDevice) error {
	return oneOf(d, BootPXE, BootDisk)
}

func oneOf(d BootDevice, supported ...string) error {
	if !slices.Contains(supported, d.Device) {
		return fmt.Errorf("%w: boot device %q, supported: %s", ErrInvalidParameter, d.Device, strings.Join(supported, ", "))
	}
	return nil
}
