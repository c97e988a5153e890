package lease

import (
	"cmp"
	"flag"
	"fmt"
	"math"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

// The exhaustive check of the protocol: every order of steps, from every view however stale, until
// no new state is found, judged by the derivation that the package itself uses (granted, upgraded,
// holds). What is modelled is what one transaction does to the keys of one name. Only the length
// of the queue is bounded; the number of steps, looks and revisions is not. For a longer queue:
//
//	go test ./pkg/lease -run Model -v -timeout 1h -lease.entries 5
var modelEntries = flag.Int("lease.entries", 0, "length of the queue that the model checker explores, at most 5; 0: 4, or 3 under the race detector; 5 takes minutes and gigabytes")

func entries() int {
	if *modelEntries > 0 {
		return *modelEntries
	}
	if b, ok := debug.ReadBuildInfo(); ok && slices.Contains(b.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return 3 // there is one goroutine, and the detector makes it ten times slower
	}
	return 4
}

func TestModel(t *testing.T) {
	for foreign := range 3 {
		m := model{ours: entries() - foreign, foreign: foreign}
		t.Run(fmt.Sprintf("%d of ours and %d foreign", m.ours, m.foreign), func(t *testing.T) {
			states, wrong := m.run(math.MaxInt)
			t.Logf("%d states, all there are", states)
			if wrong != nil {
				t.Error(wrong)
			}
		})
	}
}

// plantedBugs are the guards of the protocol, each dropped. The checker must find every one, in no
// more steps than this.
var plantedBugs = []struct {
	name  string
	m     model
	want  string
	steps int
}{
	{"upgrade does not compare the first waiter", model{ours: 3, drop: guards{firstWaiter: true}}, "stability", 6},
	{"upgrade ignores what is new, nobody waits", model{ours: 2, drop: guards{newAlone: true}}, "liveness", 4},
	{"barrier before the owner", model{ours: 2, drop: guards{barrierLow: true}}, "stability", 4},
	{"barrier at the end of the queue", model{ours: 2, drop: guards{barrierEnd: true}}, "liveness", 4},
	{"a second slot over the first", model{ours: 3, drop: guards{slotFree: true}}, "stability", 8},
	{"downgrade beside a foreign entry that was there", model{ours: 1, foreign: 1, drop: guards{downForeign: true}}, "exclusion", 4},
	{"downgrade beside a foreign entry that has come", model{ours: 1, foreign: 1, drop: guards{downNew: true}}, "exclusion", 4},
	{"a new purpose does not keep the barrier", model{ours: 2, drop: guards{barrierKept: true}}, "liveness", 5},
	{"downgrade does not keep the rank", model{ours: 2, drop: guards{rankKept: true}}, "stability", 4},
}

func TestModelFindsPlantedBugs(t *testing.T) {
	for _, tt := range plantedBugs {
		t.Run(tt.name, func(t *testing.T) {
			states, wrong := tt.m.run(tt.steps)
			switch {
			case wrong == nil:
				t.Fatalf("not found in %d states", states)
			case !strings.HasPrefix(wrong.what, tt.want) || len(wrong.steps) != tt.steps:
				t.Errorf("got %v\nwant %s in %d steps", wrong, tt.want, tt.steps)
			}
			t.Logf("%d states: %v", states, wrong)
		})
	}
}

// One compare is a belt beside the braces: while the first waiter still waits, nothing that came
// after it can be granted. It stays for the day on which a third mode or a priority comes.
func TestModelNothingNewBehindAWaiterIsABelt(t *testing.T) {
	m := model{ours: entries() - 1, foreign: 1, drop: guards{newBehind: true}}
	states, wrong := m.run(math.MaxInt)
	t.Logf("%d states", states)
	if wrong != nil {
		t.Error(wrong)
	}
}

// model is how many entries can be in the queue at once, and which guards are dropped.
type model struct {
	ours, foreign int
	drop          guards
}

type guards struct {
	firstWaiter, newAlone, newBehind, slotFree, barrierLow, barrierEnd bool
	downForeign, downNew, rankKept, barrierKept                        bool
}

const most = 5 // entries in a queue

// world is the keys of one name at one revision and what the holders have last seen of them.
// Revisions are squeezed to small numbers, and those who are alike are put in order, so that
// states that differ in nothing that any compare can see are one state.
type world struct {
	entry [most]place // ours first, then the foreign ones
	seen  [most]view
	slot  slot
}

// place is an entry's key; create 0: there is none.
type place struct {
	create, mod, rank uint8
	exclusive         bool
}

func (p place) String() string {
	return fmt.Sprintf("%s@%d mod %d rank %d", map[bool]string{false: "shared", true: "exclusive"}[p.exclusive], p.create, p.mod, p.rank)
}

func (w world) String() string {
	var out []string
	for i, p := range w.entry {
		if p.create != 0 {
			out = append(out, fmt.Sprintf("%d: %v", i, p))
		}
	}
	if s := w.slot; s.create != 0 {
		out = append(out, fmt.Sprintf("slot@%d mod %d of %d before %d", s.create, s.mod, s.owner, s.barrier))
	}
	return strings.Join(out, ", ")
}

type slot struct {
	create, mod, barrier uint8
	owner                int8 // index of the owner's entry, -1: it is gone
}

// view is what the holder's last look said that its next transaction depends on.
type view struct {
	on, slot, foreign  bool
	rev                uint8
	create, mod, first uint8 // the first waiter and its rank; create 0: nobody waits
}

type step struct {
	what string
	who  int8
}

func (s step) String() string { return fmt.Sprintf("%s(%d)", s.what, s.who) }

type node struct {
	w      world
	parent int32
	step   step
}

// finding is a broken invariant and the steps to it.
type finding struct {
	what  string
	steps []string
}

func (f *finding) Error() string { return f.what + "\n" + strings.Join(f.steps, "\n") }

// run explores all states up to a depth, nearest first, and stops at the first that is wrong.
func (m model) run(depth int) (states int, wrong *finding) {
	nodes := []node{{parent: -1}}
	known := map[world]bool{{}: true}
	for from := 0; from < len(nodes) && depth > 0; depth-- {
		to := len(nodes)
		for i := from; i < to; i++ {
			x := nodes[i].w
			before := x.judge(m)
			for s, y := range m.next(&x, &before) {
				after := y.judge(m)
				bad := cmp.Or(after.wrong, lostGrant(s, &x, &y, &before, &after))
				if y.squeeze(m); bad == "" && known[y] {
					continue
				}
				known[y] = true
				nodes = append(nodes, node{y, int32(i), s})
				if bad != "" {
					return len(nodes), &finding{bad, trace(nodes)}
				}
			}
		}
		from = to
	}
	return len(nodes), nil
}

func trace(nodes []node) (steps []string) {
	for i := int32(len(nodes) - 1); nodes[i].parent >= 0; i = nodes[i].parent {
		steps = append(steps, fmt.Sprintf("%-20v %v", nodes[i].step, nodes[i].w))
	}
	slices.Reverse(steps)
	return steps
}

var tickets = [most]string{"a", "b", "c", "d", "e"}

// queue is the state as the package sees it. order tells which entry is where in the queue.
func (w *world) queue(m model, buf []Entry) (q Queue, order [most]int) {
	q.Entries = buf[:0]
	for i, p := range w.entry {
		if p.create == 0 {
			continue
		}
		e := Entry{Mode: Shared, Ticket: tickets[i], Create: int64(p.create), Mod: int64(p.mod), Rank: int64(p.rank)}
		if p.exclusive {
			e.Mode = Exclusive
		}
		if i >= m.ours {
			e.Foreign, e.Ticket = true, ""
		}
		at := len(q.Entries)
		for at > 0 && q.Entries[at-1].Rank > e.Rank {
			at--
		}
		q.Entries = slices.Insert(q.Entries, at, e)
		copy(order[at+1:], order[at:])
		order[at] = i
	}
	if s := w.slot; s.create != 0 && s.owner >= 0 { // as readQueue: without its owner a slot means nothing
		q.Upgrade = &Upgrade{Entry: Entry{Ticket: tickets[s.owner], Create: int64(s.create)}, Barrier: int64(s.barrier)}
	}
	return q, order
}

// verdict is what the package derives from a state, and what is wrong with it.
type verdict struct {
	mode    [most]Mode // in which each entry holds the lock, "" while it waits
	granted int
	first   int // index of the first waiter, -1: nobody waits
	wrong   string
}

func (w *world) judge(m model) (v verdict) {
	var buf [most]Entry
	q, order := w.queue(m, buf[:0])
	v.granted, v.first = q.granted(), -1
	if v.granted < len(q.Entries) {
		v.first = order[v.granted]
	}
	holders, exclusive := 0, 0
	for at := range q.Entries {
		i := order[at]
		if i < m.ours {
			v.mode[i] = q.holds(tickets[i])
		} else if at < v.granted || w.believes(i) {
			v.mode[i] = Exclusive
		}
		if v.mode[i] != "" {
			holders++
		}
		if v.mode[i] == Exclusive {
			exclusive++
		}
		if u := q.Upgrade; u != nil && at >= v.granted && q.Entries[at].Ticket != u.Ticket && q.Entries[at].Rank < u.Barrier {
			v.wrong = "liveness: an upgrade waits for one who waits"
		}
	}
	switch {
	case exclusive > 0 && holders > 1:
		v.wrong = fmt.Sprintf("exclusion: %v", v.mode)
	case len(q.Entries) > 0 && v.granted == 0:
		v.wrong = "liveness: nobody is granted"
	}
	return v
}

// believes is the rule of a foreign locker, that of etcd's own mutex: it owns the lock when no key
// below the prefix is older than its own.
func (w *world) believes(i int) bool {
	mine := w.entry[i].create
	for _, p := range w.entry {
		if p.create != 0 && p.create < mine {
			return false
		}
	}
	return w.slot.create == 0 || w.slot.create > mine
}

// lostGrant checks the stability: nobody's grant goes away or weakens but by its own step.
func lostGrant(s step, x, y *world, before, after *verdict) string {
	for i := range x.entry {
		if x.entry[i].create == 0 || y.entry[i].create == 0 {
			continue
		}
		had, has := before.mode[i], after.mode[i]
		if int(s.who) == i && (s.what == "downgrade" || s.what == "drop slot") && had == Exclusive {
			had = Shared
		}
		if had != "" && has != had && has != Exclusive {
			return fmt.Sprintf("stability: %d had %q and has %q", i, had, has)
		}
	}
	return ""
}
