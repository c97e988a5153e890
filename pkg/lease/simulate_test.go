package lease_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
)

var (
	simSeeds = flag.Int("sim.seeds", 200, "seeds of TestSimulate")
	simFirst = flag.Uint64("sim.first", 0, "first seed of TestSimulate")
)

// TestSimulate runs conductors on a network and an etcd that misbehave, and holds what they do
// against the promises of this package. Run one seed again with -sim.first=N -sim.seeds=1.
func TestSimulate(t *testing.T) {
	seeds := *simSeeds
	if testing.Short() {
		seeds = min(seeds, 20)
	}
	var total tally
	for i := range seeds {
		seed := *simFirst + uint64(i)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { simulate(t, seed, &total) })
		})
	}
	t.Logf("%d seeds: %+v", seeds, total)
	if seeds >= 100 && (total.Acquired == 0 || total.Upgraded == 0 || total.Downgraded == 0 || total.Written == 0 ||
		total.Lost == 0 || total.Broken == 0 || total.Unknown == 0 || total.Refused == 0 || total.Edited == 0 || total.Stopped == 0) {
		t.Error("the simulation does not reach everything that it should")
	}
}

// tally shows that a simulation did something.
type tally struct {
	Acquired, Refused, Upgraded, Downgraded, Written, Unknown, Lost, Broken, Crashed int
	Edited, Stopped                                                                  int // writes without a lock
}

// simulation is one run.
type simulation struct {
	t    *testing.T
	seed uint64
	etcd *leasetest.Etcd
	hist *history

	mu      sync.Mutex
	rng     *rand.Rand
	holds   map[*lease.Lock]*hold
	broken  map[string]bool // tickets that an operator has had a hand in: their holders may learn of it late
	tally   *tally
	acked   map[string]int
	unknown map[string]int
	tokens  map[string]lease.Token
	failed  bool
}

// hold is a lock that its holder relies on: between the return of an acquire and the call of a release.
type hold struct {
	name string
	mode lease.Mode
}

const simRoot = "/sim/"

func simulate(t *testing.T, seed uint64, total *tally) {
	s := &simulation{
		t: t, seed: seed, etcd: leasetest.New(), rng: rand.New(rand.NewPCG(seed, 7)), tally: total,
		holds: map[*lease.Lock]*hold{}, broken: map[string]bool{}, acked: map[string]int{}, unknown: map[string]int{}, tokens: map[string]lease.Token{},
	}
	defer s.etcd.Close()
	// One third of the runs has no group commit. The more who want something at once, the more
	// travel together; with three at work, most operations still go by themselves.
	workersEach := [...]int{2, 5, 3}[seed%3]
	defer lease.SetFlights(1 + int(seed%3)/2)()
	s.hist = follow(t, s.etcd.Client("history"), simRoot, s.deleted)
	conductors := make([]*conductor, 4+s.draw(2))
	for i := range conductors {
		conductors[i] = s.conductor(fmt.Sprint("c", i))
	}
	faults := s.faults()
	for _, c := range conductors {
		s.etcd.SetNetwork(c.name, network(leasetest.Seeded(seed*100+uint64(c.name[1]), faults)))
	}
	stop := make(chan struct{})
	var chaos, workers sync.WaitGroup
	chaos.Go(func() { s.chaos(conductors, stop) })
	for _, c := range conductors {
		for range workersEach {
			workers.Go(func() {
				for range 6 {
					if c.ctx.Err() == nil {
						s.section(c)
					}
				}
			})
		}
	}
	s.within(3*time.Hour, "all sections end", workers.Wait)
	close(stop)
	chaos.Wait()
	s.etcd.ThawAll()
	for _, c := range conductors {
		s.etcd.SetNetwork(c.name, leasetest.Network{})
		if c.ctx.Err() == nil {
			s.etcd.Heal(c.name)
		}
	}
	time.Sleep(3 * time.Minute) // two listings: what nobody owns has been found
	s.empty()
	for _, c := range conductors {
		s.within(2*time.Minute, "close "+c.name, func() {
			if err := c.keeper.Close(context.Background()); err != nil && c.ctx.Err() == nil {
				s.fail("close %s: %v", c.name, err)
			}
		})
	}
	s.counters()
	for _, w := range s.hist.finish(context.Background()) {
		s.failed = true
		t.Error(w)
	}
	if s.failed {
		t.Errorf("seed %d, faults %+v", seed, faults)
	}
}

