package node

// Kind names a kind of record in errors and events.
type Kind string

// The kinds of record: a node and what belongs to one, then those that stand
// alone.
const (
	KindNode            Kind = "node"
	KindPort            Kind = "port"
	KindPortgroup       Kind = "portgroup"
	KindVolumeConnector Kind = "volume connector"
	KindVolumeTarget    Kind = "volume target"

	KindAllocation     Kind = "allocation"
	KindDeployTemplate Kind = "deploy template"
	KindRunbook        Kind = "runbook"
	KindChassis        Kind = "chassis"
)

// Record is one of *Node, *Port, *Portgroup, *VolumeConnector, *VolumeTarget,
// *Allocation, *DeployTemplate, *Runbook and *Chassis.
type Record interface {
	// Kind says which of them it is.
	Kind() Kind
	// ID answers the record's own uuid.
	ID() string
	// Normalize brings the values that have a canonical form to it, such as
	// a MAC to lower case, and fills the defaults that the record must have.
	Normalize()
	// Validate answers nil or a *ValidationError that lists every bad field.
	Validate() error

	meta() *Meta
	parent() ID               // the node that it belongs to; its own uuid if there is none
	place(node ID, id string) // fills in uuids that are missing
	copy() Record
	indexes(k Keys) []index
}

// child says whether records of the kind belong to a node.
func (k Kind) child() bool { return indexNames[k] != "" }

// index is one key that makes a value of a record unique and findable.
type index struct {
	key, value   string // the key in etcd, and what it holds
	field, shown string // the field it guards and its value, for errors
}

// Kind answers KindNode.
func (n *Node) Kind() Kind { return KindNode }

// Kind answers KindPort.
func (p *Port) Kind() Kind { return KindPort }

// Kind answers KindPortgroup.
func (g *Portgroup) Kind() Kind { return KindPortgroup }

// Kind answers KindVolumeConnector.
func (c *VolumeConnector) Kind() Kind { return KindVolumeConnector }

// Kind answers KindVolumeTarget.
func (t *VolumeTarget) Kind() Kind { return KindVolumeTarget }

// ID answers the uuid.
func (n *Node) ID() string { return string(n.UUID) }

// ID answers the uuid.
func (p *Port) ID() string { return p.UUID }

// ID answers the uuid.
func (g *Portgroup) ID() string { return g.UUID }

// ID answers the uuid.
func (c *VolumeConnector) ID() string { return c.UUID }

// ID answers the uuid.
func (t *VolumeTarget) ID() string { return t.UUID }

func (n *Node) parent() ID            { return n.UUID }
func (p *Port) parent() ID            { return p.NodeUUID }
func (g *Portgroup) parent() ID       { return g.NodeUUID }
func (c *VolumeConnector) parent() ID { return c.NodeUUID }
func (t *VolumeTarget) parent() ID    { return t.NodeUUID }

func (n *Node) place(_ ID, id string)               { orID(&n.UUID, ID(id)) }
func (p *Port) place(node ID, id string)            { orID(&p.UUID, id); orID(&p.NodeUUID, node) }
func (g *Portgroup) place(node ID, id string)       { orID(&g.UUID, id); orID(&g.NodeUUID, node) }
func (c *VolumeConnector) place(node ID, id string) { orID(&c.UUID, id); orID(&c.NodeUUID, node) }
func (t *VolumeTarget) place(node ID, id string)    { orID(&t.UUID, id); orID(&t.NodeUUID, node) }

// orID fills in a uuid that is missing.
func orID[S ~string](id *S, other S) {
	if *id == "" {
		*id = other
	}
}

func (n *Node) copy() Record            { return n.Clone() }
func (p *Port) copy() Record            { return p.Clone() }
func (g *Portgroup) copy() Record       { return g.Clone() }
func (c *VolumeConnector) copy() Record { return c.Clone() }
func (t *VolumeTarget) copy() Record    { return t.Clone() }

func (n *Node) meta() *Meta            { return &n.Meta }
func (p *Port) meta() *Meta            { return &p.Meta }
func (g *Portgroup) meta() *Meta       { return &g.Meta }
func (c *VolumeConnector) meta() *Meta { return &c.Meta }
func (t *VolumeTarget) meta() *Meta    { return &t.Meta }

// Of is the node that a record belongs to, or is; "" if it belongs to none.
func Of(r Record) ID {
	switch r.(type) {
	case *Node, *Port, *Portgroup, *VolumeConnector, *VolumeTarget:
		return r.parent()
	}
	return ""
}

// Sign says who writes the record next; nil is right only for a create without a lock. Call it
// before Create or Update build the change.
func Sign(r Record, w *Writer) { r.meta().WrittenBy = w }
