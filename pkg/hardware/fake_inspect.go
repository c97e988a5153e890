package hardware

import (
	"context"
	"maps"
	"strconv"

	"github.com/conductor-metal/conductor/pkg/node"
)

// InspectionKey is the key in driver_internal_info under which an inspection
// leaves what it found, as an object with the objects inventory and plugin_data.
// Ironic has a table of its own for them, with these two.
const InspectionKey = "inspection_data"

type fakeInspect struct{ *fake }

func (i fakeInspect) Validate(ctx context.Context, n *node.Node) error {
	return i.glance(ctx, n, InterfaceInspect, "Validate")
}

// Inspect finds the machine that the node's properties describe, and leaves
// these as they are.
func (i fakeInspect) Inspect(ctx context.Context, n *node.Node) (Outcome, error) {
	c := Call{Interface: InterfaceInspect, Method: "Inspect", Writes: true}
	return outcome(n, c.Interface, c.Method, i.do(ctx, n, fakeCall{Call: c, act: func() { keepInspection(n) }}))
}

// Abort is not supported unless an inspection waits. Ironic: InspectInterface.abort.
func (i fakeInspect) Abort(ctx context.Context, n *node.Node) error {
	if !waits(n, Call{Interface: InterfaceInspect, Method: "Inspect"}) {
		return lacks(n, "abort")
	}
	return i.write(ctx, n, InterfaceInspect, "Abort")
}

func keepInspection(n *node.Node) {
	arch := n.Properties.Text("cpu_arch")
	if arch == "" {
		arch = "x86_64"
	}
	cpus, memory, disk := property(n, "cpus", 8), property(n, "memory_mb", 16384), property(n, "local_gb", 100)
	inventory := map[string]any{
		"cpu":    map[string]any{"count": cpus, "architecture": arch, "model_name": "fake", "frequency": nil, "flags": []any{}},
		"memory": map[string]any{"physical_mb": memory, "total": memory << 20},
		"disks": []any{map[string]any{
			"name": "/dev/sda", "model": "fake", "size": disk << 30, "rotational": false, "serial": "fake-" + string(n.UUID),
		}},
		"interfaces":    []any{},
		"system_vendor": map[string]any{"manufacturer": "fake", "product_name": n.Driver, "serial_number": string(n.UUID)},
	}
	if n.BootMode != "" {
		inventory["boot"] = map[string]any{"current_boot_mode": n.BootMode}
	}
	info := maps.Clone(n.DriverInternalInfo)
	if info == nil {
		info = node.Object{}
	}
	info[InspectionKey] = map[string]any{
		"inventory":   inventory,
		"plugin_data": map[string]any{"cpu_arch": arch, "cpus": cpus, "memory_mb": memory, "local_gb": disk, "macs": []any{}},
	}
	n.DriverInternalInfo = info
}

// property is a number of the node's properties, or what a fake machine has.
func property(n *node.Node, key string, otherwise int) int {
	if v, err := strconv.Atoi(n.Properties.Text(key)); err == nil && v > 0 {
		return v
	}
	return otherwise
}
