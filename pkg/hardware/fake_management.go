package hardware

import (
	"context"
	"fmt"
	"slices"

	"github.com/conductor-metal/conductor/pkg/node"
)

// fakeManagement is a machine that is set up as it is told, and otherwise knows
// what Ironic's FakeManagement does: the boot device pxe and two indicators,
// which are on. Ironic's forgets what it is told, and knows neither boot modes
// nor secure boot, virtual media or the interrupt.
type fakeManagement struct{ *fake }

func (m fakeManagement) Validate(ctx context.Context, n *node.Node) error {
	return m.glance(ctx, n, InterfaceManagement, "Validate")
}

// set sends a command that changes how the machine is set up.
func (m fakeManagement) set(ctx context.Context, n *node.Node, method string, act func()) error {
	return m.do(ctx, n, fakeCall{Call: Call{Interface: InterfaceManagement, Method: method, Writes: true}, act: act})
}

func (m fakeManagement) SupportedBootDevices(ctx context.Context, n *node.Node) ([]string, error) {
	return []string{BootPXE}, m.glance(ctx, n, InterfaceManagement, "SupportedBootDevices")
}

func (m fakeManagement) BootDevice(ctx context.Context, n *node.Node) (BootDevice, error) {
	if err := m.read(ctx, n, InterfaceManagement, "BootDevice"); err != nil {
		return BootDevice{}, err
	}
	d := BootDevice{Device: BootPXE}
	if kept := fakeSetup(n).object("boot_device"); kept != nil {
		d.Device, _ = kept["device"].(string)
		d.Persistent, _ = kept["persistent"].(bool)
	}
	return d, nil
}

func (m fakeManagement) SetBootDevice(ctx context.Context, n *node.Node, d BootDevice) error {
	if err := oneOf(d, BootPXE); err != nil {
		return err
	}
	return m.set(ctx, n, "SetBootDevice", func() {
		keepSetup(n, "boot_device", setup{"device": d.Device, "persistent": d.Persistent})
	})
}

func (m fakeManagement) SupportedBootModes(ctx context.Context, n *node.Node) ([]string, error) {
	return []string{BootModeBIOS, BootModeUEFI}, m.glance(ctx, n, InterfaceManagement, "SupportedBootModes")
}

// BootMode takes the record for the machine: a node that never was set to a
// mode has none that is known.
func (m fakeManagement) BootMode(ctx context.Context, n *node.Node) (string, error) {
	err := m.read(ctx, n, InterfaceManagement, "BootMode")
	return n.BootMode, err
}

func (m fakeManagement) SetBootMode(ctx context.Context, n *node.Node, mode string) error {
	if mode != BootModeBIOS && mode != BootModeUEFI {
		return fmt.Errorf("%w: boot mode %q, supported: %s, %s", ErrInvalidParameter, mode, BootModeBIOS, BootModeUEFI)
	}
	return m.set(ctx, n, "SetBootMode", func() { n.BootMode = mode })
}

// SecureBoot takes the record for the machine, and unknown for off.
func (m fakeManagement) SecureBoot(ctx context.Context, n *node.Node) (bool, error) {
	err := m.read(ctx, n, InterfaceManagement, "SecureBoot")
	return n.SecureBoot != nil && *n.SecureBoot, err
}

func (m fakeManagement) SetSecureBoot(ctx context.Context, n *node.Node, on bool) error {
	return m.set(ctx, n, "SetSecureBoot", func() { n.SecureBoot = &on })
}

func (m fakeManagement) Sensors(ctx context.Context, n *node.Node) (map[string]any, error) {
	return map[string]any{}, m.read(ctx, n, InterfaceManagement, "Sensors")
}

func (m fakeManagement) SupportedIndicators(ctx context.Context, n *node.Node, component string) (map[string]map[string]Indicator, error) {
	if err := m.read(ctx, n, InterfaceManagement, "SupportedIndicators"); err != nil {
		return nil, err
	}
	return fakeIndicators(component), nil
}

func fakeIndicators(component string) map[string]map[string]Indicator {
	all := map[string]map[string]Indicator{
		"chassis": {"led-0": {ReadOnly: true, States: []IndicatorState{IndicatorOff, IndicatorOn}}},
		"system":  {"led": {States: []IndicatorState{IndicatorBlinking, IndicatorOff, IndicatorOn}}},
	}
	for c := range all {
		if component != "" && c != component {
			delete(all, c)
		}
	}
	return all
}

func fakeIndicator(component, name string) (Indicator, error) {
	i, ok := fakeIndicators("")[component][name]
	if !ok {
		return i, fmt.Errorf("%w: no indicator %q of component %q", ErrInvalidParameter, name, component)
	}
	return i, nil
}

func (m fakeManagement) Indicator(ctx context.Context, n *node.Node, component, name string) (IndicatorState, error) {
	if err := m.read(ctx, n, InterfaceManagement, "Indicator"); err != nil {
		return "", err
	}
	if _, err := fakeIndicator(component, name); err != nil {
		return "", err
	}
	if kept, ok := fakeSetup(n).object("indicators")[component+"/"+name].(string); ok {
		return IndicatorState(kept), nil
	}
	return IndicatorOn, nil
}

func (m fakeManagement) SetIndicator(ctx context.Context, n *node.Node, component, name string, to IndicatorState) error {
	i, err := fakeIndicator(component, name)
	switch {
	case err != nil:
		return err
	case i.ReadOnly:
		return fmt.Errorf("%w: indicator %q of component %q cannot be set", ErrInvalidParameter, name, component)
	case !slices.Contains(i.States, to):
		return fmt.Errorf("%w: indicator state %q, supported: %v", ErrInvalidParameter, to, i.States)
	}
	return m.set(ctx, n, "SetIndicator", func() {
		all := fakeSetup(n).object("indicators").clone()
		all[component+"/"+name] = string(to)
		keepSetup(n, "indicators", all)
	})
}

// InjectNMI reaches the machine and leaves the record alone.
func (m fakeManagement) InjectNMI(ctx context.Context, n *node.Node) error {
	return m.write(ctx, n, InterfaceManagement, "InjectNMI")
}
