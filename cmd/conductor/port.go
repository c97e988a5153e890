package main

import "github.com/spf13/cobra"

// recordCommands are the nouns for what belongs to a node.
func (p program) recordCommands() []*cobra.Command {
	var all []*cobra.Command
	for _, nouns := range [][]recordNoun{{portNoun}, {portgroupNoun}, {connectorNoun, targetNoun}} {
		n := &nodeVerbs{program: p}
		c := n.recordCommand(nouns[0])
		if len(nouns) > 1 {
			c = group("volume", "Look at the volumes of nodes and change them", c, n.recordCommand(nouns[1]))
		}
		n.client.flags(c.PersistentFlags())
		n.output.flags(c.PersistentFlags(), p.out)
		all = append(all, c)
	}
	return all
}

var byAddress = field{name: "address", help: "only the one with this MAC address"}

var portNoun = recordNoun{
	use: "port", what: "port", path: "ports", plural: "ports", reach: portReach{},
	columns: []string{"uuid", "address", "name", "node_uuid", "portgroup_uuid", "physical_network", "pxe_enabled"},
	filters: []field{byAddress, {name: "portgroup", help: "only those of this portgroup"}},
	fields: []field{
		{name: "address", help: "its MAC address"},
		{name: "name", help: "what to call it"},
		{name: "portgroup_uuid", flag: "portgroup", help: "the portgroup that it is in, by uuid"},
		{name: "physical_network", help: "the network that it is plugged into"},
		{name: "pxe_enabled", kind: switchField, help: "boot over it"},
		{name: "local_link_connection", flag: "local-link", kind: objectField, help: "where its cable ends: switch_id, port_id, switch_info"},
		{name: "is_smartnic", kind: switchField, help: "it is on a smart card"},
		{name: "description", help: "for others to read"},
		{name: "extra", kind: objectField, help: "whatever you like"},
	},
}

var portgroupNoun = recordNoun{
	use: "portgroup", what: "portgroup", path: "portgroups", plural: "portgroups", reach: pathReach("/v1/portgroups"),
	columns: []string{"uuid", "address", "name", "node_uuid", "mode", "standalone_ports_supported"},
	filters: []field{byAddress},
	fields: []field{
		{name: "address", help: "its MAC address"},
		{name: "name", help: "what to call it"},
		{name: "mode", help: "how its ports share the load, as active-backup"},
		{name: "standalone_ports_supported", flag: "standalone-ports", kind: switchField, help: "its ports may be used alone as well"},
		{name: "properties", flag: "property", kind: objectField, help: "how the bond is set up"},
		{name: "extra", kind: objectField, help: "whatever you like"},
	},
}

var connectorNoun = recordNoun{
	use: "connector", what: "volume connector", path: "volume/connectors", plural: "connectors", reach: pathReach("/v1/volume/connectors"),
	columns: []string{"uuid", "node_uuid", "type", "connector_id"},
	fields: []field{
		{name: "type", help: "what its id is: iqn, ip, mac, wwnn, wwpn"},
		{name: "connector_id", help: "its id"},
		{name: "extra", kind: objectField, help: "whatever you like"},
	},
}

var targetNoun = recordNoun{
	use: "target", what: "volume target", path: "volume/targets", plural: "targets", reach: pathReach("/v1/volume/targets"),
	columns: []string{"uuid", "node_uuid", "volume_type", "boot_index", "volume_id"},
	fields: []field{
		{name: "volume_type", help: "how it is reached: iscsi, fibre_channel"},
		{name: "boot_index", kind: numberField, help: "its place among the volumes to boot from, from 0"},
		{name: "volume_id", help: "its id where it is stored"},
		{name: "properties", flag: "property", kind: objectField, help: "what is needed to reach it"},
		{name: "extra", kind: objectField, help: "whatever you like"},
	},
}
