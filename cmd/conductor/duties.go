package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"github.com/conductor-metal/conductor/internal/cluster"
	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// syncOptions are about the power states of machines that nobody has asked for.
type syncOptions struct {
	every, recover time.Duration
	retries        int
	workers        int
	force          bool
}

func (o *syncOptions) flags(f *pflag.FlagSet) {
	f.DurationVar(&o.every, "power-sync-interval", 2*time.Minute, "how often the power states of machines are compared with those of their records (0: never)")
	f.DurationVar(&o.recover, "power-recovery-interval", 5*time.Minute, "how often machines are asked that did not answer (0: never)")
	f.IntVar(&o.retries, "power-sync-retries", 3, "failures of a machine in a row that are borne before its node is put into maintenance")
	f.IntVar(&o.workers, "power-sync-workers", 8, "machines that are asked for their power state at the same time")
	f.BoolVar(&o.force, "power-sync-force", true, "set the machine's power state when it differs from the record's; false: store what the machine says")
}

func (o *syncOptions) check() error {
	if o.every < 0 || o.recover < 0 || o.retries < 1 || o.workers < 1 {
		return usage(errors.New("--power-sync-interval and --power-recovery-interval must not be negative, --power-sync-retries and --power-sync-workers at least 1"))
	}
	return nil
}

func (o *syncOptions) config(c provision.SyncConfig) provision.SyncConfig {
	c.Every, c.Recover, c.Retries, c.Workers, c.Believe = orForEver(o.every), orForEver(o.recover), o.retries, o.workers, !o.force
	return c
}

// startDuties begins what nobody asks for: to take over what dead conductors left
// and to sync power states, which each conductor does for the nodes that prefer
// it, and to give up what is waited for in vain, which one does for all.
func (s *service) startDuties(p *provision.Provisioner, store *node.Store, lists *node.Cache) {
	root := s.o.etcd.root()
	takeover := cluster.NewTakeover(cluster.TakeoverConfig{
		Host: s.o.host, Members: s.members, Locks: lease.Locks{Client: s.client, Root: root}, Store: store, Metrics: cluster.NewMetrics(s.metrics, s.members), Logger: s.log,
		Recover: func(ctx context.Context, id node.ID) error {
			if err := s.able(); err != nil {
				return err
			}
			return p.Recover(ctx, id, 0)
		},
	})
	timeouts := cluster.Duty{
		Client: s.client, Root: root, Name: "timeouts", Host: s.o.host, TTL: s.o.ttl, Able: s.able, Work: p.Run, Logger: s.log,
	}
	power := p.NewPowerSync(s.o.sync.config(provision.SyncConfig{
		Locks: lease.Locks{Client: s.client, Root: root}, Nodes: lists.Nodes,
		Mine: func(n *node.Node) bool {
			v, _ := s.members.View()
			m, ok := v.Preferred(n)
			return ok && m.Host == s.o.host
		},
	}))
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	if s.o.takeover {
		running.Go(func() { takeover.Run(ctx) })
	}
	running.Go(func() { timeouts.Run(ctx) })
	running.Go(func() { power.Run(ctx) })
	s.onStop("duties", func(context.Context) error {
		cancel()
		running.Wait()
		return nil
	})
}

// able says whether this conductor can take up work now, and why not.
func (s *service) able() error {
	if s.draining.Load() {
		return errDraining
	}
	_, err := s.keeper.Current()
	return err
}
