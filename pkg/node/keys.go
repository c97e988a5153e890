package node

import (
	"net/url"
	"strconv"
	"strings"
)

// Keys is the layout of the records in etcd. Root ends in "/", for example
// "/conductor/v1/".
//
// The keys of nodes and of what belongs to them lie between Root+"nodes/" and
// Root+"volume-targets0", so that one range watches them all; only runbooks lie
// there too.
type Keys struct {
	Root string
}

// Node answers the key of a node.
func (k Keys) Node(id ID) string { return k.Root + "nodes/" + string(id) }

// NoNode is the place of events that are about no node, or about one that is
// gone: Events(NoNode). It is no uuid, so it is no node's.
const NoNode ID = "none"

// Events answers the prefix of what has happened to a node.
func (k Keys) Events(id ID) string { return k.Root + "events/" + string(id) + "/" }

// of answers the key of a record.
func (k Keys) of(r Record) string { return k.child(r.Kind(), r.parent(), r.ID()) }

// child answers the key of a record by its parts; with id "" it is the prefix
// of all records of the kind that belong to the node. Kinds that belong to no
// node have no parent.
func (k Keys) child(kind Kind, parent ID, id string) string {
	if !kind.child() {
		return k.Root + directories[kind] + id
	}
	return k.Root + directories[kind] + string(parent) + "/" + id
}

// all answers the prefix of all records of the kind, of all nodes.
func (k Keys) all(kind Kind) string { return k.Root + directories[kind] }

// directories names the place of each kind; never changed after start.
var directories = map[Kind]string{
	KindNode:            "nodes/",
	KindPort:            "ports/",
	KindPortgroup:       "portgroups/",
	KindVolumeConnector: "volume-connectors/",
	KindVolumeTarget:    "volume-targets/",
	KindAllocation:      "allocations/",
	KindDeployTemplate:  "deploy-templates/",
	KindRunbook:         "runbooks/",
	KindChassis:         "chassis/",
}

// indexNames names the index by uuid of each kind that belongs to a node; never
// changed after start.
var indexNames = map[Kind]string{
	KindPort:            "port",
	KindPortgroup:       "portgroup",
	KindVolumeConnector: "volume-connector",
	KindVolumeTarget:    "volume-target",
}

// childKinds are the kinds of record that belong to a node.
var childKinds = []Kind{KindPort, KindPortgroup, KindVolumeConnector, KindVolumeTarget}

// span answers the first key of the records and the first key after them.
func (k Keys) span() (from, to string) { return k.Root + "nodes/", k.Root + "volume-targets0" }

// Read answers what an acquiring transaction reads so that the node and all
// that belongs to it come with the lock. A name that ends in "/" is a prefix.
// Give the key-values of the reply to Decode.
func (k Keys) Read(id ID) []string {
	keys := []string{k.Node(id)}
	for _, kind := range childKinds {
		keys = append(keys, k.child(kind, id, ""))
	}
	return keys
}

// index answers an index key; every part is escaped, so that a "/" or a
// control character in a value cannot reach into another key.
func (k Keys) index(name string, parts ...string) string {
	var b strings.Builder
	b.WriteString(k.Root)
	b.WriteString("index/")
	b.WriteString(name)
	for _, p := range parts {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(p))
	}
	return b.String()
}

// chassisPrefix is where the nodes of a chassis are listed.
func (k Keys) chassisPrefix(chassis string) string { return k.index("chassis-node", chassis) + "/" }

func (k Keys) bootIndexPrefix(id ID) string { return k.index("volume-target-boot", string(id)) + "/" }

func (n *Node) indexes(k Keys) []index {
	var all []index
	if n.Name != "" {
		all = append(all, index{k.index("node-name", n.Name), string(n.UUID), "name", n.Name})
	}
	if n.InstanceUUID != "" {
		all = append(all, index{k.index("instance", n.InstanceUUID), string(n.UUID), "instance_uuid", n.InstanceUUID})
	}
	if n.ChassisUUID != "" { // not to be unique, but to be found
		all = append(all, index{k.chassisPrefix(n.ChassisUUID) + string(n.UUID), string(n.UUID), "chassis_uuid", n.ChassisUUID})
	}
	if n.ActionSlot != "" {
		all = append(all, index{k.slot(n.ActionSlot), string(n.UUID), "action_slot", n.ActionSlot})
	}
	return all
}

func (p *Port) indexes(k Keys) []index {
	owner := string(p.NodeUUID) + "/" + p.UUID
	all := []index{
		{k.index("port", p.UUID), string(p.NodeUUID), "uuid", p.UUID},
		{k.index("mac", p.Address), owner, "address", p.Address},
	}
	if p.Name != "" {
		all = append(all, index{k.index("port-name", p.Name), owner, "name", p.Name})
	}
	return all
}

func (g *Portgroup) indexes(k Keys) []index {
	owner := string(g.NodeUUID) + "/" + g.UUID
	all := []index{{k.index("portgroup", g.UUID), string(g.NodeUUID), "uuid", g.UUID}}
	if g.Address != "" {
		all = append(all, index{k.index("portgroup-mac", g.Address), owner, "address", g.Address})
	}
	if g.Name != "" {
		all = append(all, index{k.index("portgroup-name", g.Name), owner, "name", g.Name})
	}
	return all
}

func (c *VolumeConnector) indexes(k Keys) []index {
	return []index{
		{k.index("volume-connector", c.UUID), string(c.NodeUUID), "uuid", c.UUID},
		{
			k.index("volume-connector-id", c.Type, c.ConnectorID), string(c.NodeUUID) + "/" + c.UUID,
			"connector_id", c.ConnectorID,
		},
	}
}

func (t *VolumeTarget) indexes(k Keys) []index {
	all := []index{{k.index("volume-target", t.UUID), string(t.NodeUUID), "uuid", t.UUID}}
	if t.BootIndex != nil {
		boot := strconv.FormatInt(*t.BootIndex, 10)
		all = append(all, index{
			k.bootIndexPrefix(t.NodeUUID) + boot, string(t.NodeUUID) + "/" + t.UUID,
			"boot_index", boot,
		})
	}
	return all
}
