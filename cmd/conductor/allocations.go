package main

import (
	"context"

	"github.com/conductor-metal/conductor/internal/allocate"
	"github.com/conductor-metal/conductor/internal/cluster"
	"github.com/conductor-metal/conductor/pkg/node"
)

// allocations starts what looks for nodes, and resumes what nobody works on.
func (s *service) allocations(store *node.Store) (*allocate.Allocator, error) {
	a, err := allocate.New(allocate.Config{Host: s.o.host, Store: store, Tasks: s.tasks, Live: s.live, Logger: s.log})
	if err != nil {
		return nil, err
	}
	s.onStop("allocations", a.Close)
	a.Start()
	return a, nil
}

// live answers the hosts of the conductors that live, unless this one can take up
// no work.
func (s *service) live(ctx context.Context) ([]string, error) {
	if err := s.able(); err != nil {
		return nil, err
	}
	v, err := cluster.Read(ctx, s.client, s.o.etcd.root())
	if err != nil {
		return nil, err
	}
	hosts := make([]string, len(v.Members))
	for i, m := range v.Members {
		hosts[i] = m.Host
	}
	return hosts, nil
}
