package node_test

import (
	"context"
	"fmt"

	"github.com/conductor-metal/conductor/pkg/node"
)

func ExampleMachine_Fire() {
	ctx := context.Background()
	m, err := node.NewMachine(node.StateManageable, "")
	if err != nil {
		fmt.Println(err)
		return
	}
	// A manual clean heads back for manageable, and says so with each event.
	for _, e := range []node.Event{node.EventClean, node.EventWait, node.EventResume} {
		if err := m.Fire(ctx, e, node.StateManageable); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s, target %s\n", m.State(), m.Target())
	}
	fmt.Println(m.Fire(ctx, node.EventDeploy, ""))
	// Output:
	// cleaning, target manageable
	// clean wait, target manageable
	// cleaning, target manageable
	// event "deploy" in provision state "cleaning" is not allowed; allowed events: done, fail, hold, manage, wait
}

func ExampleNode_Validate() {
	n := &node.Node{Name: "rack 1", Driver: "redfish", Properties: node.Object{"memory_mb": -1}}
	n.Normalize()
	fmt.Println(n.Validate())
	// Output:
	// uuid: is required; name: use only letters, digits and the characters - . _ ~; properties/memory_mb: must be a whole number, 0 or more
}

func ExampleNode_Masked() {
	n := &node.Node{DriverInfo: node.Object{"redfish_username": "admin", "redfish_password": "pw"}}
	fmt.Println(n.Masked().DriverInfo)
	// Output:
	// {"redfish_password":"******","redfish_username":"admin"}
}
