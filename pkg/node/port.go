package node

// Port is a network interface of a node.
//
// Ironic: ironic/objects/port.py.
type Port struct {
	UUID          string `json:"uuid"`
	NodeUUID      ID     `json:"node_uuid"`
	Address       string `json:"address"` // MAC in lower case, unique
	Name          string `json:"name,omitempty"`
	PortgroupUUID string `json:"portgroup_uuid,omitempty"` // a portgroup of the same node

	PXEEnabled                   *bool  `json:"pxe_enabled,omitempty"` // nil: true at create
	IsSmartNIC                   bool   `json:"is_smartnic,omitempty"`
	PhysicalNetwork              string `json:"physical_network,omitempty"`
	LocalLinkConnection          Object `json:"local_link_connection"`
	AvailableForDynamicPortgroup *bool  `json:"available_for_dynamic_portgroup,omitempty"` // nil: true at create

	Description  string `json:"description,omitempty"`
	Vendor       string `json:"vendor,omitempty"`
	Category     string `json:"category,omitempty"`
	Extra        Object `json:"extra"`
	InternalInfo Object `json:"internal_info"`

	Meta
}

// Clone answers a deep copy. A nil port clones to nil.
func (p *Port) Clone() *Port {
	if p == nil {
		return nil
	}
	c := *p
	c.LocalLinkConnection, c.Extra, c.InternalInfo = p.LocalLinkConnection.Clone(), p.Extra.Clone(), p.InternalInfo.Clone()
	c.PXEEnabled = cloneBool(p.PXEEnabled)
	c.AvailableForDynamicPortgroup = cloneBool(p.AvailableForDynamicPortgroup)
	c.Meta = p.Meta.clone()
	return &c
}

// Portgroup is a bond of ports of one node.
//
// Ironic: ironic/objects/portgroup.py.
type Portgroup struct {
	UUID     string `json:"uuid"`
	NodeUUID ID     `json:"node_uuid"`
	Name     string `json:"name,omitempty"`
	Address  string `json:"address,omitempty"` // MAC in lower case, unique if set

	Mode                     string `json:"mode,omitempty"` // "" becomes active-backup at create
	StandalonePortsSupported *bool  `json:"standalone_ports_supported,omitempty"`
	PhysicalNetwork          string `json:"physical_network,omitempty"`
	Category                 string `json:"category,omitempty"`
	DynamicPortgroup         bool   `json:"dynamic_portgroup,omitempty"`
	Properties               Object `json:"properties"`
	Extra                    Object `json:"extra"`
	InternalInfo             Object `json:"internal_info"`

	Meta
}

// Clone answers a deep copy. A nil portgroup clones to nil.
func (g *Portgroup) Clone() *Portgroup {
	if g == nil {
		return nil
	}
	c := *g
	c.Properties, c.Extra, c.InternalInfo = g.Properties.Clone(), g.Extra.Clone(), g.InternalInfo.Clone()
	c.StandalonePortsSupported = cloneBool(g.StandalonePortsSupported)
	c.Meta = g.Meta.clone()
	return &c
}