// network does not double a request whose second copy the client would have to know of: one for
// several locks, which may come after a downgrade, and one that writes a record, whose answer may
// be that of the second copy. No network does: a second copy is always the client's.
func network(n leasetest.Network) leasetest.Network {
	seeded := n.Request
	n.Request = func(c leasetest.Call) leasetest.Fate {
		f := seeded(c)
		r, ok := c.Request.(*pb.TxnRequest)
		if !ok || len(r.Success) == 0 {
			return f
		}
		last := r.Success[len(r.Success)-1]
		if last.GetRequestTxn() != nil || strings.HasPrefix(string(last.GetRequestPut().GetKey()), simRoot+"nodes/") {
			f.Again = 0
		}
		return f
	}
	return n
}

func (s *simulation) draw(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rng.IntN(n)
}

func (s *simulation) upTo(d time.Duration) time.Duration {
	return time.Duration(s.draw(int(d/time.Millisecond)+1)) * time.Millisecond
}

func (s *simulation) fail(format string, args ...any) {
	s.t.Helper()
	s.hist.mu.Lock()
	defer s.hist.mu.Unlock()
	s.hist.fail(format, args...)
}

func (s *simulation) count(n *int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*n++
}

// within reports what does not end.
func (s *simulation) within(d time.Duration, what string, f func()) {
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(d):
		s.hist.mu.Lock()
		defer s.hist.mu.Unlock()
		panic(fmt.Sprintf("seed %d: not within %s: %s\n%s", s.seed, d, what, strings.Join(append(s.hist.wrong, s.hist.last...), "\n")))
	}
}

func (s *simulation) faults() leasetest.Faults {
	delays := []time.Duration{0, 50 * time.Millisecond, time.Second, 4 * time.Second}
	chance := func(percent int) float64 { return float64(s.draw(percent+1)) / 100 }
	return leasetest.Faults{
		MaxDelay: delays[s.draw(len(delays))], MaxLate: time.Duration(1+s.draw(40)) * time.Second,
		LoseRequest: chance(10), LoseAnswer: chance(15), Reset: chance(10), Repeat: chance(5), Late: chance(10),
		BreakWatch: chance(5), ForgetEvent: chance(3),
	}
}

// conductor is one process.
type conductor struct {
	name   string
	keeper *lease.Keeper
	ctx    context.Context // ends when the process dies
	die    context.CancelFunc
}

func (s *simulation) conductor(name string) *conductor {
	k, err := lease.Keep(s.t.Context(), s.etcd.Client(name), lease.Config{Root: simRoot, Holder: name, Unbatched: s.seed%3 == 0})
	if err != nil {
		s.t.Fatal(err)
	}
	c := &conductor{name: name, keeper: k}
	c.ctx, c.die = context.WithCancel(context.Background())
	s.t.Cleanup(c.die)
	return c
}

// chaos breaks things until stop.
func (s *simulation) chaos(cs []*conductor, stop <-chan struct{}) {
	locks := lease.Locks{Client: s.etcd.Client("operator"), Root: simRoot}
	pause := func(d time.Duration) bool {
		select {
		case <-time.After(d):
			return true
		case <-stop:
			return false
		}
	}
	crashed := 0
	for pause(s.upTo(40 * time.Second)) {
		c := cs[s.draw(len(cs))]
		switch s.draw(9) {
		case 0, 1:
			s.hist.say("cut %s", c.name)
			s.etcd.Cut(c.name)
			pause(s.upTo(25 * time.Second))
			if c.ctx.Err() == nil {
				s.hist.say("heal %s", c.name)
				s.etcd.Heal(c.name)
			}
		case 2:
			s.etcd.Break(c.name)
		case 3:
			s.hist.say("freeze")
			s.etcd.FreezeAll()
			pause(s.upTo(20 * time.Second))
			if s.draw(2) == 0 {
				s.etcd.Elect()
			}
			s.etcd.ThawAll()
		case 4:
			s.etcd.Elect()
		case 5:
			_, _ = locks.Client.Compact(context.Background(), s.etcd.Revision()-1)
		case 6, 7:
			s.breakLock(locks)
		case 8:
			if crashed < 2 && s.draw(3) == 0 {
				crashed++
				s.count(&s.tally.Crashed)
				s.hist.say("crash %s", c.name)
				s.etcd.Cut(c.name)
				c.die()
			}
		}
	}
}

