package hardwaretest_test

import (
	"context"
	"fmt"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/node"
)

// A holder that lost its lock comes late, and the machine tells.
func ExampleBMC_Overlaps() {
	var bmc hardwaretest.BMC
	registry := hardwaretest.Registry(&bmc)
	n := &node.Node{UUID: "n1", Driver: hardware.FakeHardware}
	c, err := registry.Compose(n)
	if err != nil {
		fmt.Println(err)
		return
	}
	d := c.Driver(n, hardware.Open)
	ctx := context.Background()
	old := hardware.WithActor(ctx, hardware.Actor{Conductor: "c1", Token: 41})
	young := hardware.WithActor(ctx, hardware.Actor{Conductor: "c2", Token: 42})

	for _, err := range []error{
		d.Power.Set(old, node.PowerOn),
		d.Power.Set(young, node.PowerOff),
		d.Power.Set(old, node.PowerOn),
	} {
		if err != nil {
			fmt.Println(err)
		}
	}
	for _, o := range bmc.Overlaps() {
		fmt.Printf("%s: %s token %d after %s token %d\n", o.Kind,
			o.Second.Actor.Conductor, o.Second.Actor.Token, o.First.Actor.Conductor, o.First.Actor.Token)
	}
	// Output: late: c1 token 41 after c2 token 42
}
