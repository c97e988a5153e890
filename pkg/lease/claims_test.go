package lease

import (
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// What may travel together, by what each reads and writes.
func TestClaims(t *testing.T) {
	put := func(key string) txn { return txn{then: []clientv3.Op{clientv3.OpPut(key, "v")}} }
	get := func(key string, opts ...clientv3.OpOption) txn {
		return txn{then: []clientv3.Op{clientv3.OpGet(key, opts...)}}
	}
	remove := func(from, to string) txn {
		return txn{then: []clientv3.Op{clientv3.OpDelete(from, clientv3.WithRange(to))}}
	}
	prefix := clientv3.WithPrefix()
	for _, tt := range []struct {
		name     string
		a, b     txn
		together bool
	}{
		{"two keys", put("/r/nodes/a"), put("/r/nodes/b"), true},
		{"one key", put("/r/nodes/a"), put("/r/nodes/a"), false},
		{"readers of one key", get("/r/nodes/a"), get("/r/nodes/a"), true},
		{"a key and who reads it", put("/r/nodes/a"), get("/r/nodes/a"), false},
		{"a key that another compares", put("/r/nodes/a"), txn{ifs: []clientv3.Cmp{created("/r/nodes/a", 7)}}, false},
		{"a key in a branch not taken", put("/r/nodes/a"), txn{els: put("/r/nodes/a").then}, false},
		{"a key in a nested transaction", put("/r/nodes/a"), txn{then: []clientv3.Op{clientv3.OpTxn(nil, put("/r/nodes/a").then, nil)}}, false},
		{"a key and its directory", put("/r/locks/a/x/1"), get("/r/locks/a/", prefix), false},
		{"a key and another directory", put("/r/locks/a/x/1"), get("/r/locks/b/", prefix), true},
		{"two who enter one queue", put("/r/locks/a/exclusive/1"), put("/r/locks/a/exclusive/2"), false},
		{"two who enter two queues", put("/r/locks/a/exclusive/1"), put("/r/locks/b/exclusive/2"), true},
		{"a key whose name begins alike", put("/r/locks/ab/1"), get("/r/locks/a/", prefix), true},
		{"a directory in a directory", remove("/r/locks/a/x/", "/r/locks/a/x0"), get("/r/locks/", prefix), false},
		{"part of a directory", put("/r/events/a/5"), remove("/r/events/a/", "/r/events/a/3"), false},
		{"part of another directory", put("/r/events/b/5"), remove("/r/events/a/", "/r/events/a/3"), true},
		{"the end of a directory", put("/r/locks/a/x/1"), get("/r/locks/a/y", clientv3.WithRange("/r/locks/a0")), false},
		{"the end of another directory", put("/r/locks/b/x/1"), get("/r/locks/a/y", clientv3.WithRange("/r/locks/a0")), true},
		{"whose turn it is in another queue", put("/r/locks/b/exclusive/1"), txn{then: (&Lock{s: &Session{keys: layout{"/r/"}}, name: "a"}).headReads()}, true},
		{"a range over two directories", put("/r/events/b/5"), remove("/r/events/a/1", "/r/events/c/3"), false},
		{"outside of the root", put("/other/a"), put("/r/nodes/a"), true},
		{"one key outside of the root", put("/other/a"), put("/other/a"), false},
	} {
		for i, pair := range [][2]txn{{tt.a, tt.b}, {tt.b, tt.a}} {
			c := newClaims(layout{"/r/"})
			a, okA := c.of(pair[0])
			b, okB := c.of(pair[1])
			if !okA || !okB {
				t.Errorf("%s: must travel alone", tt.name)
			}
			if first, got := c.add(a), c.add(b); !first || got != tt.together {
				t.Errorf("%s (%d): together = %v, want %v", tt.name, i, got, tt.together)
			}
		}
	}
	c := newClaims(layout{"/r/"})
	for name, x := range map[string]txn{
		"everything": get("", clientv3.WithFromKey()), "the root": get("/r/", prefix), "above the root": get("/", prefix),
		"a prefix that is no directory": get("/r/no", prefix), "across the root": remove("/q", "/s"),
	} {
		if _, ok := c.of(x); ok {
			t.Errorf("%s can be in a batch", name)
		}
	}
}
