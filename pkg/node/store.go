package node

import (
	"context"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Store reads records, and writes those changes that need no lock. Its reads
// are linearizable, take no lock and never write. Each call ends with its
// context; there is no time limit besides. A Store may be used by several
// goroutines at once.
type Store struct {
	client *clientv3.Client
	keys   Keys
}

// NewStore answers a store on the client with all keys below root, for
// example "/conductor/v1/"; a missing "/" at its end is added.
func NewStore(client *clientv3.Client, root string) *Store {
	return &Store{client, Keys{Root: strings.TrimSuffix(root, "/") + "/"}}
}

// Keys answers the layout that the store uses.
func (s *Store) Keys() Keys { return s.keys }

// Commit runs a change alone, without a lock, and answers its revision. A
// refusal is a *NotFoundError, *DuplicateError or *StaleError. When the
// answer of etcd is lost, the change may have happened all the same.
func (s *Store) Commit(ctx context.Context, c Change) (int64, error) {
	resp, err := s.client.Txn(ctx).If(c.If...).Then(c.Then...).Else(c.Else...).Commit()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", c.What, err)
	}
	if !resp.Succeeded {
		if err := c.Explain(resp.Responses); err != nil {
			return 0, err
		}
		return 0, fmt.Errorf("%s: refused without a reason", c.What)
	}
	c.Committed(resp.Header.Revision)
	return resp.Header.Revision, nil
}

// Create adds a record without a lock, as Keys.Create says. On success the
// record carries its uuid, times and revision.
func (s *Store) Create(ctx context.Context, r Record) error {
	c, err := s.keys.Create(r)
	if err != nil {
		return err
	}
	_, err = s.Commit(ctx, c)
	return err
}

// Node reads one node by its uuid.
func (s *Store) Node(ctx context.Context, id ID) (*Node, error) {
	return read[*Node](ctx, s, id, string(id))
}

// Find reads one node by its uuid, in upper or lower case, or by its name.
//
// Ironic: api/controllers/v1/utils.py, get_rpc_node.
func (s *Store) Find(ctx context.Context, ref string) (*Node, error) {
	return named(ctx, s, ref, "node-name", func(n *Node) string { return n.Name })
}

// named reads a record that belongs to no node by its uuid, in upper or lower
// case, or by its name, which the index of that name knows.
func named[R Record](ctx context.Context, s *Store, ref, names string, name func(R) string) (R, error) {
	if id := canonicalUUID(ref); id != "" {
		return read[R](ctx, s, "", id)
	}
	r, err := find[R](ctx, s, ref, s.keys.index(names, ref))
	if err == nil && name(r) != ref {
		var none R
		return none, notFound[R](ref) // renamed between the two reads
	}
	return r, err
}

// ByInstance reads the node that runs an instance.
//
// Ironic: Node.get_by_instance_uuid.
func (s *Store) ByInstance(ctx context.Context, instance string) (*Node, error) {
	if id := canonicalUUID(instance); id != "" {
		instance = id
	}
	n, err := find[*Node](ctx, s, instance, s.keys.index("instance", instance))
	if err == nil && n.InstanceUUID != instance {
		return nil, notFound[*Node](instance)
	}
	return n, err
}

// Records reads a node and all that belongs to it at one revision, as Decode
// says.
func (s *Store) Records(ctx context.Context, id ID) (*Records, error) {
	var ops []clientv3.Op
	for _, key := range s.keys.Read(id) {
		if strings.HasSuffix(key, "/") {
			ops = append(ops, clientv3.OpGet(key, clientv3.WithPrefix()))
		} else {
			ops = append(ops, clientv3.OpGet(key))
		}
	}
	resp, err := s.client.Txn(ctx).Then(ops...).Commit()
	if err != nil {
		return nil, fmt.Errorf("read records of node %s: %w", id, err)
	}
	var kvs []*mvccpb.KeyValue
	for _, r := range resp.Responses {
		kvs = append(kvs, r.GetResponseRange().GetKvs()...)
	}
	rs, err := s.keys.Decode(id, kvs)
	if err != nil {
		return nil, fmt.Errorf("read records: %w", err)
	}
	rs.Revision = resp.Header.Revision
	return rs, nil
}

// Port reads one port by its uuid, its MAC or its name.
func (s *Store) Port(ctx context.Context, ref string) (*Port, error) {
	switch mac := normalMAC(ref); {
	case canonicalUUID(ref) != "":
		return find[*Port](ctx, s, ref, s.keys.index("port", canonicalUUID(ref)))
	case macRule.MatchString(mac):
		return find[*Port](ctx, s, ref, s.keys.index("mac", mac))
	}
	return find[*Port](ctx, s, ref, s.keys.index("port-name", ref))
}

// Portgroup reads one portgroup by its uuid, its MAC or its name.
func (s *Store) Portgroup(ctx context.Context, ref string) (*Portgroup, error) {
	switch mac := normalMAC(ref); {
	case canonicalUUID(ref) != "":
		return find[*Portgroup](ctx, s, ref, s.keys.index("portgroup", canonicalUUID(ref)))
	case macRule.MatchString(mac):
		return find[*Portgroup](ctx, s, ref, s.keys.index("portgroup-mac", mac))
	}
	return find[*Portgroup](ctx, s, ref, s.keys.index("portgroup-name", ref))
}

// VolumeConnector reads one volume connector by its uuid.
func (s *Store) VolumeConnector(ctx context.Context, uuid string) (*VolumeConnector, error) {
	return find[*VolumeConnector](ctx, s, uuid, s.keys.index("volume-connector", strings.ToLower(uuid)))
}

// VolumeTarget reads one volume target by its uuid.
func (s *Store) VolumeTarget(ctx context.Context, uuid string) (*VolumeTarget, error) {
	return find[*VolumeTarget](ctx, s, uuid, s.keys.index("volume-target", strings.ToLower(uuid)))
}

// find reads a record through one of its index keys. Between the two reads
// the record may go; then it is not found.
func find[R Record](ctx context.Context, s *Store, ref, key string) (R, error) {
	var none R
	resp, err := s.client.Get(ctx, key)
	if err != nil {
		return none, fmt.Errorf("look up %s %q at key %s: %w", kindOf[R](), ref, key, err)
	}
	if len(resp.Kvs) == 0 {
		return none, notFound[R](ref)
	}
	// The value is the uuid of the node or of what belongs to none, or node/uuid; an index by uuid has the
	// record's own uuid as the last part of its key.
	parent, id, both := strings.Cut(string(resp.Kvs[0].Value), "/")
	switch {
	case !kindOf[R]().child():
		id = parent
	case !both:
		id = key[strings.LastIndexByte(key, '/')+1:]
	}
	r, err := read[R](ctx, s, ID(parent), id)
	if isNotFound(err) {
		return none, notFound[R](ref)
	}
	return r, err
}

// read reads one record by its key.
func read[R Record](ctx context.Context, s *Store, parent ID, id string) (R, error) {
	var none R
	key := s.keys.child(kindOf[R](), parent, id)
	resp, err := s.client.Get(ctx, key)
	if err != nil {
		return none, fmt.Errorf("read %s at key %s: %w", kindOf[R](), key, err)
	}
	if len(resp.Kvs) == 0 {
		return none, notFound[R](id)
	}
	r, corrupt := s.keys.decode(resp.Kvs[0])
	if corrupt != nil {
		return none, fmt.Errorf("read %s: %w", kindOf[R](), corrupt)
	}
	return r.(R), nil
}
