package hardware

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/node"
)

// The implementations called no-*. They fail validation and everything a user
// can ask of them with an UnsupportedError that names the interface. Ironic:
// drivers/modules/noop.py.

type noBIOS struct{}

func (noBIOS) Validate(_ context.Context, n *node.Node) error { return lacks(n, InterfaceBIOS) }

func (noBIOS) Apply(_ context.Context, n *node.Node, _ map[string]string) (Outcome, error) {
	return Done, lacks(n, InterfaceBIOS)
}

func (noBIOS) FactoryReset(_ context.Context, n *node.Node) (Outcome, error) {
	return Done, lacks(n, InterfaceBIOS)
}

// Cache does nothing, as the conductor calls it without being asked.
func (noBIOS) Cache(context.Context, *node.Node) error { return nil }

type noConsole struct{}

func (noConsole) Validate(_ context.Context, n *node.Node) error { return lacks(n, InterfaceConsole) }

func (noConsole) Connection(_ context.Context, n *node.Node) (map[string]string, error) {
	return nil, lacks(n, InterfaceConsole)
}

func (noConsole) Start(_ context.Context, n *node.Node) error { return lacks(n, InterfaceConsole) }
func (noConsole) Stop(_ context.Context, n *node.Node) error  { return lacks(n, InterfaceConsole) }

type noFirmware struct{}

func (noFirmware) Validate(_ context.Context, n *node.Node) error { return lacks(n, InterfaceFirmware) }

func (noFirmware) Update(_ context.Context, n *node.Node, _ []FirmwareUpdate) (Outcome, error) {
	return Done, lacks(n, InterfaceFirmware)
}

// Cache does nothing, as the conductor calls it without being asked.
func (noFirmware) Cache(context.Context, *node.Node) error { return nil }

type noInspect struct{}

func (noInspect) Validate(_ context.Context, n *node.Node) error { return lacks(n, InterfaceInspect) }

func (noInspect) Inspect(_ context.Context, n *node.Node) (Outcome, error) {
	return Done, lacks(n, InterfaceInspect)
}

func (noInspect) Abort(_ context.Context, n *node.Node) error { return lacks(n, "abort") }

type noRAID struct{}

func (noRAID) Validate(_ context.Context, n *node.Node) error { return lacks(n, InterfaceRAID) }

func (noRAID) ValidateConfig(_ context.Context, n *node.Node, _ map[string]any) error {
	return lacks(n, InterfaceRAID)
}

// LogicalDiskProperties answers all the same. Ironic: RAIDInterface.
func (noRAID) LogicalDiskProperties(context.Context, *node.Node) (map[string]string, error) {
	return logicalDisk(), nil
}

func (noRAID) Create(_ context.Context, n *node.Node, _, _ bool) (Outcome, error) {
	return Done, lacks(n, InterfaceRAID)
}

func (noRAID) Delete(_ context.Context, n *node.Node) (Outcome, error) {
	return Done, lacks(n, InterfaceRAID)
}

type noRescue struct{}

func (noRescue) Validate(_ context.Context, n *node.Node) error { return lacks(n, InterfaceRescue) }

func (noRescue) Rescue(_ context.Context, n *node.Node) (Outcome, error) {
	return Done, lacks(n, InterfaceRescue)
}

func (noRescue) Unrescue(_ context.Context, n *node.Node) (Outcome, error) {
	return Done, lacks(n, InterfaceRescue)
}

// CleanUp does nothing. Ironic: RescueInterface.clean_up.
func (noRescue) CleanUp(context.Context, *node.Node) error { return nil }

type noVendor struct{}

func (noVendor) Validate(_ context.Context, n *node.Node, _ VendorCall) error {
	return lacks(n, InterfaceVendor)
}

func (noVendor) Methods(context.Context, *node.Node) ([]VendorMethod, error) { return nil, nil }

func (noVendor) Query(_ context.Context, n *node.Node, _ VendorCall) (any, error) {
	return nil, lacks(n, InterfaceVendor)
}

func (noVendor) Call(_ context.Context, n *node.Node, _ VendorCall) (any, error) {
	return nil, lacks(n, InterfaceVendor)
}
