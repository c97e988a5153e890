package hardware

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/node"
)

// BIOSSettingsKey is the key in driver_internal_info under which the fake bios
// keeps the settings, as an object of texts by name. Ironic has a table of its
// own for them.
const BIOSSettingsKey = "bios_settings"

// fakeBIOS keeps the settings it is told.
type fakeBIOS struct{ *fake }

func (b fakeBIOS) Validate(ctx context.Context, n *node.Node) error {
	return b.glance(ctx, n, InterfaceBIOS, "Validate")
}

// Apply replaces all settings. Ironic: FakeBIOS.apply_configuration, which
// deletes those that are not named.
func (b fakeBIOS) Apply(ctx context.Context, n *node.Node, settings map[string]string) (Outcome, error) {
	return outcome(n, InterfaceBIOS, "Apply", b.do(ctx, n, fakeCall{
		Call: Call{Interface: InterfaceBIOS, Method: "Apply", Writes: true},
		act:  func() { keepSettings(n, settings) },
	}))
}

func (b fakeBIOS) FactoryReset(ctx context.Context, n *node.Node) (Outcome, error) {
	return outcome(n, InterfaceBIOS, "FactoryReset", b.do(ctx, n, fakeCall{
		Call: Call{Interface: InterfaceBIOS, Method: "FactoryReset", Writes: true},
		act:  func() { keepSettings(n, nil) },
	}))
}

func (b fakeBIOS) Cache(ctx context.Context, n *node.Node) error {
	return b.write(ctx, n, InterfaceBIOS, "Cache")
}

func keepSettings(n *node.Node, settings map[string]string) {
	if len(settings) == 0 {
		delete(n.DriverInternalInfo, BIOSSettingsKey)
		return
	}
	kept := make(map[string]any, len(settings))
	for name, value := range settings {
		kept[name] = value
	}
	if n.DriverInternalInfo == nil {
		n.DriverInternalInfo = node.Object{}
	}
	n.DriverInternalInfo[BIOSSettingsKey] = kept
}

func (b fakeBIOS) offers() []offer {
	step := func(name string) Step {
		return Step{Interface: InterfaceBIOS, Name: name, Kind: CleanStep, Rerunnable: true}
	}
	apply := step("apply_configuration")
	apply.ArgsInfo = map[string]ArgInfo{
		"settings": {Description: "A list of objects, each with the name and the value of a setting.", Required: true},
	}
	return []offer{
		{
			Step: apply,
			check: func(args map[string]any) error {
				_, err := pairs(args["settings"])
				return err
			},
			act: func(n *node.Node, args map[string]any) {
				settings, _ := pairs(args["settings"])
				keepSettings(n, settings)
			},
		},
		{Step: step("factory_reset"), act: func(n *node.Node, _ map[string]any) { keepSettings(n, nil) }},
		{Step: step("cache_bios_settings")},
	}
}

func (b fakeBIOS) Steps(_ context.Context, _ *node.Node, kind StepKind) ([]Step, error) {
	return offered(b.offers(), kind), nil
}

func (b fakeBIOS) RunStep(ctx context.Context, n *node.Node, s Step) (Outcome, error) {
	return b.runOffer(ctx, n, b.offers(), s)
}

// fakeConsole takes no time.
type fakeConsole struct{ *fake }

func (c fakeConsole) Validate(ctx context.Context, n *node.Node) error {
	return c.glance(ctx, n, InterfaceConsole, "Validate")
}

func (c fakeConsole) Connection(ctx context.Context, n *node.Node) (map[string]string, error) {
	return map[string]string{}, c.glance(ctx, n, InterfaceConsole, "Connection")
}

func (c fakeConsole) Start(ctx context.Context, n *node.Node) error {
	return c.write(ctx, n, InterfaceConsole, "Start")
}

func (c fakeConsole) Stop(ctx context.Context, n *node.Node) error {
	return c.write(ctx, n, InterfaceConsole, "Stop")
}

type fakeRAID struct{ *fake }

func (r fakeRAID) Validate(ctx context.Context, n *node.Node) error {
	return r.glance(ctx, n, InterfaceRAID, "Validate")
}

func (r fakeRAID) ValidateConfig(ctx context.Context, n *node.Node, config map[string]any) error {
	if err := CheckRAIDConfig(config); err != nil {
		return err
	}
	return r.glance(ctx, n, InterfaceRAID, "ValidateConfig")
}

func (r fakeRAID) LogicalDiskProperties(ctx context.Context, n *node.Node) (map[string]string, error) {
	return logicalDisk(), r.glance(ctx, n, InterfaceRAID, "LogicalDiskProperties")
}

func (r fakeRAID) Create(ctx context.Context, n *node.Node, _, _ bool) (Outcome, error) {
	return outcome(n, InterfaceRAID, "Create", r.write(ctx, n, InterfaceRAID, "Create"))
}

func (r fakeRAID) Delete(ctx context.Context, n *node.Node) (Outcome, error) {
	return outcome(n, InterfaceRAID, "Delete", r.write(ctx, n, InterfaceRAID, "Delete"))
}

type fakeRescue struct{ *fake }

func (r fakeRescue) Validate(ctx context.Context, n *node.Node) error {
	return r.glance(ctx, n, InterfaceRescue, "Validate")
}

func (r fakeRescue) Rescue(ctx context.Context, n *node.Node) (Outcome, error) {
	return outcome(n, InterfaceRescue, "Rescue", r.write(ctx, n, InterfaceRescue, "Rescue"))
}

func (r fakeRescue) Unrescue(ctx context.Context, n *node.Node) (Outcome, error) {
	return outcome(n, InterfaceRescue, "Unrescue", r.write(ctx, n, InterfaceRescue, "Unrescue"))
}

func (r fakeRescue) CleanUp(ctx context.Context, n *node.Node) error {
	return r.glance(ctx, n, InterfaceRescue, "CleanUp")
}

type fakeStorage struct{ *fake }

func (s fakeStorage) Validate(ctx context.Context, n *node.Node) error {
	return s.glance(ctx, n, InterfaceStorage, "Validate")
}

func (s fakeStorage) ShouldWriteImage(ctx context.Context, n *node.Node) (bool, error) {
	return true, s.glance(ctx, n, InterfaceStorage, "ShouldWriteImage")
}

func (s fakeStorage) Attach(ctx context.Context, n *node.Node) error {
	return s.write(ctx, n, InterfaceStorage, "Attach")
}

func (s fakeStorage) Detach(ctx context.Context, n *node.Node) error {
	return s.write(ctx, n, InterfaceStorage, "Detach")
}