// breakLock is an operator who breaks an entry, or deletes its key by hand.
func (s *simulation) breakLock(locks lease.Locks) {
	ctx := context.Background()
	q, err := locks.Queue(ctx, s.name())
	if err != nil || len(q.Entries) == 0 {
		return
	}
	e := q.Entries[s.draw(len(q.Entries))]
	s.mu.Lock()
	s.broken[e.Ticket] = true
	s.tally.Broken++
	s.mu.Unlock()
	if s.draw(4) == 0 {
		s.hist.say("operator deletes %s", e.Key)
		_, _ = locks.Client.Delete(ctx, e.Key)
		return
	}
	s.hist.say("operator breaks %s", e.Key)
	_, _ = locks.Break(ctx, e.Name, e.Create, "operator", "simulation")
}

func (s *simulation) name() string { return fmt.Sprint("n", s.draw(3)) }

// section is one use of a lock.
func (s *simulation) section(c *conductor) {
	defer func() { time.Sleep(s.upTo(3 * time.Second)) }()
	session, err := c.keeper.Current()
	if err != nil {
		s.expect(err)
		time.Sleep(s.upTo(5 * time.Second))
		return
	}
	ctx, cancel := context.WithTimeout(c.ctx, 5*time.Second+s.upTo(2*time.Minute))
	defer cancel()
	if s.draw(4) == 0 {
		s.edit(ctx, session, s.name())
		return
	}
	first := s.request(s.name())
	if s.draw(6) == 0 { // two at once, in any order
		second := s.request(s.name())
		if second.Name != first.Name {
			ls, err := session.AcquireAll(ctx, first.Wait, first, second)
			if err != nil {
				s.refused(err)
				return
			}
			s.enter(ls[0], ls[0].Mode())
			s.enter(ls[1], ls[1].Mode())
			s.use(ctx, c, ls[0])
			s.use(ctx, c, ls[1])
			return
		}
	}
	l, err := session.Acquire(ctx, first)
	if err != nil {
		s.refused(err)
		return
	}
	s.enter(l, l.Mode())
	s.use(ctx, c, l)
}

func (s *simulation) request(name string) lease.Request {
	r := lease.Request{Name: name, Mode: lease.Exclusive, Brief: s.draw(3) == 0, Purpose: "sim", Read: []string{simRoot + "nodes/" + name}}
	if s.draw(2) == 0 {
		r.Mode = lease.Shared
	}
	switch s.draw(3) {
	case 0:
		r.Wait = lease.Patient
	case 1:
		r.Wait = time.Second + s.upTo(40*time.Second)
	}
	return r
}

// edit counts the record one up without a lock. What it was told stays true: a refused write never
// lands, which the counters tell in the end.
func (s *simulation) edit(ctx context.Context, session *lease.Session, name string) {
	key := simRoot + "nodes/" + name
	f, err := session.Free(ctx, name, key)
	if err != nil {
		s.refused(err)
		return
	}
	var r record
	mod := int64(0)
	for _, kv := range f.Records().KVs {
		if err := json.Unmarshal(kv.Value, &r); err != nil {
			s.fail("%v", err)
		}
		mod = kv.ModRevision
	}
	if s.draw(2) == 0 {
		time.Sleep(s.upTo(3 * time.Second))
	}
	_, err = f.Write(ctx, lease.Write{
		If:   []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(key), "=", mod)},
		Then: []clientv3.Op{clientv3.OpPut(key, record{r.N + 1, f.Ticket(), f.Token()}.String())},
	})
	s.hist.say("%s edits %s: %v", f.Ticket(), name, err)
	s.mu.Lock()
	switch {
	case err == nil:
		s.acked[name]++
		s.tally.Edited++
	case errors.Is(err, lease.ErrHeld), errors.Is(err, lease.ErrAbandoned), errors.Is(err, lease.ErrConflict):
		s.tally.Stopped++
	default:
		s.unknown[name]++
		s.tally.Unknown++
	}
	s.mu.Unlock()
	if err != nil && !errors.Is(err, lease.ErrConflict) {
		s.expect(err)
	}
}

