package lease

import (
	"bytes"
	"hash/maphash"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// claims are the keys and directories (ranges of a prefix that ends in a slash) that a batch reads
// and writes. They are kept as hashes: two that are equal by chance part what could travel
// together, and do no harm.
type claims struct {
	root  string
	locks []byte // the directory of the queues
	seed  maphash.Seed
	at    map[uint64]claim
}

type claim uint64

const (
	reads claim = 1 << iota
	writes
	readsBelow // a key or a directory below this one
	writesBelow
)

// clashes is which claims of others a claim cannot stand beside.
var clashes = [...]claim{
	reads: writes | writesBelow, writes: reads | writes | readsBelow | writesBelow,
	readsBelow: writes, writesBelow: reads | writes,
}

// mark is one claim of a transaction: the hash of a key, whose lowest bits say what is claimed.
type mark uint64

const kinds = 1<<4 - 1

func (m mark) at() uint64 { return uint64(m) &^ kinds }
func (m mark) is() claim  { return claim(m) & kinds }

func newClaims(keys layout) claims {
	return claims{root: keys.root, locks: []byte(keys.locks()), seed: maphash.MakeSeed(), at: map[uint64]claim{}}
}

func (c *claims) clear() { clear(c.at) }

// add notes the claims of a transaction and reports whether it clashes with none before it.
func (c *claims) add(ms []mark) (ok bool) {
	ok = true
	for _, m := range ms {
		if c.at[m.at()]&clashes[m.is()] != 0 {
			ok = false
			break
		}
	}
	for _, m := range ms {
		c.at[m.at()] |= m.is()
	}
	return ok
}

// of returns the claims of a transaction. A range that is in no directory below the root is not ok:
// with that, the transaction travels alone.
func (c *claims) of(t txn) (ms []mark, ok bool) {
	ms = make([]mark, 0, 24)
	ok = c.ops(&ms, t.ifs, t.then, t.els)
	return ms, ok
}

func (c *claims) ops(ms *[]mark, ifs []clientv3.Cmp, branches ...[]clientv3.Op) bool {
	for i := range ifs {
		cmp := ifs[i].GetCompare()
		if !c.span(ms, cmp.Key, cmp.RangeEnd, reads, readsBelow) {
			return false
		}
	}
	for _, ops := range branches {
		for _, o := range ops {
			ok := true
			switch {
			case o.IsTxn():
				i, t, e := o.Txn()
				ok = c.ops(ms, i, t, e)
			case o.IsGet():
				ok = c.span(ms, o.KeyBytes(), o.RangeBytes(), reads, readsBelow)
			default:
				ok = c.span(ms, o.KeyBytes(), o.RangeBytes(), writes, writesBelow)
			}
			if !ok {
				return false
			}
		}
	}
	return true
}

// span marks a key or directory, and the directories above it up to the root. A range that is part
// of a directory counts as the whole of it, and so does each key of a queue: two who enter one at the
// same revision would have no order.
func (c *claims) span(ms *[]mark, key, end []byte, here, above claim) bool {
	if end != nil && !isDirectory(key, end) {
		key = commonDirectory(key, end)
	}
	if rest, ok := bytes.CutPrefix(key, c.locks); ok {
		if n := bytes.IndexByte(rest, '/'); n >= 0 {
			key = key[:len(c.locks)+n+1]
		}
	}
	top := 0
	switch {
	case len(key) > len(c.root) && string(key[:len(c.root)]) == c.root:
		top = len(c.root)
	case len(key) == 0 || end != nil:
		return false
	}
	c.mark(ms, key, here)
	for i := top; ; i++ {
		n := bytes.IndexByte(key[i:len(key)-1], '/')
		if n < 0 {
			return true
		}
		i += n
		c.mark(ms, key[:i+1], above)
	}
}

func isDirectory(key, end []byte) bool {
	last := len(key) - 1
	return last >= 0 && len(end) == len(key) && key[last] == '/' && end[last] == '/'+1 && bytes.Equal(key[:last], end[:last])
}

// commonDirectory is the innermost one that has all keys from one to before the other, nil without one.
func commonDirectory(from, to []byte) []byte {
	n := 0
	for n < len(from) && n < len(to) && from[n] == to[n] {
		n++
	}
	if n < len(from) && from[n] == '/' && len(to) == n+1 && to[n] == '/'+1 { // up to the end of that directory
		return from[:n+1]
	}
	return from[:bytes.LastIndexByte(from[:n], '/')+1]
}

func (c *claims) mark(ms *[]mark, key []byte, is claim) {
	m := mark(maphash.Bytes(c.seed, key)&^kinds | uint64(is))
	if !slices.Contains(*ms, m) {
		*ms = append(*ms, m)
	}
}
