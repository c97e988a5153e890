package node

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// errNeverRead tells a caller that builds a change from a record of its own.
var errNeverRead = errors.New("record has no revision: read it from the store first")

// Create answers the change that adds a record that does not exist yet. It
// gives the record a uuid if it has none, normalizes and validates it, and
// stamps created_at; a record that breaks a rule is a *ValidationError. The
// node of a child record must exist, and so must the portgroup of a port and the
// chassis of a node.
func (k Keys) Create(r Record) (Change, error) {
	r.place("", uuid.NewString())
	r.Normalize()
	c := Change{What: fmt.Sprintf("create %s %s", r.Kind(), r.ID())}
	if err := r.Validate(); err != nil {
		return Change{}, fmt.Errorf("%s: %w", c.What, err)
	}
	m := r.meta()
	m.CreatedAt, m.UpdatedAt = now(), time.Time{}
	if r.Kind().child() {
		c.exists(k.Node(r.parent()), KindNode, string(r.parent()))
	}
	k.needPortgroup(&c, nil, r)
	k.needChassis(&c, nil, r)
	c.fresh(k.of(r), r)
	for _, ix := range r.indexes(k) {
		c.absent(r.Kind(), ix)
		c.Then = append(c.Then, clientv3.OpPut(ix.key, ix.value))
	}
	if err := c.put(k.of(r), r); err != nil {
		return Change{}, err
	}
	return c, nil
}

// Update answers the change that replaces old, as it was read, by updated,
// with those index keys that differ. It normalizes updated and stamps it:
// updated_at always, and for a node what hangs on the provision state. Only
// rules that old did not break already are enforced, so that a record with a
// flaw can still be saved. The change is refused as stale if the record is no
// longer at old.Revision. Set updated.WrittenBy before.
func (k Keys) Update(old, updated Record) (Change, error) {
	c := Change{What: fmt.Sprintf("update %s %s", old.Kind(), old.ID())}
	fail := func(err error) (Change, error) { return Change{}, fmt.Errorf("%s: %w", c.What, err) }
	updated.Normalize()
	if old.Kind() != updated.Kind() || old.ID() != updated.ID() {
		return fail(fmt.Errorf("cannot become %s %s: a uuid never changes", updated.Kind(), updated.ID()))
	}
	if old == updated {
		return fail(errors.New("old and updated are one record: clone it before you change it"))
	}
	if old.meta().Revision == 0 {
		return fail(errNeverRead)
	}
	if err := newProblems(old, updated); err != nil {
		return fail(err)
	}
	stamp(old, updated)
	from, to := k.of(old), k.of(updated)
	c.unchanged(from, old)
	if from != to {
		c.exists(k.Node(updated.parent()), KindNode, string(updated.parent()))
		c.Then = append(c.Then, clientv3.OpDelete(from))
	}
	k.needPortgroup(&c, old, updated)
	k.needChassis(&c, old, updated)
	c.reindex(updated.Kind(), old.indexes(k), updated.indexes(k))
	if err := c.put(to, updated); err != nil {
		return Change{}, err
	}
	return c, nil
}

// DeleteNode answers the change that removes a node, all that belongs to it
// and all their index keys, however many there are, in one transaction. It is
// refused as stale if the node changed or a record was added or changed after
// rs was read. The node's history below events/ goes too, since a later node may
// get the same uuid; locks and intents are not touched.
//
// Ironic: db/sqlalchemy/api.py, destroy_node.
func (k Keys) DeleteNode(rs *Records) (Change, error) {
	n := rs.Node
	c := Change{What: fmt.Sprintf("delete node %s", n.UUID)}
	if n.Revision == 0 {
		return Change{}, fmt.Errorf("%s: %w", c.What, errNeverRead)
	}
	c.unchanged(k.of(n), n)
	c.Then = append(c.Then, clientv3.OpDelete(k.of(n)))
	for _, ix := range n.indexes(k) {
		c.Then = append(c.Then, clientv3.OpDelete(ix.key))
	}
	for _, kind := range childKinds {
		prefix := k.child(kind, n.UUID, "")
		c.noneSince(prefix, rs.Revision)
		c.Then = append(c.Then, clientv3.OpDelete(prefix, clientv3.WithPrefix()))
	}
	c.Then = append(c.Then, clientv3.OpDelete(k.bootIndexPrefix(n.UUID), clientv3.WithPrefix()),
		clientv3.OpDelete(k.Events(n.UUID), clientv3.WithPrefix()))
	if ops := k.unindex(rs); len(ops) > 0 {
		c.Then = append(c.Then, clientv3.OpTxn(nil, nest(ops), nil))
	}
	return c, nil
}

