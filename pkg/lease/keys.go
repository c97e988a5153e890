package lease

import (
	"fmt"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// DefaultRoot is the prefix of all keys of one cluster of conductors.
const DefaultRoot = "/conductor/v1/"

// layout is the one home of this package's key names.
type layout struct{ root string }

func newLayout(root string) (layout, error) {
	switch {
	case root == "":
		root = DefaultRoot
	case !strings.HasSuffix(root, "/"):
		return layout{}, fmt.Errorf("etcd prefix %q must end in /", root)
	}
	return layout{root}, nil
}

func (l layout) locks() string                { return l.root + "locks/" }
func (l layout) queue(name string) string     { return l.root + "locks/" + name + "/" }
func (l layout) upgrade(name string) string   { return l.root + "locks/" + name + "/upgrade" }
func (l layout) intents() string              { return l.root + "intents/" }
func (l layout) intent(name string) string    { return l.root + "intents/" + name }
func (l layout) broken(name string) string    { return l.root + "locks-broken/" + name }
func (l layout) events(name string) string    { return l.root + "events/" + name + "/" }
func (l layout) conductor(host string) string { return l.root + "conductors/" + host }
func (l layout) client(session string) string { return l.root + "clients/" + session }
func (l layout) entry(n string, m Mode, seat string) string {
	return l.queue(n) + string(m) + "/" + seat
}

// watched is one range that holds the queues and the marks of broken locks, which sort just before
// them. One watch sees both, so that the deletion of an entry and its reason arrive together.
func (l layout) watched() (start, end string) { return l.root + "locks-", l.root + "locks0" }

// name returns whose queue a key belongs to.
func (l layout) name(key string) (string, bool) {
	rest, ok := strings.CutPrefix(key, l.locks())
	if !ok {
		return "", false
	}
	name, _, ok := strings.Cut(rest, "/")
	return name, ok && name != ""
}

func checkName(name string) error {
	if name == "" || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("lock name %q: want a non-empty name without /", name)
	}
	return nil
}

// maxText bounds each text of an entry: every session of the cluster mirrors it.
const maxText = 1024

func checkText(what, text string) error {
	if len(text) > maxText {
		return fmt.Errorf("lock %s of %d bytes: want at most %d", what, len(text), maxText)
	}
	return nil
}

// free is true when nobody holds a lock incompatible with m and nobody waits.
func (l layout) free(name string, m Mode) []clientv3.Cmp {
	q := l.queue(name)
	end := clientv3.GetPrefixRangeEnd(q)
	if m == Exclusive {
		return []clientv3.Cmp{none(q, end)}
	}
	shared := q + "shared/"
	return []clientv3.Cmp{none(q, shared+"\x00"), none(clientv3.GetPrefixRangeEnd(shared), end)}
}

// none is true when no key stands from one to before the other.
func none(from, to string) clientv3.Cmp {
	c := created(from, 0)
	c.GetCompare().RangeEnd = []byte(to)
	return c
}

// created is true when a key has this create revision, 0 if it does not stand. clientv3.Compare
// says the same with three copies more.
func created(key string, rev int64) (c clientv3.Cmp) {
	p := c.GetCompare()
	p.Key, p.Target, p.Result = []byte(key), pb.Compare_CREATE, pb.Compare_EQUAL
	p.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: rev}
	return c
}
