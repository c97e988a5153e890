package lease

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// kv is a key as etcd returns it, created and last written at one revision.
func kv(key, value string, rev int64) *mvccpb.KeyValue {
	return &mvccpb.KeyValue{Key: []byte(key), Value: []byte(value), CreateRevision: rev, ModRevision: rev, Version: 1}
}

// keysOf reads "exclusive/a shared/b=rank:3 upgrade=b@4 694d": keys below a queue, created at
// 10, 20, 30, ...
func keysOf(t *testing.T, short string) (kvs []*mvccpb.KeyValue) {
	t.Helper()
	for i, s := range strings.Fields(short) {
		key, val, _ := strings.Cut(s, "=")
		kvs = append(kvs, kv("/r/locks/n/"+key, val, int64(10*(i+1))))
	}
	return kvs
}

var inR = layout{"/r/"}

func TestReadEntry(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	full := value{
		Holder: "c1", Mode: Shared, Purpose: "power on", Task: "t1", User: "u", Since: at, Session: "s", TTL: "15s",
	}
	explained := Entry{Holder: "c1", Purpose: "power on", Task: "t1", User: "u", Since: at, Session: "s", TTL: 15 * time.Second}
	for _, tt := range []struct {
		name, key, value string
		want             Entry // Name, Create and Mod apart
		barrier          int64
	}{
		{"the path decides, the value explains", "exclusive/s-1", full.String(), func() Entry {
			e := explained
			e.Ticket, e.Mode, e.Rank = "s-1", Exclusive, 20
			return e
		}(), 20},
		{"shared", "shared/s-1", full.String(), func() Entry {
			e := explained
			e.Ticket, e.Mode, e.Rank = "s-1", Shared, 20
			return e
		}(), 20},
		{"no value", "exclusive/s-1", "", Entry{Ticket: "s-1", Mode: Exclusive, Rank: 20}, 20},
		{"garbage", "shared/s-1", "\x00{", Entry{Ticket: "s-1", Mode: Shared, Rank: 20}, 20},
		{"JSON of another shape", "shared/s-1", `[1]`, Entry{Ticket: "s-1", Mode: Shared, Rank: 20}, 20},
		{"a field of another type", "shared/s-1", `{"rank":"old","holder":"c"}`, Entry{Ticket: "s-1", Mode: Shared, Rank: 20}, 20},
		{"an older place", "shared/s-1", `{"rank":7}`, Entry{Ticket: "s-1", Mode: Shared, Rank: 7}, 20},
		{"an exclusive entry has no older place", "exclusive/s-1", `{"rank":7}`, Entry{Ticket: "s-1", Mode: Exclusive, Rank: 20}, 20},
		{"no newer place", "shared/s-1", `{"rank":21}`, Entry{Ticket: "s-1", Mode: Shared, Rank: 20}, 20},
		{"no place before all", "shared/s-1", `{"rank":-1}`, Entry{Ticket: "s-1", Mode: Shared, Rank: 20}, 20},
		{"a ticket with a slash", "shared/a/b", "", Entry{Ticket: "a/b", Mode: Shared, Rank: 20}, 20},
		{"of etcdctl lock", "694d8f1c2b3a4d05", "", Entry{Mode: Exclusive, Foreign: true, Rank: 20}, 20},
		{"foreign, with a value", "694d", `{"holder":"h","rank":3}`, Entry{Mode: Exclusive, Foreign: true, Holder: "h", Rank: 20}, 20},
		{"no ticket, exclusive", "exclusive/", "", Entry{Mode: Exclusive, Foreign: true, Rank: 20}, 20},
		{"no ticket, shared", "shared/", "", Entry{Mode: Exclusive, Foreign: true, Rank: 20}, 20},
		{"a mode that is none", "update/s-1", "", Entry{Mode: Exclusive, Foreign: true, Rank: 20}, 20},
		{"a slot", "upgrade", `{"ticket":"s-1","barrier":15}`, Entry{Ticket: "s-1", Mode: Exclusive, Rank: 20}, 15},
		{"a slot without a barrier", "upgrade", `{"ticket":"s-1"}`, Entry{Ticket: "s-1", Mode: Exclusive, Rank: 20}, 20},
		{"a barrier above the slot", "upgrade", `{"ticket":"s-1","barrier":21}`, Entry{Ticket: "s-1", Mode: Exclusive, Rank: 20}, 20},
		{"a barrier before all", "upgrade", `{"ticket":"s-1","barrier":-3}`, Entry{Ticket: "s-1", Mode: Exclusive, Rank: 20}, 20},
		{"a slot of nobody", "upgrade", `{}`, Entry{Mode: Exclusive, Foreign: true, Rank: 20}, 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Name, tt.want.Key, tt.want.Create, tt.want.Mod = "n", "/r/locks/n/"+tt.key, 20, 20
			r := read(inR, "n", kv(tt.want.Key, tt.value, 20), true)
			got, barrier := r.Entry, r.barrier
			if got != tt.want || barrier != tt.barrier {
				t.Errorf("got  %+v, barrier %d\nwant %+v, barrier %d", got, barrier, tt.want, tt.barrier)
			}
		})
	}
}