// unindex removes the index keys of all children, each under the condition
// that the child still stands as it was read: the keys of one that went away
// in the meantime may belong to another record by now.
func (k Keys) unindex(rs *Records) []clientv3.Op {
	var ops []clientv3.Op
	for _, r := range rs.children() {
		var deletes []clientv3.Op
		for _, ix := range r.indexes(k) {
			deletes = append(deletes, clientv3.OpDelete(ix.key))
		}
		same := clientv3.Compare(clientv3.ModRevision(k.of(r)), "=", r.meta().Revision)
		ops = append(ops, clientv3.OpTxn([]clientv3.Cmp{same}, deletes, nil))
	}
	for _, e := range rs.Corrupt {
		if kind, _, uuid, ok := k.parse(e.Key); ok {
			there := clientv3.Compare(clientv3.CreateRevision(e.Key), ">", 0)
			gone := clientv3.OpDelete(k.index(indexNames[kind], uuid))
			ops = append(ops, clientv3.OpTxn([]clientv3.Cmp{there}, []clientv3.Op{gone}, nil))
		}
	}
	return ops
}

// Delete answers the change that removes a record of any kind but a node, with
// its index keys. It is refused as stale if the record changed. A portgroup that
// has ports in rs is an *InUseError, and one that may have got ports since is
// refused as stale; for other kinds rs may be nil. A chassis that has nodes by
// then is refused with an *InUseError.
func (k Keys) Delete(rs *Records, r Record) (Change, error) {
	c := Change{What: fmt.Sprintf("delete %s %s", r.Kind(), r.ID())}
	fail := func(err error) (Change, error) { return Change{}, fmt.Errorf("%s: %w", c.What, err) }
	if r.Kind() == KindNode {
		return fail(errors.New("a node goes with all that belongs to it: use DeleteNode"))
	}
	if r.meta().Revision == 0 {
		return fail(errNeverRead)
	}
	c.unchanged(k.of(r), r)
	if r.Kind() == KindPortgroup {
		if err := k.empty(&c, rs, r); err != nil {
			return fail(err)
		}
	}
	if r.Kind() == KindChassis {
		c.vacant(k.chassisPrefix(r.ID()), r)
	}
	c.Then = append(c.Then, clientv3.OpDelete(k.of(r)))
	for _, ix := range r.indexes(k) {
		c.Then = append(c.Then, clientv3.OpDelete(ix.key))
	}
	return c, nil
}

// needChassis demands the chassis that a node newly points to.
func (k Keys) needChassis(c *Change, old, r Record) {
	n, ok := r.(*Node)
	if !ok || n.ChassisUUID == "" {
		return
	}
	if o, ok := old.(*Node); ok && o.ChassisUUID == n.ChassisUUID {
		return
	}
	c.exists(k.child(KindChassis, "", n.ChassisUUID), KindChassis, n.ChassisUUID)
}

// needPortgroup demands the portgroup that a port newly points to.
func (k Keys) needPortgroup(c *Change, old, r Record) {
	p, ok := r.(*Port)
	if !ok || p.PortgroupUUID == "" {
		return
	}
	if o, ok := old.(*Port); ok && o.PortgroupUUID == p.PortgroupUUID && o.NodeUUID == p.NodeUUID {
		return
	}
	c.exists(k.child(KindPortgroup, p.NodeUUID, p.PortgroupUUID), KindPortgroup, p.PortgroupUUID)
}

// reindex replaces the index keys of a record by its new ones.
func (c *Change) reindex(kind Kind, old, updated []index) {
	for _, ix := range updated {
		at := slices.IndexFunc(old, func(o index) bool { return o.key == ix.key })
		if at < 0 {
			c.absent(kind, ix)
		}
		if at < 0 || old[at].value != ix.value {
			c.Then = append(c.Then, clientv3.OpPut(ix.key, ix.value))
		}
	}
	for _, o := range old {
		if !slices.ContainsFunc(updated, func(ix index) bool { return o.key == ix.key }) {
			c.Then = append(c.Then, clientv3.OpDelete(o.key))
		}
	}
}

// newProblems answers what is wrong with updated and was not with old.
func newProblems(old, updated Record) error {
	v, ok := errors.AsType[*ValidationError](updated.Validate())
	if !ok {
		return nil
	}
	fields := v.Fields
	if before, ok := errors.AsType[*ValidationError](old.Validate()); ok {
		fields = slices.DeleteFunc(fields, func(f FieldError) bool { return slices.Contains(before.Fields, f) })
	}
	return problems(fields).err()
}

// now answers the time as records keep it.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// stamp sets the times of an update, and gives back a slot that is not needed
// any more.
//
// Ironic: db/sqlalchemy/api.py, _do_update_node.
func stamp(old, updated Record) {
	at := now()
	m := updated.meta()
	m.CreatedAt, m.UpdatedAt = old.meta().CreatedAt, at
	o, ok := old.(*Node)
	n, _ := updated.(*Node)
	if ok {
		n.leaveSlot()
	}
	if !ok || o.ProvisionState == n.ProvisionState {
		return
	}
	n.ProvisionUpdatedAt = at
	inspected := o.ProvisionState == StateInspecting || o.ProvisionState == StateInspectWait
	switch {
	case n.ProvisionState == StateInspecting:
		n.InspectionStartedAt, n.InspectionFinishedAt = at, time.Time{}
	case n.ProvisionState == StateManageable && inspected:
		n.InspectionStartedAt, n.InspectionFinishedAt = time.Time{}, at
	case n.ProvisionState == StateInspectFailed:
		n.InspectionStartedAt = time.Time{}
	}
}
