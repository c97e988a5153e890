package events

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/conductor-metal/conductor/pkg/node"
)

// Event is one event as it is stored.
type Event struct {
	ID   string
	Type string
	Node node.ID // the node that it is about; empty: none
	JSON []byte  // the whole, in one line
}

// Batch is all events of one revision that a filter lets through. An empty one
// says that there is none up to its revision.
type Batch struct {
	Revision int64
	Events   []Event
}

// Filter says which events are wanted. The zero Filter wants all.
type Filter struct {
	Node node.ID // those of one node
	Type string  // those whose type begins so, with or without "baremetal."
}

// commonType begins the types that Ironic has too.
const commonType = "baremetal."

func (f Filter) wants(e Event) bool {
	if f.Node != "" && e.Node != f.Node {
		return false
	}
	return strings.HasPrefix(e.Type, f.Type) || strings.HasPrefix(strings.TrimPrefix(e.Type, commonType), f.Type)
}

// decode reads an event. What others have put below events/ and is none, is
// passed over: nothing of it may get into a stream whose lines mean something.
func decode(value []byte) (Event, bool) {
	var head struct {
		ID, Type string
		Node     node.ID
	}
	if json.Unmarshal(value, &head) != nil || head.ID == "" || head.Type == "" || strings.ContainsFunc(head.Type, unicode.IsControl) {
		return Event{}, false
	}
	var line bytes.Buffer
	if json.Compact(&line, value) != nil {
		return Event{}, false
	}
	return Event{ID: head.ID, Type: head.Type, Node: head.Node, JSON: line.Bytes()}, true
}

// batch makes a batch of the key-values of one revision.
func (f Filter) batch(revision int64, kvs []*mvccpb.KeyValue) Batch {
	b := Batch{Revision: revision}
	for _, kv := range kvs {
		if e, ok := decode(kv.Value); ok && f.wants(e) {
			b.Events = append(b.Events, e)
		}
	}
	// In the order in which they were told, whatever order etcd reads them in.
	slices.SortStableFunc(b.Events, func(a, b Event) int { return strings.Compare(a.ID, b.ID) })
	return b
}
