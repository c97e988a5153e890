package leasetest

import (
	"hash/fnv"
	"iter"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// tree is an immutable map from key to pair, in the order of the keys. Every
// change returns a new tree that shares what stayed the same, so each
// revision can keep a tree of its own. It is a treap: ordered by key, a heap
// by priority, and the priority is a hash of the key. Nil is the empty tree.
type tree struct {
	key         string
	priority    uint64
	kv          *mvccpb.KeyValue
	left, right *tree
}

// span is a set of keys as etcd's requests describe one: a single key, the
// keys from start up to but without end, or all keys from start.
type span struct {
	start, end   string
	single, open bool
}

// newSpan reads the key and the range_end of a request.
func newSpan(key, end []byte) span {
	return span{
		start:  string(key),
		end:    string(end),
		single: len(end) == 0,
		open:   len(end) == 1 && end[0] == 0,
	}
}

func (s span) contains(key string) bool {
	switch {
	case s.single:
		return key == s.start
	case s.open:
		return key >= s.start
	}
	return key >= s.start && key < s.end
}

// beyond reports whether key and all that follow it are past the span.
func (s span) beyond(key string) bool {
	switch {
	case s.single:
		return key >= s.start
	case s.open:
		return false
	}
	return key >= s.end
}

func priority(key string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key)) // never fails
	// FNV leaves the high bits of short keys alike; fold them.
	sum := h.Sum64() * 0x9e3779b97f4a7c15
	return sum ^ sum>>32
}

// at returns the pair of a key, or nil.
func (t *tree) at(key string) *mvccpb.KeyValue {
	for t != nil && t.key != key {
		if key < t.key {
			t = t.left
		} else {
			t = t.right
		}
	}
	if t == nil {
		return nil
	}
	return t.kv
}

// in walks the pairs of a span in the order of their keys.
func (t *tree) in(s span) iter.Seq[*mvccpb.KeyValue] {
	return func(yield func(*mvccpb.KeyValue) bool) { t.walk(s, yield) }
}

func (t *tree) walk(s span, yield func(*mvccpb.KeyValue) bool) bool {
	if t == nil {
		return true
	}
	if t.key > s.start && !t.left.walk(s, yield) {
		return false
	}
	if s.contains(t.key) && !yield(t.kv) {
		return false
	}
	return s.beyond(t.key) || t.right.walk(s, yield)
}

// with returns the tree in which kv stands at its key.
func (t *tree) with(kv *mvccpb.KeyValue) *tree {
	key := string(kv.Key)
	return t.insert(&tree{key: key, priority: priority(key), kv: kv})
}

func (t *tree) insert(n *tree) *tree {
	switch {
	case t == nil:
		return n
	case n.key == t.key:
		n.left, n.right = t.left, t.right
		return n
	case n.priority > t.priority:
		// Heap order: the key cannot stand further down.
		n.left, n.right = t.split(n.key)
		return n
	}
	c := *t
	if n.key < t.key {
		c.left = t.left.insert(n)
	} else {
		c.right = t.right.insert(n)
	}
	return &c
}

// split parts the tree into the keys below key and the rest.
func (t *tree) split(key string) (below, rest *tree) {
	if t == nil {
		return nil, nil
	}
	c := *t
	if t.key < key {
		c.right, rest = t.right.split(key)
		return &c, rest
	}
	below, c.left = t.left.split(key)
	return below, &c
}

// without returns the tree in which key does not stand.
func (t *tree) without(key string) *tree {
	if t == nil {
		return nil
	}
	if key == t.key {
		return join(t.left, t.right)
	}
	c := *t
	if key < t.key {
		c.left = t.left.without(key)
	} else {
		c.right = t.right.without(key)
	}
	return &c
}

// join unites two trees; all keys of a are below all keys of b.
func join(a, b *tree) *tree {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	if a.priority > b.priority {
		c := *a
		c.right = join(a.right, b)
		return &c
	}
	c := *b
	c.left = join(a, b.left)
	return &c
}