func (s *simulation) refused(err error) {
	s.count(&s.tally.Refused)
	s.expect(err)
}

// expect fails for errors that no fault explains.
func (s *simulation) expect(err error) {
	for _, ok := range []error{
		lease.ErrHeld, lease.ErrUpgradeConflict, lease.ErrLost, lease.ErrSuspect, lease.ErrClosed, lease.ErrTaken,
		lease.ErrAbandoned, lease.ErrUnknown,
		context.DeadlineExceeded, context.Canceled, leasetest.ErrUnavailable,
	} {
		if errors.Is(err, ok) {
			return
		}
	}
	if text := err.Error(); strings.Contains(text, "no answer from etcd") || strings.Contains(text, "Unavailable") {
		return
	}
	s.fail("unexpected error: %v", err)
}

// enter is the referee: from now until leave nobody else may rely on an incompatible lock.
func (s *simulation) enter(l *lease.Lock, mode lease.Mode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tally.Acquired++
	alive := l.Context().Err() == nil && !s.broken[l.Ticket()]
	for other, h := range s.holds {
		if other == l || h.name != l.Name() || h.mode == lease.Shared && mode == lease.Shared {
			continue
		}
		if alive && !s.broken[other.Ticket()] && other.Context().Err() == nil {
			s.fail("%s has %s %s while %s relies on it, %s", l.Ticket(), l.Name(), mode, other.Ticket(), h.mode)
		}
	}
	if mode == lease.Exclusive && alive {
		if last := s.tokens[l.Name()]; l.Token() <= last {
			s.fail("%s got token %d on %s after %d", l.Ticket(), l.Token(), l.Name(), last)
		}
		s.tokens[l.Name()] = l.Token()
	}
	h := s.holds[l]
	if h == nil {
		h = &hold{name: l.Name()}
		s.holds[l] = h
	}
	h.mode = mode
}

func (s *simulation) weaken(l *lease.Lock) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holds[l].mode = lease.Shared
}

func (s *simulation) leave(l *lease.Lock) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.holds, l)
}

// deleted is P3: the history has just seen an entry go; its holder must have been told by then,
// unless somebody had a hand in it.
func (s *simulation) deleted(ticket string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.holds {
		if l.Ticket() == ticket && !s.broken[ticket] && l.Context().Err() == nil {
			s.hist.fail("the entry of %s is gone and its context lives", ticket)
		}
	}
}

// use does things with a held lock and releases it.
func (s *simulation) use(ctx context.Context, c *conductor, l *lease.Lock) {
	ctx, stop := l.Bind(ctx)
	defer stop()
	u := &usage{simulation: s, l: l, guarded: s.draw(2) == 0}
	u.load()
	for range s.draw(5) {
		select {
		case <-time.After(s.upTo(6 * time.Second)):
		case <-ctx.Done():
		}
		if ctx.Err() != nil || l.Check() != nil && s.draw(2) == 0 {
			break
		}
		u.step(ctx)
	}
	if c.ctx.Err() != nil { // the process is dead: nobody releases
		<-l.Context().Done()
		s.leave(l)
		return
	}
	u.release(ctx)
}

// usage is what the holder knows about the record.
type usage struct {
	*simulation
	l       *lease.Lock
	guarded bool // compare the record's mod revision as well as the fence
	n       int
	mod     int64
	blind   bool // must not write: it wrote once without a guard, or does not know what stands
}

func (u *usage) load() {
	u.n, u.mod, u.blind = 0, 0, false
	for _, kv := range u.l.Records().KVs {
		var r record
		if err := json.Unmarshal(kv.Value, &r); err != nil {
			u.fail("%v", err)
		}
		u.n, u.mod = r.N, kv.ModRevision
	}
}

