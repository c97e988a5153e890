package cluster

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// TakeoverConfig describes a Takeover.
type TakeoverConfig struct {
	Host    string      // of this conductor
	Members *Members    // required
	Locks   lease.Locks // required
	Store   *node.Store // required
	// Recover brings one node into good hands: it takes the node's lock, looks
	// whether anything was abandoned, and resumes or fails it. Required. It is
	// called for many nodes at once, and by several conductors for one node if
	// they see different members: the node's lock decides.
	Recover func(context.Context, node.ID) error

	Each    time.Duration // between two looks when no member comes or goes; 0: 30 s
	Turn    time.Duration // how long each next conductor waits for those before it; 0: 10 s
	AtOnce  int           // nodes that are recovered at the same time; 0: 32
	Metrics *Metrics      // nil: none
	Logger  *slog.Logger  // nil: discarded
}

// Takeover finds the sections that dead conductors left open, and those whose
// lock was broken, and has them recovered. The conductor that a node prefers does
// it at once; if the section still stands after Turn, the next one in the node's
// ranking does, and so on. A node that no conductor serves is anybody's.
type Takeover struct {
	cfg  TakeoverConfig
	seen map[node.ID]finding
}

// finding is an abandoned section and since when this conductor knows of it.
type finding struct {
	ticket string
	since  time.Time
}

// NewTakeover answers one that is ready to run.
func NewTakeover(c TakeoverConfig) *Takeover {
	if c.Each == 0 {
		c.Each = 30 * time.Second
	}
	if c.Turn == 0 {
		c.Turn = 10 * time.Second
	}
	if c.AtOnce == 0 {
		c.AtOnce = 32
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil, c.Members)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Takeover{cfg: c, seen: map[node.ID]finding{}}
}

// Run looks whenever members change, and now and then, until ctx ends. It
// returns when the recoveries that it began have ended.
func (t *Takeover) Run(ctx context.Context) {
	soon := time.Second
	for {
		_, changed := t.cfg.Members.View()
		next, err := t.Sweep(ctx)
		if soon < next { // a session's leases do not end all at the same moment
			next, soon = soon, 2*soon
		}
		if err != nil && ctx.Err() == nil {
			t.cfg.Logger.WarnContext(ctx, "look for abandoned work", "err", err)
		}
		select {
		case <-changed:
			soon = time.Second
		case <-time.After(next):
		case <-ctx.Done():
			return
		}
	}
}

// Sweep looks once, and returns when what it recovers is recovered. next is
// after which time to look again if no member comes or goes.
func (t *Takeover) Sweep(ctx context.Context) (next time.Duration, err error) {
	next = t.cfg.Each/2 + rand.N(t.cfg.Each)
	left, err := t.abandoned(ctx)
	if err != nil {
		return next, err
	}
	view, _ := t.cfg.Members.View()
	room := make(chan struct{}, t.cfg.AtOnce)
	var wg sync.WaitGroup
	defer wg.Wait()
	for id, f := range left {
		turn, err := t.turn(ctx, view, id)
		if err != nil {
			if !errors.Is(err, node.ErrNotFound) { // a lock of something else
				t.cfg.Logger.WarnContext(ctx, "abandoned work", "node", id, "err", err)
			}
			continue
		}
		if wait := turn - time.Since(f.since); wait > 0 {
			next = min(next, wait)
			continue
		}
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return next, nil
		}
		wg.Go(func() {
			defer func() { <-room }()
			t.recover(ctx, id)
		})
	}
	return next, nil
}

func (t *Takeover) recover(ctx context.Context, id node.ID) {
	err := t.cfg.Recover(ctx, id)
	switch {
	case err == nil:
		t.cfg.Metrics.takeovers.WithLabelValues("ok").Inc()
		t.cfg.Logger.InfoContext(ctx, "abandoned work is in good hands", "node", id)
	case errors.Is(err, lease.ErrHeld), errors.Is(err, node.ErrNotFound): // in other hands, or none needed
	default:
		t.cfg.Metrics.takeovers.WithLabelValues("error").Inc()
		t.cfg.Logger.WarnContext(ctx, "recover abandoned work", "node", id, "err", err)
	}
}

// abandoned are the sections that are open although their entry is gone.
func (t *Takeover) abandoned(ctx context.Context) (map[node.ID]finding, error) {
	intents, err := t.cfg.Locks.Intents(ctx)
	if err != nil || len(intents) == 0 {
		clear(t.seen)
		return nil, err
	}
	queues, err := t.cfg.Locks.List(ctx) // later: who has ended well meanwhile has no intent either, which Recover finds
	if err != nil {
		return nil, err
	}
	for _, q := range queues {
		for _, e := range q.Entries {
			if intents[q.Name].Ticket == e.Ticket {
				delete(intents, q.Name)
			}
		}
	}
	seen := make(map[node.ID]finding, len(intents))
	for name, i := range intents {
		f, ok := t.seen[node.ID(name)]
		if !ok || f.ticket != i.Ticket {
			f = finding{i.Ticket, time.Now()}
		}
		seen[node.ID(name)] = f
	}
	t.seen = seen
	return seen, nil
}

// turn is how long this conductor leaves a node to those before it.
func (t *Takeover) turn(ctx context.Context, v *View, id node.ID) (time.Duration, error) {
	n, err := t.cfg.Store.Node(ctx, id)
	if err != nil {
		return 0, err
	}
	ranked := v.Ranked(n)
	for i, m := range ranked {
		if m.Host == t.cfg.Host {
			return time.Duration(i) * t.cfg.Turn, nil
		}
	}
	return time.Duration(len(ranked)) * t.cfg.Turn, nil
}
