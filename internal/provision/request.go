package provision

import (
	"time"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
)

// Verb is what a user asks of a node's provisioning.
//
// Ironic: the targets of PUT /v1/nodes/{node}/states/provision.
type Verb string

// The verbs, with Ironic's wire values.
const (
	Manage   Verb = "manage"
	Provide  Verb = "provide"
	Inspect  Verb = "inspect"
	Clean    Verb = "clean"
	Adopt    Verb = "adopt"
	Deploy   Verb = "active" // also "deploy"
	Rebuild  Verb = "rebuild"
	Undeploy Verb = "deleted" // also "undeploy"
	Rescue   Verb = "rescue"
	Unrescue Verb = "unrescue"
	Abort    Verb = "abort"
	Unhold   Verb = "unhold"
	Service  Verb = "service"
)

// Request asks for one verb on one node.
type Request struct {
	Node node.ID
	Verb Verb
	Wait time.Duration // for the lock, as task.Request.Wait
	User string
	// May is asked of the node under its lock, when its state allows the verb; its
	// error is the answer then. nil: nothing more is asked.
	May func(*node.Node) error

	// Steps are what the user wants run: in this order for Clean and Service;
	// for Deploy and Rebuild by priority, in place of the driver's own step of
	// the same interface and name, where priority 0 drops it.
	Steps          []hardware.Step
	DisableRamdisk bool
	// ConfigDrive is a string, or an object from which one is made; nil: none.
	ConfigDrive    any
	RescuePassword string
}
