package task_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// TestFight lets three conductors fight over two nodes while their networks lose, repeat, delay
// and break, for twenty minutes of the bubble's time. The machines remember who commanded them.
func TestFight(t *testing.T) {
	seeds := 3
	if testing.Short() {
		seeds = 1
	}
	for range seeds {
		seed := rand.Uint64()
		bubble(t, fmt.Sprintf("seed %d", seed), func(w *world) {
			f := &fight{world: w, random: rand.New(rand.NewPCG(seed, 1)), end: time.Now().Add(20 * time.Minute)}
			f.nodes = []node.ID{w.node(""), w.node("")}
			// What is on the wire at a loss lands before the lease can be gone.
			w.bmc.SetLatency(hardwaretest.Latency{Request: 300 * time.Millisecond, Work: 300 * time.Millisecond, Answer: 300 * time.Millisecond})
			var all sync.WaitGroup
			for _, name := range []string{"a", "b", "c"} {
				tasks := f.manager(name)
				for range 3 {
					all.Go(func() { f.run(tasks) })
				}
			}
			all.Go(f.chaos)
			all.Wait()
			time.Sleep(5 * time.Minute) // for what runs in the background
			synctest.Wait()
			f.judge()
		})
	}
}

type fight struct {
	*world
	nodes []node.ID
	end   time.Time

	mu                    sync.Mutex
	random                *rand.Rand
	done, held, lost, cut int
}

func (f *fight) n(n int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.random.IntN(n)
}

// manager is one whose session is opened again when it is lost.
func (f *fight) manager(name string) *task.Manager {
	f.Helper()
	client := f.etcd.Client(name)
	k, err := lease.Keep(f.Context(), client, lease.Config{Holder: name, TTL: ttl, Margin: margin})
	if err != nil {
		f.Fatal(err)
	}
	m, err := task.NewManager(task.Config{
		Client: client, Sessions: k, Hardware: hardwaretest.Registry(f.bmc), CommandTimeout: time.Second,
	})
	if err != nil {
		f.Fatal(err)
	}
	f.etcd.SetNetwork(name, leasetest.Seeded(uint64(f.n(1<<30)), leasetest.Faults{
		MaxDelay: 50 * time.Millisecond, LoseRequest: .01, LoseAnswer: .01, Reset: .01, Repeat: .02, Late: .005,
		MaxLate: 20 * time.Second, BreakWatch: .02, ForgetEvent: .01,
	}))
	f.Cleanup(func() {
		f.etcd.SetNetwork(name, leasetest.Network{})
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		m.Close(ctx)
		k.Close(ctx)
	})
	return m
}

// chaos cuts conductors off, each for longer than its lease or not.
func (f *fight) chaos() {
	for time.Now().Before(f.end) {
		time.Sleep(time.Duration(1+f.n(40)) * time.Second)
		name := string(rune('a' + f.n(3)))
		f.etcd.Cut(name)
		time.Sleep(time.Duration(1+f.n(25)) * time.Second)
		f.etcd.Heal(name)
	}
}

// run begins one task after the other. Its functions mind neither their context nor errors.
func (f *fight) run(tasks *task.Manager) {
	for time.Now().Before(f.end) {
		r := task.Request{Node: f.nodes[f.n(len(f.nodes))], Purpose: "fight", Wait: time.Duration(f.n(20)) * time.Second}
		var err error
		ran := false
		commands := func(ctx context.Context, x *task.Exclusive) error { ran = true; return f.commands(ctx, x) }
		switch ctx := context.Background(); f.n(4) {
		case 0:
			err = tasks.Shared(ctx, r, func(_ context.Context, s *task.Shared) error {
				_, _ = s.Driver().Power.Get(ctx)
				return s.Upgrade(ctx, "change", r.Wait, commands)
			})
		case 1:
			err = tasks.Exclusive(ctx, r, func(_ context.Context, x *task.Exclusive) error {
				x.SpawnAfter("fight", f.commands)
				return nil
			})
		default:
			err = tasks.Exclusive(ctx, r, commands)
		}
		f.count(err, ran)
		time.Sleep(time.Duration(f.n(3000)) * time.Millisecond)
	}
}

func (f *fight) commands(_ context.Context, x *task.Exclusive) error {
	ctx := context.Background()
	for range 1 + f.n(4) {
		err := x.Driver().Power.Set(ctx, []node.PowerState{node.PowerOn, node.PowerOff}[f.n(2)])
		if err == nil {
			f.mu.Lock()
			f.done++
			f.mu.Unlock()
		}
		time.Sleep(time.Duration(f.n(8000)) * time.Millisecond)
	}
	x.Settle()
	x.Node().Description = fmt.Sprint(x.Token())
	x.SaveAtEnd()
	return nil
}

func (f *fight) count(err error, ran bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err == nil:
	case errors.Is(err, lease.ErrHeld), errors.Is(err, lease.ErrUpgradeConflict):
		f.held++
	case ran && errors.Is(err, lease.ErrLost):
		f.lost++
	default: // suspect, no session, no answer
		f.cut++
	}
}

// judge asks the machines and etcd's history.
func (f *fight) judge() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range f.bmc.Overlaps() {
		f.Errorf("%s", o)
	}
	f.Logf("%d commands done, %d times held, %d lost, %d without a session", f.done, f.held, f.lost, f.cut)
	if f.done < 100 || f.held < 20 || f.lost < 1 {
		f.Errorf("too little of a fight: %d commands, %d held, %d lost", f.done, f.held, f.lost)
	}
	for _, id := range f.nodes {
		var token int64
		for _, c := range f.bmc.Commands(id) {
			if c.Writes && c.Actor.Token < token {
				f.Errorf("token %d after %d: %s", c.Actor.Token, token, c)
			}
			token = max(token, c.Actor.Token)
		}
	}
}
