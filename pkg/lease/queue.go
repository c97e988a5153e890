package lease

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Mode says how a lock may be shared.
type Mode string

// Shared is compatible with Shared; nothing else is compatible.
const (
	Shared    Mode = "shared"
	Exclusive Mode = "exclusive"
)

// Entry is one place in the queue of a name: somebody who holds the lock or waits for it.
type Entry struct {
	Name    string // the name that is locked
	Key     string // the etcd key of the entry
	Ticket  string // unique per acquisition; empty for a foreign entry
	Mode    Mode
	Holder  string // who: the host name of the conductor
	Purpose string // for what
	Task    string // the task's id
	User    string // on whose behalf
	Session string
	Since   time.Time     // when it entered the queue, by the holder's clock
	TTL     time.Duration // of the holder's lease: how long the entry outlives a dead holder at most, less an election
	Lease   clientv3.LeaseID
	Create  int64 // create revision of the key: the fence
	Mod     int64 // mod revision of the key
	Rank    int64 // the place: Create, unless the entry kept an older place
	Foreign bool  // not written by this package, for example by "etcdctl lock"
}

// Upgrade is the conversion slot of a name: a shared holder becomes, or has become, its exclusive holder.
type Upgrade struct {
	Entry         // the slot's own key; Ticket names the shared entry that owns it
	Barrier int64 // entries of others that rank at or after it are held back
}

// Queue is the lock queue of one name as it stood at one revision of etcd.
// Who holds the lock is derived from it and stored nowhere.
type Queue struct {
	Name     string
	Revision int64   // the revision at which the queue stood so
	Entries  []Entry // in order of rank
	Upgrade  *Upgrade
}

// value is the JSON of an entry, a slot included.
type value struct {
	Ticket  string    `json:"ticket,omitempty"` // first, for read; of a slot: whose
	Holder  string    `json:"holder"`
	Mode    Mode      `json:"mode"`
	Purpose string    `json:"purpose"`
	Task    string    `json:"task,omitempty"`
	User    string    `json:"user,omitempty"`
	Since   time.Time `json:"since"`
	Session string    `json:"session"`
	TTL     string    `json:"ttl,omitempty"`
	Rank    int64     `json:"rank,omitempty"`    // an older place that a downgraded entry keeps
	Barrier int64     `json:"barrier,omitempty"` // slot only: 0 is the slot's own create revision
}

func (v value) String() string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings, numbers and times of this century
	}
	return string(b)
}

// reading is one key of a queue, understood.
type reading struct {
	Entry
	barrier int64 // of a slot
}

// readQueue makes the queue of one name from the keys below its prefix.
func readQueue(l layout, name string, kvs []*mvccpb.KeyValue, rev int64) Queue {
	return order(l, name, len(kvs), func(i int) *reading { r := read(l, name, kvs[i], true); return &r }, rev)
}

// readStanding is readQueue without what explains the entries.
func readStanding(l layout, name string, kvs []*mvccpb.KeyValue, rev int64) Queue {
	return order(l, name, len(kvs), func(i int) *reading { r := read(l, name, kvs[i], false); return &r }, rev)
}

// order makes the queue of one name from its n keys.
func order(l layout, name string, n int, at func(int) *reading, rev int64) Queue {
	q := Queue{Name: name, Revision: rev}
	if n > 0 {
		q.Entries = make([]Entry, 0, n)
	}
	var slot *Upgrade
	for i := range n {
		r := at(i)
		if r.Key == l.upgrade(name) {
			slot = &Upgrade{Entry: r.Entry, Barrier: r.barrier}
			continue
		}
		q.Entries = append(q.Entries, r.Entry)
	}
	// The order must be total, or two readers of one revision could see two holders. Ranks are equal
	// only if a transaction made by hand put two entries.
	if !slices.IsSortedFunc(q.Entries, byRank) {
		slices.SortFunc(q.Entries, byRank)
	}
	// A slot whose entry is gone means nothing: the owner's fence compares both. Nor does one that is
	// not of a shared entry, which only hands could make.
	if slot != nil {
		if e := q.find(slot.Ticket); e != nil && e.Mode == Shared {
			q.Upgrade = slot
		}
	}
	return q
}

func byRank(a, b Entry) int {
	if a.Rank != b.Rank {
		return cmp.Compare(a.Rank, b.Rank)
	}
	return cmp.Or(cmp.Compare(a.Create, b.Create), cmp.Compare(a.Key, b.Key))
}

