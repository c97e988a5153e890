package lease

import (
	"cmp"
	"slices"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"
)

// The model's upgrade must be the transaction that is sent.
func TestModelUpgradeIsTheTransaction(t *testing.T) {
	keys, err := newLayout("/r/")
	if err != nil {
		t.Fatal(err)
	}
	l := &Lock{
		s: &Session{keys: keys}, name: "n", ticket: "t", seat: "s.1", entry: Shared, mode: Shared, create: 5, shard: &shard{id: 7},
	}
	own := Entry{Key: keys.entry("n", Shared, "s.1"), Ticket: "t", Mode: Shared, Create: 5, Mod: 5, Rank: 5}
	waiter := Entry{Key: keys.entry("n", Exclusive, "s.2"), Ticket: "u", Mode: Exclusive, Create: 8, Mod: 9, Rank: 8}
	prefix := []clientv3.Cmp{
		clientv3.Compare(clientv3.CreateRevision(own.Key), "=", 5),
		clientv3.Compare(clientv3.CreateRevision("/r/locks/n/upgrade"), "=", 0),
		clientv3.Compare(clientv3.ModRevision("/r/locks/n/"), "<", 13).WithPrefix(),
	}
	for _, tt := range []struct {
		name    string
		view    Queue
		ifs     []clientv3.Cmp
		barrier int64
	}{
		{"nobody waits", Queue{Revision: 12, Entries: []Entry{own}}, prefix, 0},
		{"somebody waits", Queue{Revision: 12, Entries: []Entry{own, waiter}}, append(
			prefix[:3:3],
			clientv3.Compare(clientv3.CreateRevision(waiter.Key), "=", 8),
			clientv3.Compare(clientv3.ModRevision(waiter.Key), "=", 9),
		), 8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ifs, then := l.slotTxn(&tt.view)
			equal := func(a, b clientv3.Cmp) bool { return proto.Equal(a.GetCompare(), b.GetCompare()) }
			if !slices.EqualFunc(ifs, tt.ifs, equal) {
				t.Errorf("compares: got %v\nwant %v", ifs, tt.ifs)
			}
			put := then[len(then)-1]
			e := read(keys, "n", kv(string(put.KeyBytes()), string(put.ValueBytes()), 20), true)
			if want := cmp.Or(tt.barrier, 20); string(put.KeyBytes()) != "/r/locks/n/upgrade" || e.Ticket != "t" || e.barrier != want {
				t.Errorf("puts %s, ticket %q, barrier %d; want barrier %d", put.KeyBytes(), e.Ticket, e.barrier, want)
			}
		})
	}
}
