package node

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Normalize brings uuids and the conductor group to lower case, cuts
// last_error and maintenance_reason to 4096 bytes and fills in the provision
// state "enroll".
func (n *Node) Normalize() {
	normalUUID(&n.UUID)
	for _, u := range []*string{&n.InstanceUUID, &n.AllocationUUID, &n.ChassisUUID, &n.ParentNode} {
		normalUUID(u)
	}
	n.ConductorGroup = strings.ToLower(n.ConductorGroup)
	n.LastError = cut(n.LastError, maxLastError)
	n.MaintenanceReason = cut(n.MaintenanceReason, maxLastError)
	if n.ProvisionState == "" {
		n.ProvisionState = StateEnroll
	}
}

// cut shortens text to limit bytes without tearing a character apart.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

// Validate answers nil or a *ValidationError that lists every bad field.
//
// Ironic: api/controllers/v1/node.py, node_schema; objects/node.py.
func (n *Node) Validate() error {
	var p problems
	p.uuid("uuid", string(n.UUID), true)
	p.name(KindNode, n.Name)
	p.need("driver", n.Driver, maxText)
	if !groupRule.MatchString(strings.ToLower(n.ConductorGroup)) {
		p.add("conductor_group", "use only letters, digits and the characters - . _")
	}
	p.text("conductor_group", n.ConductorGroup, maxText)
	p.text("resource_class", n.ResourceClass, 80)
	n.validateStates(&p)
	p.uuid("instance_uuid", n.InstanceUUID, false)
	p.uuid("allocation_uuid", n.AllocationUUID, false)
	p.uuid("chassis_uuid", n.ChassisUUID, false)
	p.uuid("parent_node", n.ParentNode, false)
	if n.ParentNode != "" && n.ParentNode == string(n.UUID) {
		p.add("parent_node", "a node cannot be its own parent")
	}
	p.text("instance_name", n.InstanceName, maxText)
	p.text("shard", n.Shard, maxText)
	p.text("owner", n.Owner, maxText)
	p.text("lessee", n.Lessee, maxText)
	p.text("description", n.Description, maxDescription)
	p.text("fault", n.Fault, maxText)
	p.text("health", n.Health, 32)
	p.text("conductor_affinity", n.ConductorAffinity, maxText)
	for _, key := range []string{"memory_mb", "local_gb", "cpus"} {
		p.count(n.Properties, key)
	}
	p.traits(n.Traits)
	p.networkData(n.NetworkData)
	interfaces := n.Interfaces()
	for _, field := range slices.Sorted(maps.Keys(interfaces)) {
		p.text(field, *interfaces[field], maxText)
	}
	return p.err()
}

func (n *Node) validateStates(p *problems) {
	if !n.ProvisionState.Valid() {
		p.add("provision_state", "%q is not a provision state", n.ProvisionState)
	}
	if n.TargetProvisionState != "" && !n.TargetProvisionState.Stable() {
		p.add("target_provision_state", "%q is not a stable provision state", n.TargetProvisionState)
	}
	if n.PowerState != "" && n.PowerState != PowerError && !n.PowerState.Valid() {
		p.add("power_state", "%q is not a power state", n.PowerState)
	}
	if n.TargetPowerState != "" && !n.TargetPowerState.Valid() {
		p.add("target_power_state", "%q is not a power state that a node can be asked for", n.TargetPowerState)
	}
	if n.BootMode != "" && n.BootMode != "bios" && n.BootMode != "uefi" {
		p.add("boot_mode", "use bios or uefi")
	}
}

// traits checks a list of traits, which stands for a set.
func (p *problems) traits(list []string) {
	if len(list) > maxTraits {
		p.add("traits", "there are %d; use at most %d", len(list), maxTraits)
	}
	seen := map[string]bool{}
	for _, t := range list {
		switch {
		case !isTrait(t):
			p.add("traits", "%q is not a trait: use CUSTOM_ or a standard prefix, then A-Z, 0-9 and _, at most %d in all",
				cut(t, 64), maxText)
		case seen[t]:
			p.add("traits", "%q stands there twice", t)
		}
		seen[t] = true
	}
}

