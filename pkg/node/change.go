package node

import (
	"fmt"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// maxOps is the most operations that one level of a transaction gets here;
// etcd's own limit is 128, and a lock needs a few for itself.
const maxOps = 100

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

// String answers what the change is, without the values that it writes.
func (c Change) String() string { return c.What }

// GoString is String: a value may hold secrets.
func (c Change) GoString() string { return c.What }

// Explain answers why a refused transaction was refused, from the responses
// to c.Else (and only these: cut them out when the transaction carried other
// operations before or after them). Nil means that none of this change's
// compares can have failed, so the cause is another part of the transaction.
// The cause is a *NotFoundError, a *DuplicateError or a *StaleError, wrapped
// with what the change is.
func (c Change) Explain(responses []*etcdserverpb.ResponseOp) error {
	if len(responses) != len(c.checks) {
		return fmt.Errorf("%s: refused, and there are %d responses to explain it instead of %d",
			c.What, len(responses), len(c.checks))
	}
	for i, check := range c.checks {
		if err := check(responses[i].GetResponseRange().GetKvs()); err != nil {
			return fmt.Errorf("%s: %w", c.What, err)
		}
	}
	return nil
}

// Committed tells the records that the change wrote that they now stand at
// the revision of the successful transaction.
func (c Change) Committed(revision int64) {
	for _, r := range c.written {
		r.meta().Revision = revision
	}
}

// Merge answers one change that does all of these or nothing. No two of them
// may touch the same key, so a MAC or a name cannot go from one record to
// another in one merge; and etcd takes about a hundred compares.
func Merge(what string, changes ...Change) Change {
	m := Change{What: what}
	for _, c := range changes {
		m.If = append(m.If, c.If...)
		m.Then = append(m.Then, c.Then...)
		m.Else = append(m.Else, c.Else...)
		m.checks = append(m.checks, c.checks...)
		m.written = append(m.written, c.written...)
	}
	return m
}

func (c *Change) guard(cmp clientv3.Cmp, read clientv3.Op, check func([]*mvccpb.KeyValue) error) {
	c.If = append(c.If, cmp)
	c.Else = append(c.Else, read)
	c.checks = append(c.checks, check)
}

// exists demands that a record is there.
func (c *Change) exists(key string, kind Kind, ref string) {
	c.guard(clientv3.Compare(clientv3.CreateRevision(key), ">", 0), clientv3.OpGet(key, clientv3.WithKeysOnly()),
		func(kvs []*mvccpb.KeyValue) error {
			if len(kvs) == 0 {
				return &NotFoundError{Kind: kind, Ref: ref}
			}
			return nil
		})
}

// absent demands that a unique value is free.
func (c *Change) absent(kind Kind, ix index) {
	c.guard(clientv3.Compare(clientv3.CreateRevision(ix.key), "=", 0), clientv3.OpGet(ix.key),
		func(kvs []*mvccpb.KeyValue) error {
			if len(kvs) == 0 {
				return nil
			}
			return &DuplicateError{Kind: kind, Field: ix.field, Value: ix.shown, Owner: string(kvs[0].Value)}
		})
}

// fresh demands that the key of a new record is free.
func (c *Change) fresh(key string, r Record) {
	c.guard(clientv3.Compare(clientv3.CreateRevision(key), "=", 0), clientv3.OpGet(key, clientv3.WithKeysOnly()),
		func(kvs []*mvccpb.KeyValue) error {
			if len(kvs) == 0 {
				return nil
			}
			return &DuplicateError{Kind: r.Kind(), Field: "uuid", Value: r.ID(), Owner: string(r.parent())}
		})
}

// unchanged demands that a record still is as it was read.
func (c *Change) unchanged(key string, r Record) {
	want, kind, ref := r.meta().Revision, r.Kind(), r.ID()
	c.guard(clientv3.Compare(clientv3.ModRevision(key), "=", want), clientv3.OpGet(key, clientv3.WithKeysOnly()),
		func(kvs []*mvccpb.KeyValue) error {
			if len(kvs) == 0 {
				return &NotFoundError{Kind: kind, Ref: ref}
			}
			if have := kvs[0].ModRevision; have != want {
				return &StaleError{Key: key, Have: have, Want: want}
			}
			return nil
		})
}

// noneSince demands that no key of the prefix is newer than the revision. A
// key that went away in the meantime does not matter.
func (c *Change) noneSince(prefix string, revision int64) {
	newest := clientv3.OpGet(prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly(),
		clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortDescend), clientv3.WithLimit(1))
	c.guard(clientv3.Compare(clientv3.ModRevision(prefix), "<", revision+1).WithPrefix(), newest,
		func(kvs []*mvccpb.KeyValue) error {
			if len(kvs) > 0 && kvs[0].ModRevision > revision {
				return &StaleError{Key: string(kvs[0].Key), Have: kvs[0].ModRevision, Want: revision}
			}
			return nil
		})
}

// maxUsers is how many of those that use a record an *InUseError names.
const maxUsers = 10

// vacant demands that no index key points to the record.
func (c *Change) vacant(prefix string, r Record) {
	kind, id := r.Kind(), r.ID()
	c.guard(clientv3.Compare(clientv3.CreateRevision(prefix), "=", 0).WithPrefix(),
		clientv3.OpGet(prefix, clientv3.WithPrefix(), clientv3.WithLimit(maxUsers)),
		func(kvs []*mvccpb.KeyValue) error {
			if len(kvs) == 0 {
				return nil
			}
			e := &InUseError{Kind: kind, UUID: id}
			for _, kv := range kvs {
				e.By = append(e.By, string(kv.Value))
			}
			return e
		})
}

// put writes a record and remembers it for Committed.
func (c *Change) put(key string, r Record) error {
	value, err := encode(r)
	if err != nil {
		return fmt.Errorf("%s: %w", c.What, err)
	}
	c.Then = append(c.Then, clientv3.OpPut(key, value))
	c.written = append(c.written, r)
	return nil
}

// nest packs operations so that no level of the transaction has more than
// maxOps of them.
func nest(ops []clientv3.Op) []clientv3.Op {
	for len(ops) > maxOps {
		var outer []clientv3.Op
		for len(ops) > 0 {
			n := min(maxOps, len(ops))
			outer = append(outer, clientv3.OpTxn(nil, ops[:n:n], nil))
			ops = ops[n:]
		}
		ops = outer
	}
	return ops
}
