package lease_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anishathalye/porcupine"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
)

// What the clients saw, checked against a lock and a register per name. The model knows nothing
// of queues, revisions or leases.

type verb string

const (
	acquire   verb = "acquire"
	upgrade   verb = "upgrade"
	downgrade verb = "downgrade"
	release   verb = "release"
	write     verb = "write" // under the lock
	edit      verb = "edit"  // a write without a lock, of what the output was
	read      verb = "read"  // by anybody
	end       verb = "end"   // of a lock that was lost, at a moment that nobody knows
)

// call is an operation; its output is the value that it read.
type call struct {
	name, ticket string
	verb         verb
	mode         lease.Mode // of an acquire
	value        string     // of a write
	unknown      bool       // it happened, or did not, or will yet
}

// table is the state of one name. It is comparable.
type table struct {
	owner   string // of the exclusive lock
	readers string // tickets, each with a space behind it, in order
	value   string
}

func (s table) without(ticket string) table {
	if s.owner == ticket {
		s.owner = ""
	}
	s.readers = strings.Replace(s.readers, ticket+" ", "", 1)
	return s
}

func (s table) with(ticket string) table {
	all := append(strings.Fields(s.readers), ticket)
	slices.Sort(all)
	s.readers = strings.Join(all, " ") + " "
	return s
}

var lockTable = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byName := map[string][]porcupine.Operation{}
		for _, op := range history {
			n := op.Input.(call).name
			byName[n] = append(byName[n], op)
		}
		var parts [][]porcupine.Operation
		for _, ops := range byName {
			parts = append(parts, ops)
		}
		return parts
	},
	Init: func() any { return table{} },
	Step: func(state, input, output any) (bool, any) {
		s, c := state.(table), input.(call)
		saw, _ := output.(string)
		return s.step(c, saw)
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v: %v", input, output) },
}

func (s table) step(c call, saw string) (bool, table) {
	owns := s.owner == c.ticket
	switch c.verb {
	case acquire:
		if s.owner != "" || c.mode == lease.Exclusive && s.readers != "" || saw != s.value {
			return false, s
		}
		if c.mode == lease.Exclusive {
			s.owner = c.ticket
			return true, s
		}
		return true, s.with(c.ticket)
	case upgrade:
		if s.readers != c.ticket+" " || s.owner != "" || saw != s.value {
			return false, s
		}
		s.owner, s.readers = c.ticket, ""
	case downgrade:
		if !owns {
			return false, s
		}
		return true, s.without(c.ticket).with(c.ticket)
	case release:
		return owns || strings.Contains(s.readers, c.ticket+" "), s.without(c.ticket)
	case write:
		if owns {
			s.value = c.value
		}
		return owns || c.unknown, s
	case edit:
		free := s.owner == "" && s.readers == "" && saw == s.value
		if free {
			s.value = c.value
		}
		return free || c.unknown, s
	case read:
		return saw == s.value, s
	case end:
		return true, s.without(c.ticket)
	}
	return true, s
}

// recorder writes down what clients call and what they get. Its clock counts.
type recorder struct {
	clock atomic.Int64
	mu    sync.Mutex
	ops   []porcupine.Operation
}

func (r *recorder) record(client int, c call, from int64, saw string) {
	to := r.clock.Add(1)
	if c.unknown || c.verb == end {
		to = math.MaxInt64
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, porcupine.Operation{ClientId: client, Input: c, Call: from, Output: saw, Return: to})
}

// user is a client that does things and has them recorded.
type user struct {
	id      int
	rec     *recorder
	rng     *rand.Rand
	etcd    *clientv3.Client
	root    string
	unit    time.Duration // of pauses
	session func() (*lease.Session, error)
}

func (u *user) pause(n int) { <-time.After(time.Duration(u.rng.IntN(n+1)) * u.unit) }

func (u *user) key(name string) string { return u.root + "nodes/" + name }

func (u *user) run(ctx context.Context, sections int) {
	for range sections {
		name := fmt.Sprint("n", u.rng.IntN(2))
		if u.rng.IntN(4) == 0 {
			u.read(ctx, name)
		}
		if u.rng.IntN(3) == 0 {
			u.edit(ctx, name)
		}
		u.section(ctx, name)
		u.pause(3)
	}
}

func (u *user) read(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	from := u.rec.clock.Add(1)
	r, err := u.etcd.Get(ctx, u.key(name))
	if err != nil {
		return
	}
	saw := ""
	for _, kv := range r.Kvs {
		saw = string(kv.Value)
	}
	u.rec.record(u.id, call{name: name, verb: read}, from, saw)
}