// next is the write that counts one up.
func (u *usage) next() lease.Write {
	key := simRoot + "nodes/" + u.l.Name()
	w := lease.Write{Then: []clientv3.Op{clientv3.OpPut(key, record{u.n + 1, u.l.Ticket(), u.l.Token()}.String())}}
	if u.guarded {
		w.If = []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(key), "=", u.mod)}
	}
	return w
}

// wrote takes note of the outcome of a write of next.
func (u *usage) wrote(rev int64, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case err == nil:
		u.acked[u.l.Name()]++
		u.tally.Written++
		u.n, u.mod = u.n+1, rev
		u.blind = !u.guarded
	case errors.Is(err, lease.ErrConflict):
		u.fail("%s: %v, though nobody else may write", u.l.Ticket(), err)
	default:
		u.unknown[u.l.Name()]++
		u.tally.Unknown++
		u.blind = true
	}
}

func (u *usage) step(ctx context.Context) {
	l := u.l
	switch what := u.draw(4); {
	case l.Mode() == lease.Exclusive && what < 2 && !u.blind:
		u.wrote(l.Commit(ctx, u.next()))
	case l.Mode() == lease.Exclusive && what == 2:
		var w lease.Write
		writes := !u.blind && u.draw(2) == 0
		if writes {
			w = u.next()
		}
		u.weaken(l)
		err := l.Downgrade(ctx, w)
		u.hist.say("%s downgrade: %v", l.Ticket(), err)
		if writes {
			u.wrote(0, err)
		}
		u.blind = true
		if err == nil {
			u.count(&u.tally.Downgraded)
			if l.Mode() != lease.Shared {
				u.fail("%s is %s after a downgrade", l.Ticket(), l.Mode())
			}
		}
	case l.Mode() == lease.Shared && what < 3:
		wait := []time.Duration{0, u.upTo(20 * time.Second), lease.Patient}[what]
		uctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		err := l.Upgrade(uctx, "sim upgrade", wait)
		u.hist.say("%s upgrade %s: %v", l.Ticket(), wait, err)
		if err != nil {
			u.expect(err)
			return
		}
		u.count(&u.tally.Upgraded)
		u.enter(l, lease.Exclusive)
		u.load()
	}
}

func (u *usage) release(ctx context.Context) {
	var w lease.Write
	writes := u.l.Mode() == lease.Exclusive && !u.blind && u.draw(2) == 0
	if writes {
		w = u.next()
	}
	u.leave(u.l)
	err := u.l.Release(ctx, w)
	u.hist.say("%s release: %v", u.l.Ticket(), err)
	if writes {
		u.wrote(0, err)
	}
	if err != nil {
		u.expect(err)
	}
	if errors.Is(err, lease.ErrLost) {
		u.count(&u.tally.Lost)
	}
	if err := u.l.Context().Err(); err == nil {
		u.fail("the context of %s lives on after its release", u.l.Ticket())
	}
}

// empty is P5: everybody has released, all is well again, so nothing may stand.
func (s *simulation) empty() {
	qs, err := lease.Locks{Client: s.etcd.Client("operator"), Root: simRoot}.List(context.Background())
	if err != nil {
		s.fail("list locks: %v", err)
	}
	for _, q := range qs {
		s.fail("left in the queue of %s: %v, slot %v", q.Name, tickets(q.Entries), q.Upgrade)
	}
	r, err := s.etcd.Client("operator").Get(context.Background(), simRoot+"locks/", clientv3.WithPrefix())
	if err != nil {
		s.fail("list locks: %v", err)
		return
	}
	for _, kv := range r.Kvs {
		s.fail("left: %s = %s", kv.Key, kv.Value)
	}
}

func (s *simulation) counters() {
	for name, n := range s.acked {
		s.hist.mu.Lock()
		got := s.hist.records[name].N
		s.hist.mu.Unlock()
		if most := n + s.unknown[name]; got < n || got > most {
			s.fail("counter of %s is %d, want %d to %d", name, got, n, most)
		}
	}
}