// The rules of the walk. Keys are created at 10, 20, 30, ... in the order given.
func TestQueue(t *testing.T) {
	const slotB, slotB30 = `upgrade={"ticket":"b"}`, `upgrade={"ticket":"b","barrier":30}`
	for _, tt := range []struct {
		name, keys       string
		holders, waiters string // ticket:mode, "-" for a foreign entry
		admits           string // which modes would be granted at once: S, X
	}{
		{"empty", "", "", "", "SX"},
		{"one exclusive", "exclusive/a", "a:X", "", ""},
		{"one shared", "shared/a", "a:S", "", "S"},
		{"readers share", "shared/a shared/b", "a:S b:S", "", "S"},
		{"writer behind readers", "shared/a shared/b exclusive/c", "a:S b:S", "c:X", ""},
		{"reader behind a waiting writer", "shared/a exclusive/b shared/c", "a:S", "b:X c:S", ""},
		{"readers behind a writer", "exclusive/a shared/b shared/c", "a:X", "b:S c:S", ""},
		{"writers", "exclusive/a exclusive/b", "a:X", "b:X", ""},
		{"foreign first", "694d shared/a", "-:X", "a:S", ""},
		{"foreign last", "shared/a 694d shared/b", "a:S", "-:X b:S", ""},
		{"foreign twice", "694d 694e", "-:X", "-:X", ""},
		{"foreign with a rank waits all the same", `shared/a 694d={"rank":3}`, "a:S", "-:X", ""},
		{"downgraded keeps its place", `exclusive/b shared/c shared/a={"rank":5}`, "a:S", "b:X c:S", ""},
		{"downgraded among readers", `shared/b shared/a={"rank":5}`, "a:S b:S", "", "S"},
		{"upgrade beside a reader", "shared/a shared/b " + slotB, "a:S b:S", "b:X", ""},
		{"a slot whose owner waits, made by hand", "- shared/b " + slotB30 + " exclusive/c", "-:X", "b:X b:S c:X", ""},
		{"upgrade is granted", "shared/b " + slotB, "b:X", "", ""},
		{"upgrade before a waiter", `shared/b exclusive/c upgrade={"ticket":"b","barrier":20}`, "b:X", "c:X", ""},
		{"upgrade waits for readers", `shared/a shared/b exclusive/c ` + slotB30, "a:S b:S", "b:X c:X", ""},
		{"new readers are held back", `shared/b upgrade={"ticket":"b","barrier":20} shared/c`, "b:X", "c:S", ""},
		{"held back beside a reader", `shared/a shared/b ` + slotB + ` shared/c`, "a:S b:S", "b:X c:S", ""},
		{"slot of one who is gone", `shared/a upgrade={"ticket":"z"} shared/c`, "a:S c:S", "", "S"},
		{"slot alone", slotB, "", "", "SX"},
		{"slot of garbage", `shared/a upgrade=x shared/c`, "a:S c:S", "", "S"},
		{"slot of a foreign entry", `694d upgrade={"ticket":""} shared/c`, "-:X", "c:S", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			kvs := keysOf(t, tt.keys)
			q := readQueue(inR, "n", kvs, 100)
			if got := short(q.Holders()); got != tt.holders {
				t.Errorf("holders: got %q, want %q", got, tt.holders)
			}
			if got := short(q.Waiters()); got != tt.waiters {
				t.Errorf("waiters: got %q, want %q", got, tt.waiters)
			}
			for m, sign := range map[Mode]string{Shared: "S", Exclusive: "X"} {
				if got, want := q.admits(m), strings.Contains(tt.admits, sign); got != want {
					t.Errorf("admits %s: got %v, want %v", m, got, want)
				}
			}
			agree(t, q)
			for range 5 { // the order of the keys does not matter
				rand.Shuffle(len(kvs), func(i, j int) { kvs[i], kvs[j] = kvs[j], kvs[i] })
				if s := readQueue(inR, "n", kvs, 100); short(s.Entries) != short(q.Entries) || short(s.Holders()) != tt.holders {
					t.Errorf("in another order of keys: got %s, want %s", short(s.Entries), short(q.Entries))
				}
			}
		})
	}
}

