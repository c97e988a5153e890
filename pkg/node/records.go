package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// Records is a node with all that belongs to it, as one read saw it.
type Records struct {
	Node             *Node
	Ports            []*Port
	Portgroups       []*Portgroup
	VolumeConnectors []*VolumeConnector
	VolumeTargets    []*VolumeTarget

	// Corrupt lists the records of the node that could not be understood;
	// they are missing above.
	Corrupt []*CorruptError
	// Revision is the etcd revision up to which the set is known to be
	// complete. Decode sets the newest mod revision that it saw; set it to
	// the revision of the read's reply if that is at hand, and never to the
	// revision of a later write: a port that was created without a lock
	// between the two would be missed, and its index keys would be orphaned.
	// A deletion that depends on the set is refused as stale when something
	// newer exists.
	Revision int64
}

// Decode builds the records of one node from the key-values of a reply; keys
// of other nodes and other keys are passed over. A missing node is a
// *NotFoundError, an unreadable one a *CorruptError; other unreadable records
// only go to Records.Corrupt.
func (k Keys) Decode(id ID, kvs []*mvccpb.KeyValue) (*Records, error) {
	rs := &Records{}
	for _, kv := range kvs {
		kind, parent, _, ok := k.parse(string(kv.Key))
		if !ok || parent != id {
			continue
		}
		rs.Revision = max(rs.Revision, kv.ModRevision)
		r, err := k.decode(kv)
		if err != nil {
			if kind == KindNode {
				return nil, err
			}
			rs.Corrupt = append(rs.Corrupt, err)
			continue
		}
		rs.add(r)
	}
	if rs.Node == nil {
		return nil, &NotFoundError{Kind: KindNode, Ref: string(id)}
	}
	return rs, nil
}

func (rs *Records) add(r Record) {
	switch r := r.(type) {
	case *Node:
		rs.Node = r
	case *Port:
		rs.Ports = append(rs.Ports, r)
	case *Portgroup:
		rs.Portgroups = append(rs.Portgroups, r)
	case *VolumeConnector:
		rs.VolumeConnectors = append(rs.VolumeConnectors, r)
	case *VolumeTarget:
		rs.VolumeTargets = append(rs.VolumeTargets, r)
	}
}

// children answers all records of the set but the node.
func (rs *Records) children() []Record {
	var all []Record
	for _, r := range rs.Ports {
		all = append(all, r)
	}
	for _, r := range rs.Portgroups {
		all = append(all, r)
	}
	for _, r := range rs.VolumeConnectors {
		all = append(all, r)
	}
	for _, r := range rs.VolumeTargets {
		all = append(all, r)
	}
	return all
}

// Clone answers a deep copy. A nil set clones to nil.
func (rs *Records) Clone() *Records {
	if rs == nil {
		return nil
	}
	c := &Records{Node: rs.Node.Clone(), Revision: rs.Revision, Corrupt: append([]*CorruptError(nil), rs.Corrupt...)}
	for _, r := range rs.children() {
		c.add(r.copy())
	}
	return c
}

// parse takes a record key apart; the parent of a record that belongs to no node
// is its own uuid. It answers false for a key that is no record's.
func (k Keys) parse(key string) (kind Kind, parent ID, uuid string, ok bool) {
	rest, ok := strings.CutPrefix(key, k.Root)
	if !ok {
		return "", "", "", false
	}
	parts := strings.Split(rest, "/")
	for kind, dir := range directories {
		if dir != parts[0]+"/" {
			continue
		}
		if !kind.child() {
			return kind, ID(parts[len(parts)-1]), parts[len(parts)-1], len(parts) == 2
		}
		if len(parts) == 3 {
			return kind, ID(parts[1]), parts[2], true
		}
	}
	return "", "", "", false
}

// decode reads one record from its key and value. A uuid that the value does
// not have is taken from the key; one that differs from the key is an error.
func (k Keys) decode(kv *mvccpb.KeyValue) (Record, *CorruptError) {
	key := string(kv.Key)
	kind, parent, uuid, ok := k.parse(key)
	if !ok {
		return nil, &CorruptError{Key: key, Revision: kv.ModRevision, Err: errors.New("not the key of a record")}
	}
	r := blank(kind)
	if err := unmarshal(kv.Value, r); err != nil {
		return nil, &CorruptError{Key: key, Revision: kv.ModRevision, Err: err}
	}
	r.place(parent, uuid) // a value written by hand may leave them out
	if r.ID() != uuid || r.parent() != parent {
		return nil, &CorruptError{Key: key, Revision: kv.ModRevision, Err: fmt.Errorf("the value names %s %q of node %q: put it under its own key",
			kind, r.ID(), r.parent())}
	}
	r.meta().Revision = kv.ModRevision
	return r, nil
}

// blank answers an empty record of the kind.
func blank(kind Kind) Record {
	switch kind {
	case KindPort:
		return &Port{}
	case KindPortgroup:
		return &Portgroup{}
	case KindVolumeConnector:
		return &VolumeConnector{}
	case KindVolumeTarget:
		return &VolumeTarget{}
	case KindAllocation:
		return &Allocation{}
	case KindDeployTemplate:
		return &DeployTemplate{}
	case KindRunbook:
		return &Runbook{}
	case KindChassis:
		return &Chassis{}
	}
	return &Node{}
}

// encode writes a record in one line, in the order of its struct.
func encode(r Record) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
		return "", &ValidationError{Fields: []FieldError{{Reason: "cannot be written as JSON: " + err.Error()}}}
	}
	if b.Len() > maxRecord {
		return "", &ValidationError{Fields: []FieldError{{Reason: fmt.Sprintf(
			"the record is %d bytes long; use at most %d", b.Len(), maxRecord)}}}
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}
