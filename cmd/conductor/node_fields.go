package main

import "slices"

// nodeFields are the fields of a node that its user may set. Ironic: those that a
// PATCH of a node may name.
var nodeFields = []field{
	{name: "name", help: "what to call it"},
	{name: "driver", help: "its hardware type"},
	{name: "driver_info", kind: objectField, help: "what the driver needs to reach it"},
	{name: "properties", flag: "property", kind: objectField, help: "what it is made of"},
	{name: "extra", kind: objectField, help: "whatever you like"},
	{name: "instance_info", kind: objectField, help: "what to deploy"},
	{name: "instance_uuid", help: "the workload on it"},
	{name: "resource_class", help: "what schedulers know it as"},
	{name: "conductor_group", help: "the conductors that look after it"},
	{name: "chassis_uuid", help: "its chassis"},
	{name: "parent_node", help: "the node that it is part of"},
	{name: "shard", help: "the shard that it belongs to"},
	{name: "owner", help: "whose it is"},
	{name: "lessee", help: "who has rented it"},
	{name: "description", help: "for others to read"},
	{name: "automated_clean", kind: switchField, help: "clean it between workloads; unset: as the conductor does"},
	{name: "protected", kind: switchField, help: "refuse to undeploy, rebuild and delete it"},
	{name: "protected_reason", help: "why it is protected"},
	{name: "retired", kind: switchField, help: "refuse to make it available again"},
	{name: "retired_reason", help: "why it is retired"},
	{name: "disable_power_off", kind: switchField, help: "never switch it off"},
	{name: "network_data", kind: objectField, help: "its network configuration, where it has no DHCP"},
	{name: "bios_interface", help: "implementation of this interface"},
	{name: "boot_interface", help: "implementation of this interface"},
	{name: "console_interface", help: "implementation of this interface"},
	{name: "deploy_interface", help: "implementation of this interface"},
	{name: "firmware_interface", help: "implementation of this interface"},
	{name: "inspect_interface", help: "implementation of this interface"},
	{name: "management_interface", help: "implementation of this interface"},
	{name: "network_interface", help: "implementation of this interface"},
	{name: "power_interface", help: "implementation of this interface"},
	{name: "raid_interface", help: "implementation of this interface"},
	{name: "rescue_interface", help: "implementation of this interface"},
	{name: "storage_interface", help: "implementation of this interface"},
	{name: "vendor_interface", help: "implementation of this interface"},
}

// createFields are those of a node that is created.
var createFields = append([]field{{name: "uuid", help: "its identity, for ever (none: a new one)"}},
	slices.DeleteFunc(slices.Clone(nodeFields), func(f field) bool { return f.name == "protected" || f.name == "protected_reason" })...)