// Normalize brings uuids and the address to lower case and fills in that the
// port boots by PXE and may join dynamic portgroups.
func (p *Port) Normalize() {
	normalUUID(&p.UUID)
	normalUUID(&p.NodeUUID)
	normalUUID(&p.PortgroupUUID)
	p.Address = normalMAC(p.Address)
	fill(&p.PXEEnabled)
	fill(&p.AvailableForDynamicPortgroup)
}

// fill sets a switch that is on by default.
func fill(b **bool) {
	if *b == nil {
		*b = new(true)
	}
}

// Validate answers nil or a *ValidationError that lists every bad field.
//
// Ironic: api/controllers/v1/port.py, PORT_SCHEMA.
func (p *Port) Validate() error {
	var e problems
	e.uuid("uuid", p.UUID, true)
	e.uuid("node_uuid", string(p.NodeUUID), true)
	e.mac(p.Address, true)
	e.name(KindPort, p.Name)
	e.uuid("portgroup_uuid", p.PortgroupUUID, false)
	e.text("physical_network", p.PhysicalNetwork, 64)
	e.text("description", p.Description, maxText)
	e.text("vendor", p.Vendor, 32)
	e.text("category", p.Category, 80)
	return e.err()
}

// Normalize brings uuids and the address to lower case and fills in the mode
// active-backup and that ports of the group may be used alone.
func (g *Portgroup) Normalize() {
	normalUUID(&g.UUID)
	normalUUID(&g.NodeUUID)
	g.Address = normalMAC(g.Address)
	if g.Mode == "" {
		g.Mode = "active-backup"
	}
	fill(&g.StandalonePortsSupported)
}

// Validate answers nil or a *ValidationError that lists every bad field.
//
// Ironic: api/controllers/v1/portgroup.py, PORTGROUP_SCHEMA.
func (g *Portgroup) Validate() error {
	var e problems
	e.uuid("uuid", g.UUID, true)
	e.uuid("node_uuid", string(g.NodeUUID), true)
	e.name(KindPortgroup, g.Name)
	e.mac(g.Address, false)
	e.need("mode", g.Mode, maxText)
	e.text("physical_network", g.PhysicalNetwork, 64)
	e.text("category", g.Category, 80)
	return e.err()
}

// Normalize brings uuids to lower case.
func (c *VolumeConnector) Normalize() {
	normalUUID(&c.UUID)
	normalUUID(&c.NodeUUID)
}

// Validate answers nil or a *ValidationError that lists every bad field.
//
// Ironic: api/controllers/v1/volume_connector.py, CONNECTOR_SCHEMA.
func (c *VolumeConnector) Validate() error {
	var e problems
	e.uuid("uuid", c.UUID, true)
	e.uuid("node_uuid", string(c.NodeUUID), true)
	e.need("type", c.Type, 32)
	e.need("connector_id", c.ConnectorID, maxText)
	return e.err()
}

// Normalize brings uuids to lower case.
func (t *VolumeTarget) Normalize() {
	normalUUID(&t.UUID)
	normalUUID(&t.NodeUUID)
}

// Validate answers nil or a *ValidationError that lists every bad field.
//
// Ironic: api/controllers/v1/volume_target.py, TARGET_SCHEMA.
func (t *VolumeTarget) Validate() error {
	var e problems
	e.uuid("uuid", t.UUID, true)
	e.uuid("node_uuid", string(t.NodeUUID), true)
	e.need("volume_type", t.VolumeType, 64)
	if t.BootIndex == nil {
		e.add("boot_index", "is required")
	}
	e.need("volume_id", t.VolumeID, 36)
	return e.err()
}