// read trusts the path for what decides, and the value for whose it is and for what explains. What is
// not at one of our paths is foreign: exclusive, in order of creation. If it is not to be explained,
// it reads no more than what decides.
func read(l layout, name string, kv *mvccpb.KeyValue, explain bool) reading {
	e := Entry{
		Name: name, Key: string(kv.Key), Mode: Exclusive, Lease: clientv3.LeaseID(kv.Lease),
		Create: kv.CreateRevision, Mod: kv.ModRevision, Rank: kv.CreateRevision,
	}
	var v value
	rest := e.Key[len(l.locks())+len(name)+1:]
	explain = explain || rest == "upgrade" || bytes.Contains(kv.Value, []byte(`"rank":`))
	known := explain && json.Unmarshal(kv.Value, &v) == nil
	switch {
	case strings.HasPrefix(rest, "exclusive/") && rest != "exclusive/":
		e.Ticket = cmp.Or(ticketIn(kv.Value), strings.TrimPrefix(rest, "exclusive/"))
	case strings.HasPrefix(rest, "shared/") && rest != "shared/":
		e.Mode, e.Ticket = Shared, cmp.Or(ticketIn(kv.Value), strings.TrimPrefix(rest, "shared/"))
	case rest == "upgrade" && known && v.Ticket != "":
		e.Ticket = v.Ticket
	default:
		e.Foreign = true
	}
	if known {
		e.Holder, e.Purpose, e.Task, e.User = v.Holder, v.Purpose, v.Task, v.User
		e.Session, e.Since = v.Session, v.Since
		e.TTL, _ = time.ParseDuration(v.TTL)
		if v.Rank > 0 && v.Rank < e.Create && e.Mode == Shared { // only a downgrade keeps a place
			e.Rank = v.Rank
		}
	}
	// A barrier above the slot's own creation would let later entries pass before a granted upgrade.
	barrier := v.Barrier
	if barrier <= 0 || barrier > e.Create {
		barrier = e.Create
	}
	return reading{e, barrier}
}

// ticketIn is the ticket that an entry names, "" if it is not one of ours.
func ticketIn(value []byte) string {
	rest, ok := bytes.CutPrefix(value, []byte(`{"ticket":"`))
	ticket, _, more := bytes.Cut(rest, []byte(`"`))
	if !ok || !more {
		return ""
	}
	return string(ticket)
}

func (q *Queue) find(ticket string) *Entry {
	if ticket == "" {
		return nil
	}
	for i := range q.Entries {
		if q.Entries[i].Ticket == ticket {
			return &q.Entries[i]
		}
	}
	return nil
}

// granted is how many entries, from the head, hold the lock. An entry is granted if it is
// compatible with all before it and all before it are granted. With a slot, entries of others
// at or after the barrier are held back.
//
// Stability: what is granted at one revision is granted at every later one until it is deleted.
// Appending, deleting and weakening an entry cannot break this; placing a slot could, and
// therefore carries compares (see upgrade.go). Hence any read of any revision that shows an
// entry granted is a proof, however stale.
func (q *Queue) granted() int {
	for i, e := range q.Entries {
		if u := q.Upgrade; u != nil && e.Ticket != u.Ticket && e.Rank >= u.Barrier {
			return i
		}
		if i > 0 && (e.Mode != Shared || q.Entries[0].Mode != Shared) {
			return i
		}
	}
	return len(q.Entries)
}

// upgraded reports whether the slot's owner holds the lock exclusively: nobody else ranks before the barrier.
func (q *Queue) upgraded() bool {
	if q.Upgrade == nil {
		return false
	}
	for _, e := range q.Entries {
		if e.Ticket != q.Upgrade.Ticket && e.Rank < q.Upgrade.Barrier {
			return false
		}
	}
	return true
}

// Holders returns the entries that hold the lock, in order. The owner of a completed upgrade shows as exclusive.
func (q Queue) Holders() []Entry {
	held := slices.Clone(q.Entries[:q.granted()])
	if q.upgraded() {
		for i := range held {
			if held[i].Ticket == q.Upgrade.Ticket {
				held[i].Mode, held[i].Purpose, held[i].Since = Exclusive, q.Upgrade.Purpose, q.Upgrade.Since
			}
		}
	}
	return held
}

// Waiters returns who waits, in order: first a pending upgrade, then the entries that are not granted.
func (q Queue) Waiters() []Entry {
	var w []Entry
	if q.Upgrade != nil && !q.upgraded() {
		w = append(w, q.Upgrade.Entry)
	}
	return append(w, q.Entries[q.granted():]...)
}

// holds reports the mode in which a ticket holds the lock, "" if it does not.
func (q *Queue) holds(ticket string) Mode {
	for i, n := 0, q.granted(); i < n; i++ {
		if q.Entries[i].Ticket != ticket {
			continue
		}
		if q.Upgrade != nil && q.Upgrade.Ticket == ticket && q.upgraded() {
			return Exclusive
		}
		return q.Entries[i].Mode
	}
	return ""
}

// admits reports whether a new entry would be granted at once.
func (q *Queue) admits(m Mode) bool {
	if len(q.Entries) == 0 {
		return true
	}
	return m == Shared && q.Upgrade == nil && q.granted() == len(q.Entries) && q.Entries[0].Mode == Shared
}
