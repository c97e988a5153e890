package node

import (
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Change is a write of records as parts of a transaction: a lock adds its own
// compares to If and its own writes to Then, or Store.Commit runs it alone.
// After a refusal, give the responses of the Else part to Explain; after a
// success, give the revision of the reply to Committed.
type Change struct {
	What string // for error texts: "update node <uuid>"
	If   []clientv3.Cmp
	Then []clientv3.Op
	Else []clientv3.Op // reads, in step with If

	checks  []func([]*mvccpb.KeyValue) error
	written []Record
}

// Explain answers why a refused transaction was refused, from the responses
// to c.Else (and only these: cut them out when the transaction carried other
// operations before or after them). Nil means that none of this change's
// compares can have failed, so the cause is another part of the transaction.
func (c Change) Explain(responses []*etcdserverpb.ResponseOp) error { panic("TODO") }

// Committed tells the records that the change wrote that they now stand at
// the revision of the successful transaction.
func (c Change) Committed(revision int64) { panic("TODO") }

// Merge answers one change that does all of these or nothing. No two of them
// may touch the same key.
func Merge(changes ...Change) Change { panic("TODO") }

// Create answers the change that adds a record that does not exist yet. It
// gives the record a uuid if it has none, normalizes and validates it, and
// stamps created_at. The node of a child record must exist.
func (k Keys) Create(r Record) (Change, error) { panic("TODO") }

// Update answers the change that replaces old, as it was read, by updated.
func (k Keys) Update(old, updated Record) (Change, error) { panic("TODO") }

// DeleteNode answers the change that removes a node, all that belongs to it
// and all its index keys.
func (k Keys) DeleteNode(rs *Records) (Change, error) { panic("TODO") }

// Delete answers the change that removes a port, portgroup, volume connector
// or volume target of the node.
func (k Keys) Delete(rs *Records, r Record) (Change, error) { panic("TODO") }
