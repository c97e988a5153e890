package api

// column is one field of a record as clients see it.
type column struct {
	since  minor // the version that brought it
	create bool  // may be given at create
}

// columns are the fields of a record by name. What is not here is never shown.
type columns map[string]column

func shown(since minor) column { return column{since: since} }
func given(since minor) column { return column{since: since, create: true} }

// beyond marks fields of versions that are newer than the newest one served.
const beyond = newest + 1

// nodeColumns are Ironic's, api/controllers/v1/node.py and versions.py.
var nodeColumns = columns{
	"uuid": given(1), "name": given(5), "driver": given(1), "chassis_uuid": given(1), "instance_uuid": given(1),
	"instance_name": given(beyond), "driver_info": given(1), "driver_internal_info": shown(3), "instance_info": given(1),
	"properties": given(1), "extra": given(1), "provision_state": shown(1), "target_provision_state": shown(1),
	"provision_updated_at": shown(1), "power_state": shown(1), "target_power_state": shown(1), "last_error": shown(1),
	"reservation": shown(1), "maintenance": given(1), "maintenance_reason": shown(1), "fault": shown(42),
	"console_enabled": given(1), "resource_class": given(21), "conductor_group": given(46), "conductor": shown(49),
	"bios_interface": given(40), "boot_interface": given(31), "console_interface": given(31), "deploy_interface": given(31),
	"firmware_interface": given(86), "inspect_interface": given(31), "management_interface": given(31), "network_interface": given(20),
	"power_interface": given(31), "raid_interface": given(31), "rescue_interface": given(38), "storage_interface": given(33),
	"vendor_interface": given(31), "clean_step": shown(7), "deploy_step": shown(44), "service_step": shown(87),
	"raid_config": shown(12), "target_raid_config": shown(12), "inspection_started_at": shown(6), "inspection_finished_at": shown(6),
	"automated_clean": given(47), "protected": shown(48), "protected_reason": shown(48), "retired": given(61), "retired_reason": given(61),
	"owner": given(50), "lessee": given(65), "description": given(51), "allocation_uuid": shown(52), "traits": shown(37),
	"network_data": given(66), "boot_mode": shown(75), "secure_boot": shown(75), "shard": given(82), "parent_node": given(83),
	"disable_power_off": given(95), "health": shown(beyond), "created_at": shown(1), "updated_at": shown(1),
	"links": shown(1), "ports": shown(1), "states": shown(14), "portgroups": shown(24), "volume": shown(32),
}

// stateColumns are those of GET /v1/nodes/{node}/states.
var stateColumns = []string{
	"power_state", "target_power_state", "provision_state", "target_provision_state", "provision_updated_at", "last_error",
	"console_enabled", "raid_config", "target_raid_config", "boot_mode", "secure_boot",
}

var portColumns = columns{
	"uuid": given(1), "node_uuid": given(1), "address": given(1), "extra": given(1), "internal_info": shown(18),
	"local_link_connection": given(19), "pxe_enabled": given(19), "portgroup_uuid": given(24), "physical_network": given(34),
	"is_smartnic": given(53), "name": given(88), "description": given(97), "vendor": given(beyond), "category": given(beyond),
	"available_for_dynamic_portgroup": given(beyond), "created_at": shown(1), "updated_at": shown(1), "links": shown(1),
}

var portgroupColumns = columns{
	"uuid": given(1), "node_uuid": given(1), "name": given(1), "address": given(1), "extra": given(1), "internal_info": shown(1),
	"standalone_ports_supported": given(1), "mode": given(26), "properties": given(26), "physical_network": given(beyond),
	"category": given(beyond), "dynamic_portgroup": shown(beyond), "created_at": shown(1), "updated_at": shown(1),
	"links": shown(1), "ports": shown(1),
}

var connectorColumns = columns{
	"uuid": given(1), "node_uuid": given(1), "type": given(1), "connector_id": given(1), "extra": given(1),
	"created_at": shown(1), "updated_at": shown(1), "links": shown(1),
}

var targetColumns = columns{
	"uuid": given(1), "node_uuid": given(1), "volume_type": given(1), "boot_index": given(1), "volume_id": given(1),
	"properties": given(1), "extra": given(1), "created_at": shown(1), "updated_at": shown(1), "links": shown(1),
}
