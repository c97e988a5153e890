package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// batch is how many records one request of a list brings at most.
const batch = 500

// ListRequest says which records a list wants. The zero value wants all.
type ListRequest[R Record] struct {
	Node   ID           // only records of this node; "" means of all
	Limit  int          // at most so many; 0 or less means all
	Marker string       // only records after the one with this uuid; "" means from the start
	Match  func(R) bool // only records that it likes; nil means all
	// MaxAge is how long ago the answer may have been true; 0 means that it is
	// as of the call. Only a Cache has answers of an age.
	MaxAge time.Duration
}

// Page is one page of a list, read at one revision.
type Page[R Record] struct {
	Items []R
	// Corrupt lists what lay between the items and could not be understood;
	// it does not count for the limit.
	Corrupt []*CorruptError
	// Next is the marker of the next page. "" means that this is the last
	// one; with a Match, a next page may turn out empty.
	Next     string
	Revision int64
	AsOf     time.Time // the page was true then or later, by this process's clock
	Cached   bool      // it comes from a copy; its items must not be changed
}

// Nodes lists nodes in the order of their uuids. A marker whose node has gone
// still marks its place.
//
// Ironic: db/sqlalchemy/api.py, get_node_list.
func (s *Store) Nodes(ctx context.Context, q ListRequest[*Node]) (*Page[*Node], error) {
	return list(ctx, s, q)
}

// Ports lists ports in the order of their nodes' and their own uuids. A
// marker without Node must still exist, or it is a *NotFoundError.
func (s *Store) Ports(ctx context.Context, q ListRequest[*Port]) (*Page[*Port], error) {
	return list(ctx, s, q)
}

// Portgroups lists portgroups in the order that Ports has.
func (s *Store) Portgroups(ctx context.Context, q ListRequest[*Portgroup]) (*Page[*Portgroup], error) {
	return list(ctx, s, q)
}

// VolumeConnectors lists volume connectors in the order that Ports has.
func (s *Store) VolumeConnectors(ctx context.Context, q ListRequest[*VolumeConnector]) (*Page[*VolumeConnector], error) {
	return list(ctx, s, q)
}

// VolumeTargets lists volume targets in the order that Ports has.
func (s *Store) VolumeTargets(ctx context.Context, q ListRequest[*VolumeTarget]) (*Page[*VolumeTarget], error) {
	return list(ctx, s, q)
}

// list reads a page, anew if a compaction takes its revision away.
func list[R Record](ctx context.Context, s *Store, q ListRequest[R]) (*Page[R], error) {
	prefix := s.keys.all(kindOf[R]())
	if q.Node != "" {
		prefix = s.keys.child(kindOf[R](), q.Node, "")
	}
	from, err := start(ctx, s, q, prefix)
	if err != nil {
		return nil, err
	}
	for {
		page, err := readPage(ctx, s, q, from, clientv3.GetPrefixRangeEnd(prefix))
		if errors.Is(err, rpctypes.ErrCompacted) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list below key %s: %w", prefix, err)
		}
		return page, nil
	}
}

// start answers the first key that a list may bring.
func start[R Record](ctx context.Context, s *Store, q ListRequest[R], prefix string) (string, error) {
	if q.Marker == "" {
		return prefix, nil
	}
	parent, kind := q.Node, kindOf[R]()
	if kind.child() && parent == "" {
		r, err := find[R](ctx, s, q.Marker, s.keys.index(indexNames[kind], q.Marker))
		if err != nil {
			return "", fmt.Errorf("marker: %w", err)
		}
		parent = r.parent()
	}
	return s.keys.child(kind, parent, q.Marker) + "\x00", nil
}

func readPage[R Record](ctx context.Context, s *Store, q ListRequest[R], from, end string) (*Page[R], error) {
	page := &Page[R]{Items: []R{}, AsOf: time.Now()}
	size := batch
	if q.Match == nil && q.Limit > 0 {
		size = min(batch, q.Limit)
	}
	for {
		resp, err := s.client.Get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(int64(size)),
			clientv3.WithRev(page.Revision))
		if err != nil {
			return nil, err
		}
		if page.Revision == 0 {
			page.Revision = resp.Header.Revision
		}
		for i, kv := range resp.Kvs {
			r, corrupt := s.keys.decode(kv)
			take(page, q.Match, r, corrupt)
			if q.Limit > 0 && len(page.Items) == q.Limit {
				if resp.More || i < len(resp.Kvs)-1 {
					page.Next = page.Items[q.Limit-1].ID()
				}
				return page, nil
			}
		}
		if !resp.More {
			return page, nil
		}
		from = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
	}
}

// take adds one record to the page, or what is known of one that cannot be read.
func take[R Record](page *Page[R], match func(R) bool, r Record, corrupt *CorruptError) {
	switch {
	case corrupt != nil:
		page.Corrupt = append(page.Corrupt, corrupt)
	case match == nil || match(r.(R)):
		page.Items = append(page.Items, r.(R))
	}
}

func kindOf[R Record]() Kind {
	var r R
	return r.Kind()
}

func notFound[R Record](ref string) error { return &NotFoundError{Kind: kindOf[R](), Ref: ref} }

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }
