package hardware

import (
	"context"
	"fmt"
	"slices"

	"github.com/conductor-metal/conductor/pkg/node"
)

const (
	// FakeHardware is the name of the hardware type that is always known. It
	// accepts every enabled implementation.
	FakeHardware = "fake-hardware"

	fakeName = "fake"
	noop     = "noop"
)

// FakeConfig configures the implementations called fake.
type FakeConfig struct {
	// Delays says how long each interface takes, in seconds: "a", or "a,b"
	// for a random time between a and b that is most often near a. Nothing
	// means no delay. Console and network have none. Ironic:
	// [fake]power_delay and so on.
	Delays map[string]string
	// Machines is what the fakes command. Nil means that there is no machine
	// besides the node's record, as with Ironic's fakes: the power state is
	// what the record says.
	Machines Machines
}

// Machines stands for the machines behind the fakes. The context carries the
// [Actor] if the gate put one there.
type Machines interface {
	// Power returns the power state of the machine c.Node.
	Power(ctx context.Context, c Call) (node.PowerState, error)
	// SetPower brings the machine c.Node to a state, or reboots it, and
	// returns when it is done.
	SetPower(ctx context.Context, c Call, to node.PowerState) error
	// Command carries out any other call.
	Command(ctx context.Context, c Call) error
}

// delayed lists the interfaces whose fakes can take time.
var delayed = []string{
	InterfaceBIOS, InterfaceBoot, InterfaceDeploy, InterfaceFirmware,
	InterfaceInspect, InterfaceManagement, InterfacePower, InterfaceRAID,
	InterfaceRescue, InterfaceStorage, InterfaceVendor,
}

// fake is what the fakes of one registry share.
type fake struct {
	delays   map[string]delay
	machines Machines
	faults   faults
}

func newFake(c FakeConfig) (*fake, error) {
	f := &fake{delays: map[string]delay{}, machines: c.Machines}
	for iface, text := range c.Delays {
		if !slices.Contains(delayed, iface) {
			return nil, fmt.Errorf("no delay for interface %q, only for: %s", iface, list(delayed))
		}
		d, err := parseDelay(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", iface, err)
		}
		f.delays[iface] = d
	}
	return f, nil
}

// fakeCall is one call of a fake.
type fakeCall struct {
	Call
	// quick calls take no time and do not reach the machine.
	quick bool
	// reach is what reaches the machine, if it is not just the call.
	reach func(context.Context, Machines, Call) error
	// act is what the call does to the record.
	act func()
	// flap turns the answer into its opposite; only power.Get has it.
	flap func()
}

// do is the one way through a fake: the fault that was ordered, the delay, the
// machine, the record, the late answer.
func (f *fake) do(ctx context.Context, n *node.Node, c fakeCall) error {
	c.Node = n.UUID
	met, err := f.faults.next(n, c.Call)
	if err != nil {
		return err
	}
	if _, err := readWaits(n.DriverInfo[WaitsKey]); err != nil {
		return err
	}
	switch met.Mode {
	case faultFail:
		return &FaultError{Call: c.String(), Message: met.Message}
	case faultHang:
		<-ctx.Done()
		return interrupted(c, context.Cause(ctx))
	}
	if err := f.reach(ctx, c); err != nil {
		return err
	}
	if c.act != nil {
		c.act()
	}
	if met.Mode == faultFlap && met.nth%2 == 1 {
		c.flap()
	}
	if met.Mode == faultLate {
		if err := sleep(ctx, met.after); err != nil {
			return interrupted(c, err)
		}
	}
	return nil
}

// reach lets the delay pass and sends the call to the machine.
func (f *fake) reach(ctx context.Context, c fakeCall) error {
	var d delay
	if !c.quick {
		d = f.delays[c.Interface]
	}
	if err := d.wait(ctx); err != nil {
		return interrupted(c, err)
	}
	switch {
	case f.machines == nil || c.quick:
		return nil
	case c.reach != nil:
		return c.reach(ctx, f.machines, c.Call)
	}
	return f.machines.Command(ctx, c.Call)
}

func interrupted(c fakeCall, cause error) error {
	return fmt.Errorf("fake %s interrupted: %w", c, cause)
}

// read does a call that only reads.
func (f *fake) read(ctx context.Context, n *node.Node, iface, method string) error {
	return f.do(ctx, n, fakeCall{Call: Call{Interface: iface, Method: method}})
}

// write does a call that writes.
func (f *fake) write(ctx context.Context, n *node.Node, iface, method string) error {
	return f.do(ctx, n, fakeCall{Call: Call{Interface: iface, Method: method, Writes: true}})
}

// glance does a call that takes no time and does not reach the machine.
func (f *fake) glance(ctx context.Context, n *node.Node, iface, method string) error {
	return f.do(ctx, n, fakeCall{Call: Call{Interface: iface, Method: method}, quick: true})
}
