package node

import (
	"context"
	"iter"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Store reads records, and writes those changes that need no lock.
type Store struct {
	client *clientv3.Client
	keys   Keys
}

// NewStore answers a store on the client with all keys below root, for
// example "/conductor/v1/".
func NewStore(client *clientv3.Client, root string) *Store { return &Store{client, Keys{Root: root}} }

// Keys answers the layout that the store uses.
func (s *Store) Keys() Keys { return s.keys }

// ListRequest says which records a list wants.
type ListRequest[R Record] struct {
	Node   ID           // only records of this node; "" means of all
	Limit  int          // at most so many; 0 means all
	Marker string       // only records after the one with this uuid; "" means from the start
	Match  func(R) bool // only records that it likes; nil means all
}

// Page is one page of a list, read at one revision.
type Page[R Record] struct {
	Items    []R
	Corrupt  []*CorruptError // what lay between the items and could not be read
	Next     string          // marker for the next page; "" means that there is none
	Revision int64
}

// Commit runs a change alone.
func (s *Store) Commit(ctx context.Context, c Change) (int64, error) { panic("TODO") }

// Create adds a record without a lock.
func (s *Store) Create(ctx context.Context, r Record) error { panic("TODO") }

// Node reads one node by its uuid.
func (s *Store) Node(ctx context.Context, id ID) (*Node, error) { panic("TODO") }

// Find reads one node by its uuid or its name.
func (s *Store) Find(ctx context.Context, ref string) (*Node, error) { panic("TODO") }

// ByInstance reads the node that runs an instance.
func (s *Store) ByInstance(ctx context.Context, instance string) (*Node, error) { panic("TODO") }

// Records reads a node and all that belongs to it at one revision.
func (s *Store) Records(ctx context.Context, id ID) (*Records, error) { panic("TODO") }

// Port reads one port by its uuid, its MAC or its name.
func (s *Store) Port(ctx context.Context, ref string) (*Port, error) { panic("TODO") }

// Portgroup reads one portgroup by its uuid, its MAC or its name.
func (s *Store) Portgroup(ctx context.Context, ref string) (*Portgroup, error) { panic("TODO") }

// VolumeConnector reads one volume connector by its uuid.
func (s *Store) VolumeConnector(ctx context.Context, uuid string) (*VolumeConnector, error) {
	panic("TODO")
}

// VolumeTarget reads one volume target by its uuid.
func (s *Store) VolumeTarget(ctx context.Context, uuid string) (*VolumeTarget, error) { panic("TODO") }

// Nodes lists nodes in the order of their uuids.
func (s *Store) Nodes(ctx context.Context, q ListRequest[*Node]) (*Page[*Node], error) { panic("TODO") }

// Ports lists ports in the order of node and uuid.
func (s *Store) Ports(ctx context.Context, q ListRequest[*Port]) (*Page[*Port], error) { panic("TODO") }

// Portgroups lists portgroups in the order of node and uuid.
func (s *Store) Portgroups(ctx context.Context, q ListRequest[*Portgroup]) (*Page[*Portgroup], error) {
	panic("TODO")
}

// VolumeConnectors lists volume connectors in the order of node and uuid.
func (s *Store) VolumeConnectors(ctx context.Context, q ListRequest[*VolumeConnector]) (*Page[*VolumeConnector], error) {
	panic("TODO")
}

// VolumeTargets lists volume targets in the order of node and uuid.
func (s *Store) VolumeTargets(ctx context.Context, q ListRequest[*VolumeTarget]) (*Page[*VolumeTarget], error) {
	panic("TODO")
}

// WatchType says what a WatchEvent tells.
type WatchType int

// What a WatchEvent can tell.
const (
	WatchPut    WatchType = iota // a record was written; Record or Err is set
	WatchDelete                  // a record is gone
	WatchReset                   // forget everything: all records follow as puts
	WatchSynced                  // all records that existed at Revision have been told
)

// WatchEvent is one thing that happened to a record.
type WatchEvent struct {
	Type     WatchType
	Key      string
	Kind     Kind
	Node     ID     // the node, or the one that the record belongs to
	UUID     string // the record's own uuid
	Record   Record // nil unless put and readable
	Err      *CorruptError
	Revision int64
}

// Watch tells every change of every record, in order, from a revision on.
func (s *Store) Watch(ctx context.Context, from int64) iter.Seq2[WatchEvent, error] { panic("TODO") }
