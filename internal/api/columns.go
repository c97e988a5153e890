package api

// column is one field of a record as clients see it.
type column struct {
	since  minor // the version that brought it
	create bool  // may be given at create
	patch  bool  // may be changed by PATCH
}

// columns are the fields of a record by name. What is not here is never shown.
type columns map[string]column

func shown(since minor) column { return column{since: since} }
func given(since minor) column { return column{since: since, create: true} }
func edited(since minor) column {
	return column{since: since, create: true, patch: true}
}
func patched(since minor) column { return column{since: since, patch: true} }

// beyond marks fields of versions that are newer than the newest one served.
const beyond = newest + 1

// nodeColumns are Ironic's, api/controllers/v1/node.py and versions.py.
var nodeColumns = columns{
	"uuid": given(1), "name": edited(5), "driver": edited(1), "chassis_uuid": edited(1), "instance_uuid": edited(1),
	"instance_name": edited(beyond), "driver_info": edited(1), "driver_internal_info": shown(3), "instance_info": edited(1),
	"properties": edited(1), "extra": edited(1), "provision_state": shown(1), "target_provision_state": shown(1),
	"provision_updated_at": shown(1), "power_state": shown(1), "target_power_state": shown(1), "last_error": shown(1),
	"reservation": shown(1), "maintenance": edited(1), "maintenance_reason": shown(1), "fault": shown(42),
	"console_enabled": given(1), "resource_class": edited(21), "conductor_group": edited(46), "conductor": shown(49),
	"bios_interface": edited(40), "boot_interface": edited(31), "console_interface": edited(31), "deploy_interface": edited(31),
	"firmware_interface": edited(86), "inspect_interface": edited(31), "management_interface": edited(31), "network_interface": edited(20),
	"power_interface": edited(31), "raid_interface": edited(31), "rescue_interface": edited(38), "storage_interface": edited(33),
	"vendor_interface": edited(31), "clean_step": shown(7), "deploy_step": shown(44), "service_step": shown(87),
	"raid_config": shown(12), "target_raid_config": shown(12), "inspection_started_at": shown(6), "inspection_finished_at": shown(6),
	"automated_clean": edited(47), "protected": patched(48), "protected_reason": patched(48), "retired": edited(61), "retired_reason": edited(61),
	"owner": edited(50), "lessee": edited(65), "description": edited(51), "allocation_uuid": shown(52), "traits": shown(37),
	"network_data": edited(66), "boot_mode": given(75), "secure_boot": given(75), "shard": edited(82), "parent_node": edited(83),
	"disable_power_off": edited(95), "health": shown(beyond), "created_at": shown(1), "updated_at": shown(1),
	"links": shown(1), "ports": shown(1), "states": shown(14), "portgroups": shown(24), "volume": shown(32),
}

// stateColumns are those of GET /v1/nodes/{node}/states.
var stateColumns = []string{
	"power_state", "target_power_state", "provision_state", "target_provision_state", "provision_updated_at", "last_error",
	"console_enabled", "raid_config", "target_raid_config", "boot_mode", "secure_boot",
}

var portColumns = columns{
	"uuid": given(1), "node_uuid": edited(1), "address": edited(1), "extra": edited(1), "internal_info": shown(18),
	"local_link_connection": edited(19), "pxe_enabled": edited(19), "portgroup_uuid": edited(24), "physical_network": edited(34),
	"is_smartnic": edited(53), "name": edited(88), "description": edited(97), "vendor": edited(beyond), "category": edited(beyond),
	"available_for_dynamic_portgroup": edited(beyond), "created_at": shown(1), "updated_at": shown(1), "links": shown(1),
}

var portgroupColumns = columns{
	"uuid": given(1), "node_uuid": edited(1), "name": edited(1), "address": edited(1), "extra": edited(1), "internal_info": shown(1),
	"standalone_ports_supported": edited(1), "mode": edited(26), "properties": edited(26), "physical_network": edited(beyond),
	"category": edited(beyond), "dynamic_portgroup": shown(beyond), "created_at": shown(1), "updated_at": shown(1),
	"links": shown(1), "ports": shown(1),
}

var connectorColumns = columns{
	"uuid": given(1), "node_uuid": edited(1), "type": edited(1), "connector_id": edited(1), "extra": edited(1),
	"created_at": shown(1), "updated_at": shown(1), "links": shown(1),
}

var targetColumns = columns{
	"uuid": given(1), "node_uuid": edited(1), "volume_type": edited(1), "boot_index": edited(1), "volume_id": edited(1),
	"properties": edited(1), "extra": edited(1), "created_at": shown(1), "updated_at": shown(1), "links": shown(1),
}
