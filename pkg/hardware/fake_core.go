package hardware

import (
	"context"
	"fmt"
	"slices"

	"github.com/conductor-metal/conductor/pkg/node"
)

// fakePower takes the record for the machine, unless there are Machines.
type fakePower struct{ *fake }

func (p fakePower) Validate(ctx context.Context, n *node.Node) error {
	return p.glance(ctx, n, InterfacePower, "Validate")
}

// Properties tells what all fakes read.
func (p fakePower) Properties() map[string]string {
	return map[string]string{
		FaultKey: "Faults to meet, a list of objects with mode (fail, hang, flap or late), on, times, message and after.",
		WaitsKey: "Calls and steps to be left to the machine, a list of texts such as deploy.deploy or inspect.Inspect.",
	}
}

func (p fakePower) Get(ctx context.Context, n *node.Node) (node.PowerState, error) {
	state := n.PowerState
	err := p.do(ctx, n, fakeCall{
		Call: Call{Interface: InterfacePower, Method: "Get"},
		reach: func(ctx context.Context, m Machines, c Call) (err error) {
			state, err = m.Power(ctx, c)
			return err
		},
		flap: func() { state = opposite(state) },
	})
	if err != nil {
		return "", err
	}
	return state, nil
}

func opposite(s node.PowerState) node.PowerState {
	if s == node.PowerOn || s == node.PowerSoftReboot {
		return node.PowerOff
	}
	return node.PowerOn
}

// Set writes the state to the record as it is, soft ones too. Ironic:
// FakePower.set_power_state.
func (p fakePower) Set(ctx context.Context, n *node.Node, to node.PowerState) error {
	settable := []node.PowerState{node.PowerOn, node.PowerOff, node.PowerSoftReboot, node.PowerSoftOff}
	if !slices.Contains(settable, to) {
		return fmt.Errorf("%w: power state %q cannot be set", ErrInvalidParameter, to)
	}
	return p.do(ctx, n, fakeCall{
		Call:  Call{Interface: InterfacePower, Method: "Set", Writes: true},
		reach: func(ctx context.Context, m Machines, c Call) error { return m.SetPower(ctx, c, to) },
		act:   func() { n.PowerState = to },
	})
}

// Reboot leaves the record alone. Ironic: FakePower.reboot.
func (p fakePower) Reboot(ctx context.Context, n *node.Node) error {
	return p.do(ctx, n, fakeCall{
		Call:  Call{Interface: InterfacePower, Method: "Reboot", Writes: true},
		reach: func(ctx context.Context, m Machines, c Call) error { return m.SetPower(ctx, c, node.PowerReboot) },
	})
}

func (p fakePower) Supported(ctx context.Context, n *node.Node) ([]node.PowerState, error) {
	return []node.PowerState{
		node.PowerOn, node.PowerOff, node.PowerReboot, node.PowerSoftReboot, node.PowerSoftOff,
	}, p.glance(ctx, n, InterfacePower, "Supported")
}

type fakeBoot struct{ *fake }

func (b fakeBoot) Validate(ctx context.Context, n *node.Node) error {
	return b.glance(ctx, n, InterfaceBoot, "Validate")
}

func (b fakeBoot) ValidateInspection(ctx context.Context, n *node.Node) error {
	return b.glance(ctx, n, InterfaceBoot, "ValidateInspection")
}

func (b fakeBoot) ValidateRescue(ctx context.Context, n *node.Node) error {
	return b.glance(ctx, n, InterfaceBoot, "ValidateRescue")
}

func (b fakeBoot) Capabilities(ctx context.Context, n *node.Node) ([]string, error) {
	return []string{"ipxe_boot", "pxe_boot"}, b.glance(ctx, n, InterfaceBoot, "Capabilities")
}

func (b fakeBoot) PrepareRamdisk(ctx context.Context, n *node.Node, _ map[string]string) error {
	return b.write(ctx, n, InterfaceBoot, "PrepareRamdisk")
}

func (b fakeBoot) CleanUpRamdisk(ctx context.Context, n *node.Node) error {
	return b.write(ctx, n, InterfaceBoot, "CleanUpRamdisk")
}

func (b fakeBoot) PrepareInstance(ctx context.Context, n *node.Node) error {
	return b.write(ctx, n, InterfaceBoot, "PrepareInstance")
}

func (b fakeBoot) CleanUpInstance(ctx context.Context, n *node.Node) error {
	return b.write(ctx, n, InterfaceBoot, "CleanUpInstance")
}

// fakeDeploy does everything at once; nothing waits for an agent but what
// [WaitsKey] tells to.
type fakeDeploy struct{ *fake }

func (d fakeDeploy) Validate(ctx context.Context, n *node.Node) error {
	return d.glance(ctx, n, InterfaceDeploy, "Validate")
}

func (d fakeDeploy) Prepare(ctx context.Context, n *node.Node) error {
	return d.write(ctx, n, InterfaceDeploy, "Prepare")
}

func (d fakeDeploy) TearDown(ctx context.Context, n *node.Node) (Outcome, error) {
	return outcome(n, InterfaceDeploy, "TearDown", d.write(ctx, n, InterfaceDeploy, "TearDown"))
}

func (d fakeDeploy) CleanUp(ctx context.Context, n *node.Node) error {
	return d.write(ctx, n, InterfaceDeploy, "CleanUp")
}

func (d fakeDeploy) TakeOver(ctx context.Context, n *node.Node) error {
	return d.write(ctx, n, InterfaceDeploy, "TakeOver")
}

func (d fakeDeploy) PrepareCleaning(ctx context.Context, n *node.Node) (Outcome, error) {
	return outcome(n, InterfaceDeploy, "PrepareCleaning", d.glance(ctx, n, InterfaceDeploy, "PrepareCleaning"))
}

func (d fakeDeploy) TearDownCleaning(ctx context.Context, n *node.Node) error {
	return d.glance(ctx, n, InterfaceDeploy, "TearDownCleaning")
}

func (d fakeDeploy) PrepareService(ctx context.Context, n *node.Node) (Outcome, error) {
	return outcome(n, InterfaceDeploy, "PrepareService", d.glance(ctx, n, InterfaceDeploy, "PrepareService"))
}

func (d fakeDeploy) TearDownService(ctx context.Context, n *node.Node) error {
	return d.glance(ctx, n, InterfaceDeploy, "TearDownService")
}

// Heartbeat takes a call for the end of what the agent did, whom there is not.
// (Ironic's does nothing but log a warning, so that nothing that waits can go on.)
func (d fakeDeploy) Heartbeat(ctx context.Context, n *node.Node, _, _ string) (Outcome, error) {
	return outcome(n, InterfaceDeploy, "Heartbeat", d.glance(ctx, n, InterfaceDeploy, "Heartbeat"))
}

func (d fakeDeploy) offers() []offer { return []offer{{Step: deployStep()}} }

func (d fakeDeploy) Steps(_ context.Context, _ *node.Node, kind StepKind) ([]Step, error) {
	return offered(d.offers(), kind), nil
}

func (d fakeDeploy) RunStep(ctx context.Context, n *node.Node, s Step) (Outcome, error) {
	return d.runOffer(ctx, n, d.offers(), s)
}

func deployStep() Step {
	return Step{Interface: InterfaceDeploy, Name: "deploy", Priority: 100, Kind: DeployStep, Abortable: true, Rerunnable: true}
}
