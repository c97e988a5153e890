package api

import (
	"maps"
	"slices"
	"strings"

	"github.com/conductor-metal/conductor/pkg/node"
)

// mayPatch holds the rules that ask only in which state a node is.
func mayPatch(n *node.Node, e edit, v minor) error {
	switch {
	case n.Maintenance && e.only("remove", "instance_uuid"):
		return nil
	case n.TargetProvisionState != "" && !node.UpdateAllowed.Has(n.ProvisionState):
		return refuse(node.ErrInvalidState, "Node %s can not be updated while a state transition is in progress. (%s, on the way to %s)",
			n.UUID, n.ProvisionState, n.TargetProvisionState)
	}
	return notInspecting(n, n, v)
}

// notInspecting keeps what an inspection writes from being changed meanwhile.
// Clients that do not know of the state "inspect wait" may.
func notInspecting(n *node.Node, r node.Record, v minor) error {
	if n.ProvisionState == node.StateInspecting && v >= 39 {
		return refuse(node.ErrInvalidState, "Cannot update %s \"%s\" while node %s is in state \"%s\".", r.Kind(), r.ID(), n.UUID, n.ProvisionState)
	}
	return nil
}

// follow changes what hangs on a field that was changed.
func follow(n *node.Node, changed map[string]bool) {
	if changed["maintenance"] && !n.Maintenance {
		n.MaintenanceReason, n.Fault = "", ""
	}
	if changed["protected"] && !n.Protected {
		n.ProtectedReason = ""
	}
	if changed["retired"] && !n.Retired {
		n.RetiredReason = ""
	}
	if name := n.InstanceInfo.Text("display_name"); changed["instance_info"] && n.InstanceName == "" {
		n.InstanceName = name
	}
}

// mayUpdate holds the rules on the fields of a node. Ironic:
// ConductorManager.update_node, _check_update_protected, _check_update_retired.
func mayUpdate(old, n *node.Node, changed map[string]bool, v minor) error {
	free := node.InterfaceUpdateAllowed.Has(old.ProvisionState)
	state := func(field, or string) error {
		return refuse(node.ErrInvalidState, "Node %s can not have %s updated unless it is in one of allowed (%s) states%s. Current state is '%s'.",
			n.UUID, field, stateList(node.InterfaceUpdateAllowed), or, old.ProvisionState)
	}
	switch {
	case changed["chassis_uuid"] && n.ChassisUUID == "" && v < 25:
		return tooNew("Removing the chassis of a node", 25, v)
	case changed["driver"] && old.ConsoleEnabled:
		return refuse(node.ErrInvalidState, "Node %s can not update the driver while the console is enabled. Please stop the console first.", n.UUID)
	case changed["instance_uuid"] && n.InstanceUUID != "" && old.InstanceUUID != "":
		return refuse(errAssociated, "Node %s is associated with instance %s.", n.UUID, old.InstanceUUID)
	case changed["instance_uuid"] && old.AllocationUUID != "" && !free && !old.Maintenance:
		return state("the instance_uuid of its allocation", " or in maintenance mode")
	case changed["resource_class"] && old.ResourceClass != "" && !free:
		return state("resource_class", "")
	}
	for _, name := range slices.Sorted(maps.Keys(changed)) {
		if strings.HasSuffix(name, "_interface") && !free && !n.Maintenance {
			return state(name, " or in maintenance mode")
		}
	}
	return mayMark(n, changed)
}

// mayMark holds the rules on the two marks that have a reason beside them.
func mayMark(n *node.Node, changed map[string]bool) error {
	switch {
	case changed["protected"] && n.Protected && n.ProvisionState != node.StateActive && n.ProvisionState != node.StateRescue:
		return refuse(node.ErrInvalidState, "Node %s can only be made protected in provision states 'active' or 'rescue', the current state is '%s'",
			n.UUID, n.ProvisionState)
	case changed["protected_reason"] && n.ProtectedReason != "" && !n.Protected:
		return refuse(node.ErrInvalid, "The protected_reason field can only be set when protected is True")
	case changed["retired"] && n.Retired && n.ProvisionState == node.StateAvailable:
		return refuse(node.ErrInvalidState, "Node %s can not have 'retired' set in provision state 'available'.", n.UUID)
	case changed["retired_reason"] && n.RetiredReason != "" && !n.Retired:
		return refuse(node.ErrInvalid, "The retired_reason field can only be set when retired is True")
	}
	return nil
}

// stateList writes a set of states as Ironic's texts do.
func stateList(s node.Set) string {
	var names []string
	for _, state := range s.States() {
		names = append(names, string(state))
	}
	return strings.Join(names, ", ")
}