func (u *user) edit(ctx context.Context, name string) {
	s, err := u.session()
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	key := u.key(name)
	f, err := s.Free(ctx, name, key)
	if err != nil {
		return
	}
	saw, mod := only(f.Records())
	u.pause(1)
	c := call{name: name, ticket: f.Ticket(), verb: edit, value: f.Ticket()}
	from := u.rec.clock.Add(1)
	_, err = f.Write(ctx, lease.Write{
		If:   []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(key), "=", mod)},
		Then: []clientv3.Op{clientv3.OpPut(key, c.value)},
	})
	if errors.Is(err, lease.ErrHeld) || errors.Is(err, lease.ErrConflict) || errors.Is(err, lease.ErrAbandoned) {
		return // and nothing was written, nor will be: whoever saw it finds no call that explains it
	}
	c.unknown = err != nil
	u.rec.record(u.id, c, from, saw)
}

// seen is the record that came with the lock, and its revision.
func seen(l *lease.Lock) (value string, mod int64) { return only(l.Records()) }

func only(r lease.Records) (value string, mod int64) {
	for _, kv := range r.KVs {
		return string(kv.Value), kv.ModRevision
	}
	return "", 0
}

func (u *user) section(ctx context.Context, name string) {
	s, err := u.session()
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	r := lease.Request{Name: name, Mode: []lease.Mode{lease.Shared, lease.Exclusive}[u.rng.IntN(2)], Read: []string{u.key(name)}}
	if u.rng.IntN(3) > 0 {
		r.Wait = lease.Patient
	}
	from := u.rec.clock.Add(1)
	l, err := s.Acquire(ctx, r)
	if err != nil {
		return
	}
	base := call{name: name, ticket: l.Ticket()}
	do := func(v verb, from int64, saw string) {
		c := base
		c.verb, c.mode = v, r.Mode
		u.rec.record(u.id, c, from, saw)
	}
	saw, mod := seen(l)
	do(acquire, from, saw)
	held := u.rec.clock.Add(1)
	known := u.use(ctx, l, mod, base, do)
	from = u.rec.clock.Add(1)
	if err := l.Release(ctx, lease.Write{}); err != nil || !known {
		do(end, held, "")
		return
	}
	do(release, from, "")
}

// use reports whether it still knows how the lock stands.
func (u *user) use(ctx context.Context, l *lease.Lock, mod int64, base call, do func(verb, int64, string)) bool {
	for i := range u.rng.IntN(4) {
		u.pause(2)
		from := u.rec.clock.Add(1)
		w := base
		w.verb, w.value = write, fmt.Sprint(l.Ticket(), ".", i)
		switch what := u.rng.IntN(3); {
		case l.Mode() == lease.Exclusive && what < 2:
			key := u.key(l.Name())
			rev, err := l.Commit(ctx, lease.Write{
				If:   []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(key), "=", mod)},
				Then: []clientv3.Op{clientv3.OpPut(key, w.value)},
			})
			mod = rev
			w.unknown = err != nil
			u.rec.record(u.id, w, from, "")
			if err != nil {
				return false
			}
		case l.Mode() == lease.Exclusive:
			if l.Downgrade(ctx, lease.Write{}) != nil {
				return false
			}
			do(downgrade, from, "")
		default:
			if l.Upgrade(ctx, "", time.Duration(what-1)*u.unit) == nil { // patient, try, bounded
				var saw string
				saw, mod = seen(l)
				do(upgrade, from, saw)
			}
		}
	}
	return l.Context().Err() == nil
}

func (r *recorder) check(t *testing.T) {
	t.Helper()
	switch porcupine.CheckOperationsTimeout(lockTable, r.ops, 20*time.Second) {
	case porcupine.Illegal:
		slices.SortFunc(r.ops, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
		for _, op := range r.ops {
			t.Logf("%4d %20d %+v = %v", op.Call, op.Return, op.Input, op.Output)
		}
		t.Error("no order of these operations explains what the clients saw")
	case porcupine.Unknown:
		t.Logf("too many operations of unknown outcome to decide (%d in all)", len(r.ops))
	}
}

func TestLinearizableOnAFaultyNetwork(t *testing.T) {
	seeds := 60
	if testing.Short() {
		seeds = 10
	}
	if *simSeeds > 200 {
		seeds = *simSeeds / 2
	}
	for i := range seeds {
		seed := *simFirst + uint64(i)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			var rec recorder
			synctest.Test(t, func(t *testing.T) {
				e := leasetest.New()
				t.Cleanup(e.Close)
				faults := leasetest.Faults{
					MaxDelay: time.Duration(seed%4) * time.Second / 2, LoseRequest: .03, LoseAnswer: .05, Reset: .03,
					Late: .03, MaxLate: 20 * time.Second, BreakWatch: .02, ForgetEvent: .01,
				}
				var users sync.WaitGroup
				for id := range 4 {
					name := fmt.Sprint("c", id)
					k, err := lease.Keep(t.Context(), e.Client(name), lease.Config{Root: simRoot, Holder: name})
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() {
						e.SetNetwork(name, leasetest.Network{})
						e.Heal(name)
						_ = k.Close(context.Background())
					})
					e.SetNetwork(name, leasetest.Seeded(seed*10+uint64(id), faults))
					rng := rand.New(rand.NewPCG(seed, uint64(id)))
					u := &user{id: id, rec: &rec, rng: rng, etcd: e.Client("reader"), root: simRoot, unit: time.Second, session: k.Current}
					users.Go(func() { u.run(t.Context(), 6) })
					users.Go(func() { // an outage, long enough to lose the session now and then
						time.Sleep(time.Duration(5+seed*7%40) * time.Second)
						if uint64(id) == seed%4 {
							e.Cut(name)
							time.Sleep(time.Duration(5+seed%20) * time.Second)
							e.Heal(name)
						}
					})
				}
				users.Wait()
			})
			rec.check(t)
		})
	}
}

