package hardware_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
)

// A node's driver is composed, bound to the node and used behind a gate.
func Example() {
	registry, err := hardware.NewRegistry(hardware.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	n := &node.Node{UUID: "n1", Driver: hardware.FakeHardware}
	c, err := registry.Compose(n)
	if err != nil {
		fmt.Println(err)
		return
	}
	d := c.Driver(n, hardware.Open)
	if err := d.Power.Set(context.Background(), node.PowerOn); err != nil {
		fmt.Println(err)
		return
	}
	state, err := d.Power.Get(context.Background())
	fmt.Println(state, err)
	// Output: power on <nil>
}

// A gate sees every call before the machine does, and may refuse it.
func ExampleGate() {
	lost := errors.New("lock lost")
	trusted := true
	gate := func(ctx context.Context, c hardware.Call) (context.Context, func(error), error) {
		if !trusted {
			return nil, nil, lost
		}
		fmt.Println("passes:", c, "writes:", c.Writes)
		return ctx, func(err error) { fmt.Println("ended:", c, err) }, nil
	}
	registry, err := hardware.NewRegistry(hardware.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	n := &node.Node{UUID: "n1", Driver: hardware.FakeHardware}
	c, err := registry.Compose(n)
	if err != nil {
		fmt.Println(err)
		return
	}
	d := c.Driver(n, gate)
	fmt.Println(d.Power.Set(context.Background(), node.PowerOn))
	trusted = false
	fmt.Println(d.Power.Set(context.Background(), node.PowerOff))
	fmt.Println(n.PowerState)
	// Output:
	// passes: power.Set writes: true
	// ended: power.Set <nil>
	// <nil>
	// power.Set: lock lost
	// power on
}

// An error of composition says what would do.
func ExampleRegistry_Compose() {
	registry, err := hardware.NewRegistry(hardware.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = registry.Compose(&node.Node{Driver: hardware.FakeHardware, DeployInterface: "direct"})
	fmt.Println(err)
	// Output: deploy interface not found: "direct", valid: fake, noop
}

// Somebody who wants to see a conductor cope orders a fault.
func ExampleFaultError() {
	registry, err := hardware.NewRegistry(hardware.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	n := &node.Node{UUID: "n1", Driver: hardware.FakeHardware, DriverInfo: node.Object{
		hardware.FaultKey: []any{map[string]any{"mode": "fail", "on": "power.Set", "times": 1, "message": "no answer"}},
	}}
	c, err := registry.Compose(n)
	if err != nil {
		fmt.Println(err)
		return
	}
	d := c.Driver(n, hardware.Open)
	fmt.Println(d.Power.Set(context.Background(), node.PowerOn))
	fmt.Println(d.Power.Set(context.Background(), node.PowerOn))
	// Output:
	// power.Set: no answer
	// <nil>
}