// agree checks that holds and Holders tell the same.
func agree(t *testing.T, q Queue) {
	t.Helper()
	held := map[string]Mode{}
	for _, e := range q.Holders() {
		held[e.Ticket] = e.Mode
	}
	for _, e := range q.Entries {
		if e.Foreign {
			continue
		}
		if got := q.holds(e.Ticket); got != held[e.Ticket] {
			t.Errorf("holds(%s): got %q, Holders say %q", e.Ticket, got, held[e.Ticket])
		}
	}
	for _, ticket := range []string{"", "nobody"} {
		if got := q.holds(ticket); got != "" && !slices.ContainsFunc(q.Entries, func(e Entry) bool { return e.Foreign }) {
			t.Errorf("holds(%q): got %q", ticket, got)
		}
	}
}

func short(es []Entry) string {
	var out []string
	for _, e := range es {
		s := map[Mode]string{Shared: ":S", Exclusive: ":X"}[e.Mode]
		if e.Foreign {
			s = "-" + s
		}
		out = append(out, e.Ticket+s)
	}
	return strings.Join(out, " ")
}

// Two entries of one rank can only come from a transaction made by hand, and then too all must
// agree on who is first.
func TestQueueOrderIsTotal(t *testing.T) {
	kvs := []*mvccpb.KeyValue{
		kv("/r/locks/n/exclusive/a", "", 10), kv("/r/locks/n/exclusive/b", "", 10), kv("/r/locks/n/shared/c", `{"rank":10}`, 12),
		kv("/r/locks/n/694d", "", 10),
	}
	for range 50 {
		rand.Shuffle(len(kvs), func(i, j int) { kvs[i], kvs[j] = kvs[j], kvs[i] })
		q := readQueue(inR, "n", kvs, 20)
		if got, want := short(q.Entries), "-:X a:X b:X c:S"; got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
}

func TestUpgradeShowsItsPurpose(t *testing.T) {
	q := readQueue(inR, "n", keysOf(t, `shared/b={"purpose":"look"} upgrade={"ticket":"b","purpose":"deploy"}`), 30)
	if h := q.Holders(); len(h) != 1 || h[0].Purpose != "deploy" || h[0].Key != "/r/locks/n/shared/b" {
		t.Errorf("got %+v", h)
	}
	if q.Entries[0].Purpose != "look" || q.Entries[0].Mode != Shared {
		t.Errorf("Holders changed the queue: %+v", q.Entries[0])
	}
}

func TestReadQueues(t *testing.T) {
	kvs := []*mvccpb.KeyValue{
		kv("/r/locks//x", "", 5), kv("/r/locks/a-b/exclusive/t", "", 6), kv("/r/locks/a/exclusive/u", "", 7),
		kv("/r/locks/a/shared/v", "", 8), kv("/r/locks/stray", "", 9),
	}
	var got []string
	for _, q := range readQueues(inR, kvs, 9) {
		got = append(got, q.Name+" "+short(q.Entries))
	}
	if want := []string{"a-b t:X", "a u:X v:S"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What headReads asks for tells of each exclusive entry what the whole queue would.
func TestTheHeadTells(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 5))
	granted := 0
	for range 20000 {
		var all, exclusive, head []*mvccpb.KeyValue
		create := int64(10)
		for i := range 1 + rng.IntN(6) {
			create += int64(1 + rng.IntN(3))
			switch ticket := fmt.Sprint("t", i); rng.IntN(5) {
			case 0:
				all = append(all, kv("/r/locks/n/shared/"+ticket, "", create))
			case 1: // downgraded
				all = append(all, kv("/r/locks/n/shared/"+ticket, fmt.Sprintf(`{"ticket":%q,"rank":%d}`, ticket, 1+rng.Int64N(create)), create))
			case 2:
				all = append(all, kv(fmt.Sprintf("/r/locks/n/%s%d", []string{"4", "z"}[rng.IntN(2)], i), "", create))
			case 3:
				exclusive = append(exclusive, kv("/r/locks/n/exclusive/"+ticket, "", create))
			case 4:
				exclusive = append(exclusive, kv("/r/locks/n/exclusive/"+ticket, fmt.Sprintf(`{"ticket":"x%d"}`, i), create))
			}
		}
		if rng.IntN(3) == 0 {
			create++
			all = append(all, kv("/r/locks/n/upgrade", fmt.Sprintf(`{"ticket":"t%d","barrier":%d}`, rng.IntN(6), rng.Int64N(create)), create))
		}
		head = slices.Concat(all, exclusive[:min(2, len(exclusive))])
		whole, part := readStanding(inR, "n", slices.Concat(exclusive, all), create), readStanding(inR, "n", head, create)
		for _, e := range whole.Entries {
			if e.Mode != Exclusive || e.Foreign {
				continue
			}
			if whole.holds(e.Ticket) != part.holds(e.Ticket) {
				t.Fatalf("%s: %q of all, %q of the head: %+v", e.Key, whole.holds(e.Ticket), part.holds(e.Ticket), whole)
			}
			if whole.holds(e.Ticket) != "" {
				granted++
			}
		}
	}
	if granted < 1000 {
		t.Errorf("%d grants only", granted)
	}
}
