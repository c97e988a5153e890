package task

import (
	"slices"
	"strings"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// The types of notifications; of some, a status follows.
const (
	ProvisionSet   = "baremetal.node.provision_set"                 // and a status: the state machine moved
	PowerSet       = "baremetal.node.power_set"                     // and Start, End or Failure
	PowerCorrected = "baremetal.node.power_state_corrected.success" // a power sync stored what it saw
	MaintenanceSet = "baremetal.node.maintenance_set"               // and End: maintenance was set or unset
	ConsoleSet     = "baremetal.node.console_set"                   // and Start, End or Failure
	LockBroken     = lease.EventTypeBroken                          // an operator ended a lock
	LockLost       = "conductor.lock.lost"                          // a task lost its lock
)

// The statuses of notifications.
const (
	Start   = ".start"
	End     = ".end"
	Success = ".success"
	Failure = ".error"
)

// What is done to records. There is no start, which would be stored at the same revision, and no
// error, for then nothing is stored at all.
const (
	Created = "create"
	Updated = "update"
	Deleted = "delete"
)

// TypeOf is the type of the notification that a record was created, updated or deleted:
// baremetal.volumeconnector.create.end.
func TypeOf(kind node.Kind, action string) string {
	return "baremetal." + strings.ReplaceAll(string(kind), " ", "") + "." + action + End
}

// Types are the types of all notifications that there can be, in order.
func Types() []string {
	all := []string{PowerCorrected, MaintenanceSet + End, LockBroken, LockLost}
	for _, status := range []string{Start, End, Success, Failure} {
		all = append(all, ProvisionSet+status)
		if status != Success {
			all = append(all, PowerSet+status, ConsoleSet+status)
		}
	}
	for _, kind := range []node.Kind{
		node.KindNode, node.KindPort, node.KindPortgroup, node.KindVolumeConnector, node.KindVolumeTarget,
		node.KindAllocation, node.KindDeployTemplate, node.KindRunbook, node.KindChassis,
	} {
		for _, action := range []string{Created, Updated, Deleted} {
			all = append(all, TypeOf(kind, action))
		}
	}
	slices.Sort(all)
	return all
}
