package node

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// told writes an event in one word.
func told(e WatchEvent) string {
	switch e.Type {
	case WatchReset:
		return "reset"
	case WatchSynced:
		return "synced"
	case WatchDelete:
		return "delete " + string(e.Kind)
	}
	if e.Err != nil {
		return "corrupt " + string(e.Kind)
	}
	return "put " + string(e.Kind)
}

// pull starts a watch and answers a function that brings its next event.
func pull(t *testing.T, s *Store, from int64) func() WatchEvent {
	t.Helper()
	next, stop := iter.Pull2(s.Watch(t.Context(), from))
	t.Cleanup(stop)
	return func() WatchEvent {
		t.Helper()
		e, err, ok := next()
		if !ok || err != nil {
			t.Fatalf("got %v, %v", err, ok)
		}
		return e
	}
}

func wantTold(t *testing.T, next func() WatchEvent, want ...string) []WatchEvent {
	t.Helper()
	var got []string
	var events []WatchEvent
	for range want {
		e := next()
		got, events = append(got, told(e)), append(events, e)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	return events
}

func TestWatch(t *testing.T) {
	s := newStore(t)
	first := family(t, s, 1)
	next := pull(t, s, 0)
	events := wantTold(t, next, "reset", "put node", "put portgroup", "put port", "put volume connector", "put volume target", "synced")
	if diff := cmp.Diff(Record(first.Node), events[1].Record); diff != "" {
		t.Error(diff)
	}
	n := first.Node.Clone()
	n.PowerState = PowerOn
	rev := commit(t, s)(s.keys.Update(first.Node, n))
	if _, err := client.Put(t.Context(), s.keys.Root+"locks/x", "noise"); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Put(t.Context(), s.keys.Root+"nodes/x/y", "noise"); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Put(t.Context(), s.keys.Node("broken"), "{"); err != nil {
		t.Fatal(err)
	}
	commit(t, s)(s.keys.Delete(nil, first.Ports[0]))
	events = wantTold(t, next, "put node", "corrupt node", "delete port")
	if e := events[0]; e.Revision != rev || e.Node != n.UUID || e.UUID != string(n.UUID) || e.Record.(*Node).PowerState != PowerOn || e.Key != s.keys.Node(n.UUID) {
		t.Errorf("got %+v", e)
	}
	if e := events[2]; e.UUID != first.Ports[0].UUID || e.Node != n.UUID || e.Record != nil {
		t.Errorf("got %+v", e)
	}
	// Another watch resumes with the revision of the update.
	wantTold(t, pull(t, s, rev), "put node", "corrupt node", "delete port")
}

// TestWatchAfterCompaction resumes from a revision that is gone.
func TestWatchAfterCompaction(t *testing.T) {
	s := newStore(t)
	n := add(t, s, &Node{Driver: "d"})
	m := n.Clone()
	m.Extra = Object{"a": 1}
	rev := commit(t, s)(s.keys.Update(n, m))
	if _, err := client.Compact(t.Context(), rev); err != nil {
		t.Fatal(err)
	}
	next := pull(t, s, n.Revision)
	events := wantTold(t, next, "reset", "put node", "synced")
	if events[1].Revision != rev || events[2].Revision < rev {
		t.Errorf("got %+v", events)
	}
	add(t, s, &Port{NodeUUID: n.UUID, Address: mac(1)})
	wantTold(t, next, "put port")
}

func TestWatchEnds(t *testing.T) {
	s := newStore(t)
	add(t, s, &Node{Driver: "d"})
	// The consumer leaves at each possible point of the list.
	for stop := range 3 {
		seen := 0
		for _, err := range s.Watch(t.Context(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			if seen++; seen > stop {
				break
			}
		}
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var errs []error
	for e, err := range s.Watch(ctx, 0) {
		if err != nil {
			errs = append(errs, err)
		} else if e.Type == WatchSynced {
			cancel(cause)
		}
	}
	if len(errs) != 1 || !errors.Is(errs[0], cause) {
		t.Errorf("got %v", errs)
	}
}

// TestSpanHoldsRecordsOnly: the one range that is watched holds nodes, all that
// belongs to them, and no directory of the root that is not of records.
func TestSpanHoldsRecordsOnly(t *testing.T) {
	k := Keys{Root: "/conductor/v1/"}
	from, to := k.span()
	in := func(key string) bool { return key >= from && key < to }
	for _, r := range allKinds() {
		if r.Kind() == KindNode {
			r.(*Node).UUID = "zz"
		}
		r.place("zz", "zz")
		if !in(k.of(r)) && (r.Kind() == KindNode || r.Kind().child()) {
			t.Errorf("%s is outside", k.of(r))
		}
	}
	for _, dir := range []string{"conductors", "election", "events", "index", "intents", "locks", "meta"} {
		if in(k.Root + dir + "/~") {
			t.Errorf("%s is inside", dir)
		}
	}
}

func BenchmarkList(b *testing.B) {
	s := NewStore(client, "/bench/"+fmt.Sprint(b.N))
	var ops []clientv3.Op
	for i := range 1000 {
		n := &Node{UUID: ID(fmt.Sprintf("%08d", i)), Driver: "redfish", DriverInfo: Object{"redfish_address": "https://bmc", "redfish_password": "x"}}
		v, err := encode(n)
		if err != nil {
			b.Fatal(err)
		}
		ops = append(ops, clientv3.OpPut(s.keys.Node(n.UUID), v))
	}
	for part := range slices.Chunk(ops, maxOps) {
		if _, err := client.Txn(b.Context()).Then(part...).Commit(); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if page, err := s.Nodes(b.Context(), ListRequest[*Node]{}); err != nil || len(page.Items) != 1000 {
			b.Fatal(err)
		}
	}
}
