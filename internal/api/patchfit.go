package api

import (
	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/node"
)

// connectivity are the fields that say how a port is connected.
var connectivity = []string{"local_link_connection", "physical_network", "portgroup_uuid", "pxe_enabled"}

// mayAmend holds the rules for changes of what belongs to a node. When a record
// goes to another node, they hold for both.
//
// Ironic: update_port, update_portgroup, update_volume_connector and
// update_volume_target of ConductorManager, and what the API checks before.
func mayAmend(rs *node.Records, old, r node.Record, changed map[string]bool, v minor) error {
	n := rs.Node
	switch r := r.(type) {
	case *node.Port:
		if err := notInspecting(n, r, v); err != nil {
			return err
		}
		return mayConnect(rs, old.(*node.Port), r, changed)
	case *node.Portgroup:
		if err := notInspecting(n, r, v); err != nil {
			return err
		}
		if changed["node_uuid"] && !node.ConnectivityUpdateAllowed.Has(n.ProvisionState) && !n.Maintenance {
			return refuse(node.ErrInvalidState, "Portgroup %s can not be associated to node %s unless the node is in a %s state or in maintenance mode. "+
				"Current state is '%s'.", r.UUID, r.NodeUUID, stateList(node.ConnectivityUpdateAllowed), n.ProvisionState)
		}
	case *node.VolumeConnector, *node.VolumeTarget:
		if n.PowerState != node.PowerOff {
			return refuse(provision.ErrStateRequested, "The requested action \"%s update\" can not be performed on node \"%s\" while it is in state \"%s\". "+
				"(It must be %s.)", r.Kind(), n.UUID, n.PowerState, node.PowerOff)
		}
	}
	return nil
}

func mayConnect(rs *node.Records, old, p *node.Port, changed map[string]bool) error {
	n := rs.Node
	if changed["address"] && (n.ProvisionState == node.StateActive || n.InstanceUUID != "") && !n.Maintenance {
		return refuse(node.ErrInvalidState, "Cannot update hardware address for port %s as node %s is active or has instance UUID assigned", p.UUID, n.UUID)
	}
	moves := changed["node_uuid"]
	for _, field := range connectivity {
		moves = moves || changed[field]
	}
	if moves && !node.ConnectivityUpdateAllowed.Has(n.ProvisionState) && !n.Maintenance {
		return refuse(node.ErrInvalidState, "Port %s can not have any connectivity attributes (node_uuid, local_link_connection, physical_network, portgroup_uuid, "+
			"pxe_enabled) updated unless node %s is in a %s state or in maintenance mode. The current state is %s.",
			p.UUID, n.UUID, stateList(node.ConnectivityUpdateAllowed), n.ProvisionState)
	}
	if vif := old.InternalInfo.Text("tenant_vif_port_id"); changed["node_uuid"] && vif != "" && !n.Maintenance {
		return refuse(errAssociated, "Cannot move the port %s as VIF %s is still attached to it.", p.UUID, vif)
	}
	if p.NodeUUID != n.UUID || p.PortgroupUUID == "" || !changed["portgroup_uuid"] && !changed["physical_network"] {
		return nil
	}
	return fitsGroup(rs, p)
}

// fitsGroup refuses a port whose physical network is not that of the other ports
// of its portgroup. Ironic: validate_port_physnet.
func fitsGroup(rs *node.Records, p *node.Port) error {
	for _, other := range rs.Ports {
		if other.UUID != p.UUID && other.PortgroupUUID == p.PortgroupUUID && other.PhysicalNetwork != p.PhysicalNetwork {
			return refuse(errMisfit, "Port with physical network %q cannot become a member of port group %s which has ports in physical network %q.",
				p.PhysicalNetwork, p.PortgroupUUID, other.PhysicalNetwork)
		}
	}
	return nil
}
