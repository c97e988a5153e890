package node

// VolumeConnector is how a node reaches remote volumes: an initiator name, a
// port of a fibre channel adapter and the like.
//
// Ironic: ironic/objects/volume_connector.py.
type VolumeConnector struct {
	UUID     string `json:"uuid"`
	NodeUUID ID     `json:"node_uuid"`
	// Type and ConnectorID are unique together over all nodes.
	Type        string `json:"type"`
	ConnectorID string `json:"connector_id"`
	Extra       Object `json:"extra"`

	Meta
}

// Clone answers a deep copy. A nil connector clones to nil.
func (c *VolumeConnector) Clone() *VolumeConnector {
	if c == nil {
		return nil
	}
	d := *c
	d.Extra, d.Meta = c.Extra.Clone(), c.Meta.clone()
	return &d
}

// VolumeTarget is a remote volume that a node uses.
//
// Ironic: ironic/objects/volume_target.py.
type VolumeTarget struct {
	UUID       string `json:"uuid"`
	NodeUUID   ID     `json:"node_uuid"`
	VolumeType string `json:"volume_type"`
	// BootIndex is required, 0 is the volume to boot from, and it is unique
	// within the node. Nil means that it is not given.
	BootIndex  *int64 `json:"boot_index"`
	VolumeID   string `json:"volume_id"`
	Properties Object `json:"properties"` // may hold secrets
	Extra      Object `json:"extra"`

	Meta
}

// Clone answers a deep copy. A nil target clones to nil.
func (t *VolumeTarget) Clone() *VolumeTarget {
	if t == nil {
		return nil
	}
	d := *t
	d.Properties, d.Extra, d.Meta = t.Properties.Clone(), t.Extra.Clone(), t.Meta.clone()
	if t.BootIndex != nil {
		d.BootIndex = new(*t.BootIndex)
	}
	return &d
}