func TestLinearizableOnEtcd(t *testing.T) {
	for round := range 4 {
		var rec recorder
		root := fmt.Sprintf("/linear/%d/", roots.Add(1))
		var users sync.WaitGroup
		for id := range 5 {
			c := dial(t)
			s := open(t, c, lease.Config{Root: root, Holder: fmt.Sprint("c", id)})
			rng := rand.New(rand.NewPCG(uint64(round), uint64(id)))
			u := &user{id: id, rec: &rec, rng: rng, etcd: c, root: root, unit: time.Millisecond, session: s.Current}
			users.Go(func() { u.run(t.Context(), 25) })
		}
		users.Wait()
		if len(rec.ops) < 200 {
			t.Errorf("only %d operations", len(rec.ops))
		}
		rec.check(t)
	}
}

// TestModelFindsWrongHistories shows that the model can fail.
func TestModelFindsWrongHistories(t *testing.T) {
	type step struct {
		call
		saw string
	}
	op := func(v verb, ticket string) step {
		return step{call{name: "n", verb: v, ticket: ticket, mode: lease.Exclusive}, ""}
	}
	shared := func(ticket string) step {
		s := op(acquire, ticket)
		s.mode = lease.Shared
		return s
	}
	wrote := func(ticket, value string) step {
		s := op(write, ticket)
		s.value = value
		return s
	}
	saw := func(s step, value string) step { s.saw = value; return s }
	edited := func(old, value string) step {
		s := saw(op(edit, "e"), old)
		s.value = value
		return s
	}
	for _, tt := range []struct {
		name  string
		legal bool
		steps []step
	}{
		{"one after the other", true, []step{op(acquire, "a"), wrote("a", "1"), op(release, "a"), saw(op(acquire, "b"), "1")}},
		{"two readers", true, []step{shared("a"), shared("b"), op(release, "a"), op(upgrade, "b"), op(downgrade, "b"), shared("c")}},
		{"edits", true, []step{edited("", "1"), edited("1", "2"), saw(op(acquire, "a"), "2")}},
		{"an edit beside an owner", false, []step{op(acquire, "a"), edited("", "1")}},
		{"an edit beside a reader", false, []step{shared("a"), edited("", "1")}},
		{"an edit of what was", false, []step{edited("", "1"), edited("", "2")}},
		{"lost meanwhile", true, []step{op(acquire, "a"), op(end, "a"), op(acquire, "b")}},
		{"two owners", false, []step{op(acquire, "a"), op(acquire, "b")}},
		{"a reader beside an owner", false, []step{op(acquire, "a"), shared("b")}},
		{"an owner beside a reader", false, []step{shared("a"), op(acquire, "b")}},
		{"an upgrade beside a reader", false, []step{shared("a"), shared("b"), op(upgrade, "a")}},
		{"a write after the release", false, []step{op(acquire, "a"), op(release, "a"), wrote("a", "1")}},
		{"a write after the downgrade", false, []step{op(acquire, "a"), op(downgrade, "a"), wrote("a", "1")}},
		{"a write by a reader", false, []step{shared("a"), wrote("a", "1")}},
		{"records of before", false, []step{op(acquire, "a"), wrote("a", "1"), op(release, "a"), op(acquire, "b")}},
		{"records of before the upgrade", false, []step{shared("a"), op(release, "a"), op(acquire, "b"), wrote("b", "1"), op(release, "b"), shared("c")}},
		{"a lost update", false, []step{op(acquire, "a"), wrote("a", "1"), op(release, "a"), op(read, "")}},
	} {
		var rec recorder
		for i, s := range tt.steps {
			rec.record(i, s.call, rec.clock.Add(1), s.saw)
		}
		if got := porcupine.CheckOperations(lockTable, rec.ops); got != tt.legal {
			t.Errorf("%s: legal = %t, want %t", tt.name, got, tt.legal)
		}
	}
}
